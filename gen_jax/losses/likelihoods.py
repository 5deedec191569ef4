"""Negative log-likelihoods of images, summed over pixels, in nats.

Each is `[B, H, W, C] -> [B]`: unreduced over the batch, so that a bound keeps
its unit when it is added to a divergence.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.losses.classification import sigmoid_cross_entropy
from gen_jax.losses.densities import log_normal


def bernoulli(x: jax.Array, logits: jax.Array) -> jax.Array:
  """Returns the cross-entropy of pixels in [0, 1], [B].

  For binary x it is -log p(x).
  """
  check_shapes(x, logits)
  return sum_pixels(sigmoid_cross_entropy(logits, x))


def gaussian(
  x: jax.Array, mean: jax.Array, log_variance: jax.Array | float = 0.0
) -> jax.Array:
  """Returns -log N(x; mean, exp(log_variance)), [B], with its constant."""
  check_shapes(x, mean)
  return -sum_pixels(log_normal(x, mean, log_variance))


def continuous_bernoulli(x: jax.Array, logits: jax.Array) -> jax.Array:
  """Returns -log p(x) of pixels in [0, 1], [B].

  It is the cross-entropy of the Bernoulli minus the log of the normalizer
  2 artanh(1 - 2 s(l)) / (1 - 2 s(l)), which in logits is l / tanh(l / 2).

  References:
    Loaiza-Ganem and Cunningham 2019, eq. 6.
  """
  return bernoulli(x, logits) - sum_pixels(log_normalizer(logits))


def log_normalizer(logits: jax.Array) -> jax.Array:
  """Returns log(l / tanh(l / 2)) elementwise; log 2 at l = 0."""
  # Near 0 the quotient is 0 / 0, and its series takes over. The inner where
  # keeps the gradient of the branch that is not taken finite.
  near = jnp.abs(logits) < 0.1
  square = jnp.square(logits)
  series = math.log(2) + square / 12 - 7 * square**2 / 1440
  size = jnp.where(near, 1.0, jnp.abs(logits))
  far = jnp.log(size) - jnp.log(jnp.tanh(size / 2))
  return jnp.where(near, series, far)


def continuous_bernoulli_mean(logits: jax.Array) -> jax.Array:
  """Returns the mean of the continuous Bernoulli distribution, elementwise.

  E[x] = s(l) / (2 s(l) - 1) + 1 / (2 artanh(1 - 2 s(l))). In logits it is
  1 / (1 - exp(-l)) - 1 / l, and 1/2 + l / 12 near 0.
  """
  near = jnp.abs(logits) < 0.1
  safe = jnp.where(near, 1.0, logits)
  far = -1 / jnp.expm1(-safe) - 1 / safe
  return jnp.where(near, 0.5 + logits / 12 - logits**3 / 720, far)


class Likelihood(NamedTuple):
  """The meaning of a decoder's output.

  Attributes:
    nll: `(x, output, log_variance) -> [B]`, nats.
    mean: `output -> images`, the expected pixels.
  """

  nll: Callable[..., jax.Array]
  mean: Callable[[jax.Array], jax.Array]


LIKELIHOODS = {
  'bernoulli': Likelihood(lambda x, out, _: bernoulli(x, out), jax.nn.sigmoid),
  'continuous_bernoulli': Likelihood(
    lambda x, out, _: continuous_bernoulli(x, out), continuous_bernoulli_mean
  ),
  'gaussian': Likelihood(gaussian, lambda out: out),
}


def check_shapes(x: jax.Array, output: jax.Array) -> None:
  """Raises ValueError unless both are [B, ...] of one shape.

  Otherwise NumPy's rules would broadcast one of them, such as a gray image over
  the channels of a color image, and the loss would be wrong.
  """
  if x.shape != output.shape:
    raise ValueError(f'Images of {x.shape} and an output of {output.shape}.')


def sum_pixels(x: jax.Array) -> jax.Array:
  """Sums over all axes but the first, [B, ...] -> [B]."""
  # As a product with ones: XLA:CPU would join the sums over pixels and over the
  # batch to one of a whole array, in one thread, a sixth of a dense VAE's step.
  x = x.reshape(len(x), -1)
  return jnp.einsum('bi,i->b', x, jnp.ones(x.shape[1]), precision='highest')
