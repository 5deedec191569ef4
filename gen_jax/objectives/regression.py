"""Regression between two domains: what translation can learn from pairs."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.losses.cycle import absolute
from gen_jax.objectives.parts import translation


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedRegression:
  """Both generators, each by the mean absolute error to the true image.

  It needs pairs in training, and is a reference for those that have none.

  Attributes:
    gen_ab: images of a, train -> images of b; see models/translation.py.
    gen_ba: images of b, train -> images of a.
  """

  gen_ab: nn.Module
  gen_ba: nn.Module

  pixels: ClassVar[str] = 'symmetric'
  classes: ClassVar[int] = 0

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of both generators."""
    return translation.init_both(self.gen_ab, self.gen_ba, key, batch)

  def updates(self) -> tuple[Update, ...]:
    """Returns the one update."""
    return (Update(('gen_ab', 'gen_ba'), self.loss, name='gen'),)

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the sum of both errors."""
    del step
    key_ab, key_ba = jax.random.split(key)
    made_b = translation.train_apply(
      self.gen_ab, players['gen_ab'], batch['a'], key_ab
    )
    made_a = translation.train_apply(
      self.gen_ba, players['gen_ba'], batch['b'], key_ba
    )
    l1_ab = jnp.mean(absolute(batch['b'], made_b))
    l1_ba = jnp.mean(absolute(batch['a'], made_a))
    return l1_ab + l1_ba, Aux({'l1_ab': l1_ab, 'l1_ba': l1_ba})

  def predict_fns(self) -> Capabilities:
    """Returns the translations in both directions."""
    return {
      'translate_ab': self.translate_ab,
      'translate_ba': self.translate_ba,
    }

  def translate_ab(self, players: Players, batch: Batch) -> jax.Array:
    """Returns batch['a'], images of any size, as images of b."""
    return translation.translate(self.gen_ab, players['gen_ab'], batch['a'])

  def translate_ba(self, players: Players, batch: Batch) -> jax.Array:
    """Returns batch['b'], images of any size, as images of a."""
    return translation.translate(self.gen_ba, players['gen_ba'], batch['b'])
