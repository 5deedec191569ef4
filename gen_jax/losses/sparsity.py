"""Penalties that keep most latents inactive."""

import jax
import jax.numpy as jnp


def l1(latents: jax.Array) -> jax.Array:
  """Returns the sum of |a_j| over the units j, [B, Z] -> [B]."""
  return jnp.sum(jnp.abs(latents), axis=-1)


def kl_bernoulli(mean_activation: jax.Array, target: float) -> jax.Array:
  """Returns sum_j KL(Bernoulli(target) || Bernoulli(rho_j)), in nats.

  Args:
    mean_activation: rho_j, the mean activation of each unit over the batch, [Z]
      in (0, 1).
    target: desired mean activation of each unit.

  References:
    Ng 2011, "Sparse autoencoder", section 2.
  """
  # Clipping keeps the penalty finite for a unit that is never active.
  tiny = jnp.finfo(mean_activation.dtype).tiny
  rho = jnp.clip(mean_activation, tiny, 1 - jnp.finfo(jnp.float32).epsneg)
  return jnp.sum(
    target * (jnp.log(target) - jnp.log(rho))
    + (1 - target) * (jnp.log1p(-target) - jnp.log1p(-rho))
  )
