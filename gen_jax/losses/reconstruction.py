"""Reconstruction errors of images, summed over pixels: [B, H, W, C] -> [B].

The errors are sums and not means, so that the weight of a penalty does not
depend on the size of the images.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.losses.likelihoods import bernoulli, check_shapes, sum_pixels


def l2(x: jax.Array, output: jax.Array) -> jax.Array:
  """Returns the sum of squared errors, [B]."""
  check_shapes(x, output)
  return sum_pixels(jnp.square(x - output))


def l1(x: jax.Array, output: jax.Array) -> jax.Array:
  """Returns the sum of absolute errors, [B]."""
  check_shapes(x, output)
  return sum_pixels(jnp.abs(x - output))


def scaled_l2(x: jax.Array, output: jax.Array) -> jax.Array:
  """Returns ||x - y||^2 / ||x|| of the images x and the output y, [B].

  This is the geometric mean of the squared error and the relative squared
  error. It is intended as an anomaly score. When the background is 0, images
  with more strokes have larger squared errors, so the squared error is too high
  for heavy strokes and too low for thin strokes.
  """
  norm = jnp.sqrt(sum_pixels(jnp.square(x)))
  return l2(x, output) / jnp.maximum(norm, 1e-6)


class Reconstruction(NamedTuple):
  """A reconstruction error and the images that it compares.

  Attributes:
    error: `(images, output of the decoder) -> [B]`.
    image: `output of the decoder -> images`.
  """

  error: Callable[[jax.Array, jax.Array], jax.Array]
  image: Callable[[jax.Array], jax.Array]


RECONSTRUCTIONS = {
  'l1': Reconstruction(l1, lambda output: output),
  'l2': Reconstruction(l2, lambda output: output),
  'cross_entropy': Reconstruction(bernoulli, jax.nn.sigmoid),
}
