"""Losses of image translations, averaged over pixels: [B, H, W, C] -> [B].

The other reconstruction errors of the package are sums over pixels. These are
means, because the weights of Zhu et al. 2017 are for means (lambda = 10, with a
mean over patches). The same weights then apply to images of any size.
"""

import jax
import jax.numpy as jnp

from gen_jax.losses.likelihoods import check_shapes


def absolute(x: jax.Array, y: jax.Array) -> jax.Array:
  """Returns the mean of |x - y| over the pixels of each image, [B].

  References:
    Zhu et al. 2017, eq. 2 for the cycle consistency loss, and section 5.2 for
    the identity loss.
  """
  check_shapes(x, y)
  return mean_rest(jnp.abs(x - y))


def mean_rest(x: jax.Array) -> jax.Array:
  """Returns the mean over all axes except the first, [B, ...] -> [B]."""
  return jnp.mean(x.reshape(len(x), -1), axis=1)
