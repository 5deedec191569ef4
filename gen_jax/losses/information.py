"""Lower bounds on mutual information, unreduced over the batch, in nats."""

import math

import jax
import jax.numpy as jnp


def gaussian_log_likelihood(
  x: jax.Array, mean: jax.Array, log_variance: jax.Array | float = 0.0
) -> jax.Array:
  """log N(x; mean, exp(log_variance)), summed over dimensions, [B, Z] -> [B].

  Chen et al. 2016, section 6: with x the codes and the others what Q says of
  them, its mean less the negative entropy of the codes is a lower bound on
  their information about the image (eq. 5).
  """
  squares = jnp.square(x - mean) * jnp.exp(-log_variance)
  terms = squares + log_variance + math.log(2 * math.pi)
  return -0.5 * jnp.sum(terms, axis=-1)
