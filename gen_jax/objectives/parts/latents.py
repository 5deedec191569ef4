"""Priors of latents."""

import abc
import dataclasses
from typing import Protocol

import jax

from gen_jax.errors import InputError
from gen_jax.registry.fields import Positive, Size
from gen_jax.registry.part import Part


class Latents(Part, Protocol):
  """A distribution of latents."""

  @property
  def size(self) -> int:
    """Returns Z, the numbers in a latent."""
    ...

  @abc.abstractmethod
  def sample(self, key: jax.Array, num: int) -> jax.Array:
    """Returns `num` latents, [num, Z]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normal(Latents):
  """The standard normal distribution.

  Attributes:
    size: Z, the numbers in a latent.
  """

  size: Size = 100

  def sample(self, key: jax.Array, num: int) -> jax.Array:
    """Returns `num` latents, [num, Z]."""
    return jax.random.normal(key, (num, self.size))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform(Latents):
  """The uniform distribution in [-1, 1].

  Attributes:
    size: Z, the numbers in a latent.
  """

  size: Size = 100

  def sample(self, key: jax.Array, num: int) -> jax.Array:
    """Returns `num` latents, [num, Z]."""
    return jax.random.uniform(key, (num, self.size), minval=-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianMixture(Latents):
  """An even mixture of the normal distributions N(radius e_k, 1).

  e_k are the first `components` axes. With such a prior the generator needs no
  discontinuity between the modes of the data.

  Attributes:
    size: Z, the numbers in a latent.
    components: normal distributions, at most Z.
    radius: the distance of each mean from 0.

  References:
    Ben-Yosef and Weinshall 2018, the static GM-GAN, which draws the means at
    random and fixes them.
  """

  size: Size = 100
  components: Size = 32
  radius: Positive = 8.0

  def __post_init__(self) -> None:
    if self.components > self.size:
      raise InputError(
        f'latents.components={self.components}: there is an axis for each '
        f'component, so set it to at most latents.size={self.size}.'
      )

  def sample(self, key: jax.Array, num: int) -> jax.Array:
    """Returns `num` latents, [num, Z]."""
    key_component, key_normal = jax.random.split(key)
    component = jax.random.randint(key_component, (num,), 0, self.components)
    means = self.radius * jax.nn.one_hot(component, self.size)
    return means + jax.random.normal(key_normal, (num, self.size))
