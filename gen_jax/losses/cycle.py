"""Losses of translations, means over pixels: [B, H, W, C] -> [B].

Means, unlike the project's other reconstruction errors, since that is what the
weights of Zhu et al. 2017 are of (lambda = 10 beside a mean over patches): they
serve images of any size alike.
"""

import jax
import jax.numpy as jnp

from gen_jax.losses.likelihoods import check_shapes


def absolute(x: jax.Array, y: jax.Array) -> jax.Array:
  """mean |x - y|, [B]: of a cycle (eq. 2), or of an identity (section 5.2)."""
  check_shapes(x, y)
  return mean_rest(jnp.abs(x - y))


def mean_rest(x: jax.Array) -> jax.Array:
  """Mean over all axes but the first, [B, ...] -> [B]."""
  return jnp.mean(x.reshape(len(x), -1), axis=1)
