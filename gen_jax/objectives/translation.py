"""Translation between two domains, and its yardstick: regression on pairs."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.errors import InputError
from gen_jax.losses.cycle import absolute
from gen_jax.objectives.shapes import check_images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Translation:
  """Players `gen_ab` and `gen_ba`: what all translations share.

  A batch has images 'a' [B, H, W, C] and 'b' [B, H, W, K] in [-1, 1].

  Attributes:
    gen_ab: images of a, train -> images of b; see models/translation.py.
    gen_ba: images of b, train -> images of a.
  """

  gen_ab: nn.Module
  gen_ba: nn.Module

  pixels: ClassVar[str] = 'symmetric'

  def init(self, key: jax.Array, batch: Batch) -> Players:
    for name in ('a', 'b'):
      if name not in batch:
        raise InputError(
          'data.name: a translation needs images of two domains: take '
          "'domains'."
        )
    key_ab, key_ba = jax.random.split(key)
    return {
      'gen_ab': self._make_gen('gen_ab', key_ab, batch['a'], batch['b']),
      'gen_ba': self._make_gen('gen_ba', key_ba, batch['b'], batch['a']),
    }

  def _make_gen(self, name, key, seen, wanted):
    network = getattr(self, name)
    variables = make(network, name, key, seen)
    made = jax.eval_shape(network.apply, variables, seen)
    check_images(made, wanted, f'objective.{name}.out')
    return variables

  def translate(
    self, players: Players, name: str, images: jax.Array
  ) -> jax.Array:
    """What the generator `name` makes of images in training."""
    network = getattr(self, name)
    return network.apply(players[name], images, train=True)

  def predict_fns(self):
    return {
      'translate_ab': self.translate_ab,
      'translate_ba': self.translate_ba,
    }

  def translate_ab(self, players: Players, batch: Batch) -> jax.Array:
    """batch['a'], images of any size, as images of b."""
    return _fitted(self.gen_ab, players['gen_ab'], batch['a'])

  def translate_ba(self, players: Players, batch: Batch) -> jax.Array:
    """batch['b'], images of any size, as images of a."""
    return _fitted(self.gen_ba, players['gen_ba'], batch['b'])


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedRegression(Translation):
  """Both generators, each by the mean absolute error to the true image.

  It needs pairs in training, and tells what the generators can do with them.
  """

  def updates(self) -> tuple[Update, ...]:
    return (Update(wrt=('gen_ab', 'gen_ba'), loss=self.loss, name='gens'),)

  def loss(self, players: Players, batch: Batch, *, key, step):
    del key, step
    made = {
      'ab': absolute(batch['b'], self.translate(players, 'gen_ab', batch['a'])),
      'ba': absolute(batch['a'], self.translate(players, 'gen_ba', batch['b'])),
    }
    means = {k: jnp.mean(x) for k, x in made.items()}
    return sum(means.values()), Aux(means)


def make(network: nn.Module, name: str, key: jax.Array, images: jax.Array):
  """Makes a player's variables; raises InputError when it has statistics."""
  variables = network.init(key, images)
  others = sorted(set(variables) - {'params'})
  if others:
    raise InputError(
      f'objective.{name}.normalize: translations have no place for '
      f"{', '.join(others)}: take 'instance' or ''."
    )
  return variables


def _fitted(network: Any, variables: Any, images: jax.Array) -> jax.Array:
  """Mirrors the pixels at the far edges up to the stride, and cuts again."""
  height, width = images.shape[1:3]
  pads = [(0, 0), (0, -height % network.stride), (0, -width % network.stride)]
  images = jnp.pad(images, (*pads, (0, 0)), mode='symmetric')
  return network.apply(variables, images)[:, :height, :width]
