"""Penalties on the activations of an autoencoder's latents."""

import abc
import dataclasses
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp

from gen_jax.distributed.collectives import batch_mean
from gen_jax.losses import sparsity
from gen_jax.registry.fields import Probability, Weight
from gen_jax.registry.part import Part


class Sparsity(Part, Protocol):
  """A penalty that keeps most units inactive.

  Attributes:
    activations: the latent activations for which it is meant.
    whole_batch: why the penalty needs the whole batch, as in `core.Update`; ''
      where it does not.
  """

  activations: ClassVar[tuple[str, ...]]
  whole_batch: ClassVar[str] = ''

  @property
  def weight(self) -> float:
    """Returns the factor of the penalty, per unit of reconstruction error."""
    ...

  @abc.abstractmethod
  def penalty(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the penalty of latents [B, Z] without its weight.

    With it comes the activity, the fraction of units that are active.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class L1(Sparsity):
  """The sum of absolute activations, `sum_j |a_j|`.

  Rectified latents can then be exactly 0; the activity is the fraction that is
  not. Without a bound on the decoder the latents would shrink and the decoder
  grow; `weight_decay` of AdamW is that bound.
  """

  weight: Weight = 0.1

  activations: ClassVar[tuple[str, ...]] = ('relu', 'linear', 'tanh', 'sigmoid')

  def penalty(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean L1 norm, and the fraction of positive activations."""
    return jnp.mean(sparsity.l1(latents)), jnp.mean(latents > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class KLToTarget(Sparsity):
  """The divergence of each unit's mean activation from a target.

  The activity is the mean activation over the units and the batch of all
  devices, of sigmoids in (0, 1).

  Attributes:
    target: rho, the activation that a unit should have on average.

  References:
    Ng, 2011, Sparse autoencoder, section 2. `weight` is its beta.
  """

  weight: Weight = 1.0
  target: Probability = 0.1

  activations: ClassVar[tuple[str, ...]] = ('sigmoid',)
  whole_batch: ClassVar[str] = (
    'the penalty is a function of the mean activation over the batch'
  )

  def penalty(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the KL divergence in nats, and the mean activation."""
    rho = batch_mean(latents)  # [Z]
    return sparsity.kl_bernoulli(rho, self.target), jnp.mean(rho)
