"""Penalties on the gradient of a judge's score in its input.

A score function maps `[B, ...] -> [B]`, each score a function of its own
example alone. That excludes batch normalization in the judge (Gulrajani et al.
2017, section 4): with it a penalty would not be of one example. Where a score
is of a pack of neighbors, `[B, ...] -> [B / pack]`, the gradient is taken in
all of the pack, and there is a penalty for each.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

ScoreFn = Callable[[jax.Array], jax.Array]


def gradient_penalty(
  score_fn: ScoreFn, x: jax.Array, target: float = 1.0, one_sided: bool = False
) -> jax.Array:
  """(|grad D(x)| - target)^2, [B] (Gulrajani et al. 2017, eq. 3).

  Args:
    score_fn: D, [B, ...] -> [B].
    x: where the gradient is taken, [B, ...]; `interpolates` in WGAN-GP.
    target: the norm that costs nothing.
    one_sided: only a larger norm costs, max(0, |grad D| - target)^2.
  """
  squares = _squares(score_fn, x)
  # Where the gradient is 0 the norm has none: its subgradient 0 is taken, and
  # the inner where keeps the root's infinite slope out of it.
  steep = squares > 0
  norm = jnp.where(steep, jnp.sqrt(jnp.where(steep, squares, 1.0)), 0.0)
  excess = norm - target
  return jnp.square(jax.nn.relu(excess) if one_sided else excess)


def zero_centered(score_fn: ScoreFn, x: jax.Array) -> jax.Array:
  """1/2 |grad D(x)|^2, [B], for `r1` and `r2`.

  Mescheder et al. 2018 multiply it by gamma, 10 in their experiments.
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
  """x + d, d from N(0, deviation^2), [B, ...]: near the data."""
  return x + deviation * jax.random.normal(key, x.shape, x.dtype)


# Each of PENALTIES is `(score_fn, real, fake, key, deviation) -> [B]`, with the
# standard deviation of all values in the batch of real images, which may be
# larger than `real`.


def r1(score_fn: ScoreFn, real: jax.Array, fake, key, deviation):
  """`zero_centered` on the data, R1 of Mescheder et al. 2018 (eq. 9), [B]."""
  del fake, key, deviation
  return zero_centered(score_fn, real)


def r2(score_fn: ScoreFn, real, fake: jax.Array, key, deviation):
  """`zero_centered` on the generator's images, their R2 (eq. 10), [B]."""
  del real, key, deviation
  return zero_centered(score_fn, fake)


def dragan(
  score_fn: ScoreFn,
  real: jax.Array,
  fake: jax.Array,
  key: jax.Array,
  deviation: jax.Array,
):
  """(|grad D| - 1)^2 around the data, [B] (Kodali et al. 2017, section 2.3).

  The noise is normal, as in the paper, with half the standard deviation of all
  values in the batch. The authors' program has `dragan_uniform`.
  """
  del fake
  return gradient_penalty(score_fn, perturbed(key, real, 0.5 * deviation))


def dragan_uniform(
  score_fn: ScoreFn,
  real: jax.Array,
  fake: jax.Array,
  key: jax.Array,
  deviation: jax.Array,
):
  """DRAGAN's penalty at the points of the authors' program, [B].

  To every value comes noise .5 s u with u uniform in [0, 1) and s the standard
  deviation of all values in the batch. It never darkens a pixel: its mean is
  s / 4 and not 0. The gradient is taken at a random point of the line between
  an image and its noisy copy.
  """
  del fake
  key_noise, key_mix = jax.random.split(key)
  noise = jax.random.uniform(key_noise, real.shape, real.dtype)
  noisy = real + 0.5 * deviation * noise
  return gradient_penalty(score_fn, interpolates(key_mix, real, noisy))


PENALTIES = {
  'r1': r1,
  'r2': r2,
  'dragan': dragan,
  'dragan_uniform': dragan_uniform,
}
# Those that depend on the deviation of the batch.
OF_DEVIATION = frozenset({'dragan', 'dragan_uniform'})


def _squares(score_fn, x):
  """Squared norms of the gradients, one for each score."""

  def total(x):
    scores = score_fn(x)
    return jnp.sum(scores), len(scores)

  # The gradient of the sum holds every example's own gradient.
  gradients, count = jax.grad(total, has_aux=True)(x)
  return jnp.sum(jnp.square(gradients).reshape(count, -1), axis=-1)
