"""Penalties that keep most latents inactive."""

import jax
import jax.numpy as jnp


def l1(latents: jax.Array) -> jax.Array:
  """sum_j |a_j|, [B, Z] -> [B]."""
  return jnp.sum(jnp.abs(latents), axis=-1)


def kl_bernoulli(mean_activation: jax.Array, target: float) -> jax.Array:
  """sum_j KL(Bernoulli(target) || Bernoulli(rho_j)), [Z] -> scalar, in nats.

  Ng 2011, "Sparse autoencoder", section 2: rho_j is the mean activation of a
  unit over the batch, in (0, 1).
  """
  # A unit that never fires would cost log(0): it costs what float32 can hold.
  tiny = jnp.finfo(mean_activation.dtype).tiny
  rho = jnp.clip(mean_activation, tiny, 1 - jnp.finfo(jnp.float32).epsneg)
  return jnp.sum(
    target * (jnp.log(target) - jnp.log(rho))
    + (1 - target) * (jnp.log1p(-target) - jnp.log1p(-rho))
  )
