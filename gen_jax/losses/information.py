"""Lower bounds on mutual information, unreduced over the batch, in nats."""

import jax
import jax.numpy as jnp

from gen_jax.losses.densities import log_normal


def gaussian_log_likelihood(
  x: jax.Array, mean: jax.Array, log_variance: jax.Array | float = 0.0
) -> jax.Array:
  """log N(x; mean, exp(log_variance)), summed over dimensions, [B, Z] -> [B].

  Chen et al. 2016, section 6: with x the codes and the others what Q says of
  them, its mean less the negative entropy of the codes is a lower bound on
  their information about the image (eq. 5).
  """
  return jnp.sum(log_normal(x, mean, log_variance), axis=-1)
