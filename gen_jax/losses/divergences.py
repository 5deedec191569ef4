"""Divergences between distributions of latents, in nats."""

import jax
import jax.numpy as jnp


def kl_standard_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """KL(N(mean, exp(log_variance)) || N(0, 1)) per dimension, [B, Z] -> [B, Z].

  Kingma and Welling 2013, appendix B: (m^2 + v - 1 - log v) / 2. Sum it over
  the dimensions, never average, to keep the bound in nats.
  """
  # expm1 keeps the digits where the variance is close to 1.
  return 0.5 * (jnp.square(mean) + jnp.expm1(log_variance) - log_variance)


def free_bits(kl: jax.Array, nats: float) -> jax.Array:
  """Hinges each dimension's mean KL at `nats`, [Z] -> scalar.

  Kingma et al. 2016, eq. 15: sum_j max(nats, KL_j), with KL_j the mean over
  the batch of all devices. Dimensions below the hinge get no gradient.
  """
  return jnp.sum(jnp.maximum(kl, nats))
