"""Reconstruction errors of images, summed over pixels: [B, H, W, C] -> [B].

Sums and not means, as everywhere in the project, so that the weight of a
penalty does not depend on the size of the images.
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
  """Returns ||x - y||^2 / ||x||, [B].

  This is the geometric mean of the squared error and the relative squared
  error. When the background is 0, images with more strokes have larger squared
  errors, so as an anomaly score the squared error overrates heavy strokes and
  underrates thin ones.
  """
  norm = jnp.sqrt(sum_pixels(jnp.square(x)))
  return l2(x, output) / jnp.maximum(norm, 1e-6)


class Reconstruction(NamedTuple):
  """The meaning of a decoder's output.

  Attributes:
    error: `(images, output) -> [B]`.
    image: `output -> images`.
  """

  error: Callable[[jax.Array, jax.Array], jax.Array]
  image: Callable[[jax.Array], jax.Array]


RECONSTRUCTIONS = {
  'l1': Reconstruction(l1, lambda output: output),
  'l2': Reconstruction(l2, lambda output: output),
  'cross_entropy': Reconstruction(bernoulli, jax.nn.sigmoid),
}
