"""The sparse autoencoder: an overcomplete code of which little is active."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Update
from gen_jax.distributed.collectives import batch_mean
from gen_jax.losses import sparsity
from gen_jax.objectives.autoencoder import ACTIVATIONS, Autoencoder
from gen_jax.registry.fields import Probability, Weight, one_of


@dataclasses.dataclass(frozen=True)
class SparseL1(Autoencoder):
  """Penalizes the absolute activations: `weight * sum_j |a_j|`.

  A code of rectified units can then be exactly 0; the activity is the share of
  units that are not. Without a bound on the decoder the code would shrink and
  the decoder grow; `weight_decay` of AdamW is that bound.

  Attributes:
    weight: lambda, in units of the reconstruction error.
  """

  code: one_of(ACTIVATIONS) = 'relu'
  weight: Weight = 0.1

  def penalty(self, codes: jax.Array):
    size = jnp.mean(sparsity.l1(codes))
    activity = jnp.mean(codes > 0)
    return self.weight * size, {'l1': size, 'activity': activity}


@dataclasses.dataclass(frozen=True)
class SparseKL(Autoencoder):
  """Draws each unit's mean activation to a target (Ng 2011, section 2).

  The activity is the mean activation over the units and the batch of all
  devices, sigmoids in (0, 1).

  Attributes:
    weight: beta, in units of the reconstruction error.
    target: rho, the activation that a unit should have on average.
  """

  code: one_of(ACTIVATIONS) = 'sigmoid'
  weight: Weight = 1.0
  target: Probability = 0.1

  def updates(self) -> tuple[Update, ...]:
    why = 'the penalty is a function of the mean activation over the batch'
    return tuple(
      dataclasses.replace(u, whole_batch=why) for u in super().updates()
    )

  def penalty(self, codes: jax.Array):
    rho = batch_mean(codes)  # [Z]
    divergence = sparsity.kl_bernoulli(rho, self.target)
    metrics = {'sparsity': divergence, 'activity': jnp.mean(rho)}
    return self.weight * divergence, metrics
