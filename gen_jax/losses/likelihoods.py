"""Negative log-likelihoods of images, summed over pixels, in nats.

Each function maps `[B, H, W, C] -> [B]`. It sums over pixels and does not
average, so that the sum with a KL divergence is a bound in nats.
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

  For binary x this is -log p(x).
  """
  check_shapes(x, logits)
  return sum_pixels(sigmoid_cross_entropy(logits, x))


def gaussian(
  x: jax.Array, mean: jax.Array, log_variance: jax.Array | float = 0.0
) -> jax.Array:
  """Returns -log N(x; mean, exp(log_variance)), [B], including constants."""
  check_shapes(x, mean)
  return -sum_pixels(log_normal(x, mean, log_variance))


def continuous_bernoulli(x: jax.Array, logits: jax.Array) -> jax.Array:
  """Returns -log p(x) of pixels in [0, 1], [B].

  This is the cross-entropy minus the logarithm of the normalizing constant,
  2 artanh(1 - 2 s(l)) / (1 - 2 s(l)) = l / tanh(l / 2), where s is the sigmoid
  and l are the logits.

  References:
    Loaiza-Ganem and Cunningham 2019, eq. 6.
  """
  return bernoulli(x, logits) - sum_pixels(log_normalizer(logits))


def log_normalizer(logits: jax.Array) -> jax.Array:
  """Returns log(l / tanh(l / 2)) elementwise, which is log 2 at l = 0."""
  # At 0 the quotient is 0 / 0, so its Taylor series replaces it near 0. The
  # inner `where` keeps the gradient of the unused branch finite.
  near = jnp.abs(logits) < 0.1
  square = jnp.square(logits)
  series = math.log(2) + square / 12 - 7 * square**2 / 1440
  size = jnp.where(near, 1.0, jnp.abs(logits))
  far = jnp.log(size) - jnp.log(jnp.tanh(size / 2))
  return jnp.where(near, series, far)


def continuous_bernoulli_mean(logits: jax.Array) -> jax.Array:
  """Returns the mean of the continuous Bernoulli distribution, elementwise.

  It is E[x] = s(l) / (2 s(l) - 1) + 1 / (2 artanh(1 - 2 s(l))), where s is the
  sigmoid. This equals 1 / (1 - exp(-l)) - 1 / l, and is about 1/2 + l / 12 near
  l = 0.
  """
  near = jnp.abs(logits) < 0.1
  safe = jnp.where(near, 1.0, logits)
  far = -1 / jnp.expm1(-safe) - 1 / safe
  return jnp.where(near, 0.5 + logits / 12 - logits**3 / 720, far)


class Likelihood(NamedTuple):
  """A distribution of images that is parameterized by a decoder's output.

  Attributes:
    nll: negative log-likelihood in nats, `(x, output, log_variance) -> [B]`.
    mean: expected value of the pixels, `output -> images`.
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
  """Raises ValueError unless both arrays have the same shape.

  Otherwise one of them would be broadcast, for example a gray image over the
  channels of a color image, and the loss would be wrong.
  """
  if x.shape != output.shape:
    raise ValueError(f'Images of {x.shape} and an output of {output.shape}.')


def sum_pixels(x: jax.Array) -> jax.Array:
  """Returns the sum over all axes except the first, [B, ...] -> [B]."""
  # This is a product with ones, because XLA:CPU would merge the sums over the
  # pixels and over the batch into one sum in a single thread, which takes a
  # sixth of a dense VAE's step.
  x = x.reshape(x.shape[0], -1)
  return jnp.einsum('bi,i->b', x, jnp.ones(x.shape[1]), precision='highest')
