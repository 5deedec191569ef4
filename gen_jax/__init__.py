"""Classic generative models of images, in JAX and Flax."""

import os
from typing import TYPE_CHECKING

from gen_jax.version import __version__ as __version__

if TYPE_CHECKING:
  from gen_jax.api import Model


def load(path: str | os.PathLike, step: int | str | None = None) -> 'Model':
  """Returns a trained model, see `gen_jax.api.load`."""
  from gen_jax import api  # imported late: it imports JAX

  return api.load(path, step)
