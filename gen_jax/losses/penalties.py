"""Penalties on the gradient of a discriminator's output in its input.

A score function maps `[B, ...] -> [B]`, and each score depends on its own
example alone. This excludes batch normalization in the discriminator (Gulrajani
et al. 2017, section 4). If a score depends on a pack of neighbors,
`[B, ...] -> [B / pack]`, the gradient is that in all images of the pack, and
each pack has one penalty.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

ScoreFn = Callable[[jax.Array], jax.Array]


def gradient_penalty(
  score_fn: ScoreFn, x: jax.Array, target: float = 1.0, one_sided: bool = False
) -> jax.Array:
  """Returns (|grad D(x)| - target)^2, [B].

  Args:
    score_fn: D, [B, ...] -> [B].
    x: points at which the gradient is computed, [B, ...]; in WGAN-GP those of
      `interpolates`.
    target: the norm without a penalty.
    one_sided: only larger norms have a penalty, max(0, |grad D| - target)^2.

  References:
    Gulrajani et al. 2017, eq. 3.
  """
  squares = _squares(score_fn, x)
  # The norm has no gradient where it is 0. Its subgradient 0 is used there, and
  # the inner `where` avoids the infinite derivative of the root.
  steep = squares > 0
  norm = jnp.where(steep, jnp.sqrt(jnp.where(steep, squares, 1.0)), 0.0)
  excess = norm - target
  return jnp.square(jax.nn.relu(excess) if one_sided else excess)


def zero_centered(score_fn: ScoreFn, x: jax.Array) -> jax.Array:
  """Returns 1/2 |grad D(x)|^2, [B], for R1 and R2.

  References:
    Mescheder et al. 2018, eq. 9 and 10, who multiply it by gamma = 10.
  """
  return 0.5 * _squares(score_fn, x)


def interpolates(
  key: jax.Array, real: jax.Array, fake: jax.Array, pack: int = 1
) -> jax.Array:
  """Returns points e x + (1 - e) x~ of the lines between pairs, [B, ...].

  e is uniform in [0, 1], one for each pair of packs (Gulrajani et al. 2017,
  algorithm 1).
  """
  shape = (len(real) // pack,) + (1,) * (real.ndim - 1)
  mix = jnp.repeat(jax.random.uniform(key, shape), pack, axis=0)
  return mix * real + (1 - mix) * fake


def dragan_points(
  key: jax.Array, real: jax.Array, deviation: jax.Array, uniform: bool = False
) -> jax.Array:
  """Returns the points near the data at which DRAGAN takes the gradient.

  In the paper they are the data with normal noise of half the standard
  deviation of all values in the batch. In the authors' program the noise is
  .5 s u with u uniform in [0, 1) and s this deviation, so that no pixel gets
  darker, and a point lies anywhere between an image and its noisy copy.

  Args:
    key: of the noise.
    real: images of the data, [B, ...].
    deviation: s, of the batch on all devices.
    uniform: take the points of the authors' program.

  References:
    Kodali et al. 2017, section 2.3.
  """
  if not uniform:
    return perturbed(key, real, 0.5 * deviation)
  key_noise, key_mix = jax.random.split(key)
  noise = jax.random.uniform(key_noise, real.shape, real.dtype)
  return interpolates(key_mix, real, real + 0.5 * deviation * noise)


def perturbed(
  key: jax.Array, x: jax.Array, deviation: float | jax.Array
) -> jax.Array:
  """Returns x + d with d drawn from N(0, deviation^2), [B, ...]."""
  return x + deviation * jax.random.normal(key, x.shape, x.dtype)


def _squares(score_fn, x):
  """Returns the squared norms of the gradients, one for each score."""

  def total(x):
    scores = score_fn(x)
    return jnp.sum(scores), len(scores)

  # The gradient of the sum holds every example's own gradient.
  gradients, count = jax.grad(total, has_aux=True)(x)
  return jnp.sum(jnp.square(gradients).reshape(count, -1), axis=-1)
