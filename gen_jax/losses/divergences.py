"""Divergences between distributions of latents, in nats."""

import jax
import jax.numpy as jnp


def kl_standard_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
  """Returns KL(N(mean, exp(log_variance)) || N(0, 1)) elementwise, [B, Z].

  It is (m^2 + v - 1 - log v) / 2 for the mean m and the variance v. Sum it over
  the dimensions, and do not average it, so that the bound stays in nats.

  Args:
    mean: m, [B, Z].
    log_variance: log v, [B, Z].

  References:
    Kingma and Welling 2013, appendix B.
  """
  # expm1 is accurate where the variance is close to 1.
  return 0.5 * (jnp.square(mean) + jnp.expm1(log_variance) - log_variance)


def free_bits(kl: jax.Array, nats: float) -> jax.Array:
  """Returns sum_j max(nats, KL_j), a scalar.

  A dimension whose KL divergence is below `nats` gets no gradient.

  Args:
    kl: KL_j, the KL divergence of each dimension, averaged over the global
      batch, [Z].
    nats: free nats of each dimension.

  References:
    Kingma et al. 2016, eq. 15.
  """
  return jnp.sum(jnp.maximum(kl, nats))
