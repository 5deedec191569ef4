"""Labels of classes, as networks get them."""

import jax
import jax.numpy as jnp

from gen_jax.core import Batch
from gen_jax.errors import InputError


def one_hot(labels: jax.Array, classes: int) -> jax.Array:
  """Returns labels [B] as one-hot rows, and class weights [B, K] as given."""
  return labels if labels.ndim == 2 else jax.nn.one_hot(labels, classes)


def all_classes(num: int, classes: int) -> jax.Array:
  """Returns the labels 0, 1, ..., K - 1, 0, 1, ..., [num]."""
  return jnp.arange(num) % classes


def check_labeled(batch: Batch, objective: object) -> None:
  """Raises InputError unless a batch has labels."""
  if 'label' not in batch:
    raise InputError(
      f'{type(objective).__name__} needs labels, and the data has none.'
    )
