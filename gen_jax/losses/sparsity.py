"""Penalties that keep most latents inactive."""

import jax
import jax.numpy as jnp


def l1(latents: jax.Array) -> jax.Array:
  """Returns sum_j |a_j|, [B, Z] -> [B]."""
  return jnp.sum(jnp.abs(latents), axis=-1)


def kl_bernoulli(mean_activation: jax.Array, target: float) -> jax.Array:
  """Returns sum_j KL(Bernoulli(target) || Bernoulli(rho_j)), in nats.

  Args:
    mean_activation: rho_j, of each unit over the batch, [Z] in (0, 1).
    target: the mean activation that a unit should have.

  References:
    Ng 2011, "Sparse autoencoder", section 2.
  """
  # The clipping keeps the penalty of a unit that is never active finite.
  tiny = jnp.finfo(mean_activation.dtype).tiny
  rho = jnp.clip(mean_activation, tiny, 1 - jnp.finfo(jnp.float32).epsneg)
  return jnp.sum(
    target * (jnp.log(target) - jnp.log(rho))
    + (1 - target) * (jnp.log1p(-target) - jnp.log1p(-rho))
  )
