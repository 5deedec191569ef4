"""Penalties on the gradient of a discriminator's output w.r.t. its input.

A score function maps `[B, ...] -> [B]`, and each score depends only on its own
example. This excludes batch normalization in the discriminator (Gulrajani et
al. 2017, section 4). If a score depends on a pack of adjacent images,
`[B, ...] -> [B / pack]`, the gradient is taken w.r.t. all images of the pack,
and there is one penalty for each pack.
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
    x: points at which the gradient is computed, [B, ...]. WGAN-GP uses the
      points that `interpolates` returns.
    target: norm at which the penalty is 0.
    one_sided: if true, only norms above the target are penalized,
      max(0, |grad D| - target)^2.

  References:
    Gulrajani et al. 2017, eq. 3.
  """
  squares = _squares(score_fn, x)
  # The norm is not differentiable at 0. The subgradient 0 is used there. The
  # inner `where` avoids the infinite derivative of the square root.
  steep = squares > 0
  norm = jnp.where(steep, jnp.sqrt(jnp.where(steep, squares, 1.0)), 0.0)
  excess = norm - target
  return jnp.square(jax.nn.relu(excess) if one_sided else excess)


def zero_centered(score_fn: ScoreFn, x: jax.Array) -> jax.Array:
  """Returns 1/2 |grad D(x)|^2, [B], for R1 and R2.

  References:
    Mescheder et al. 2018, eq. 9 and 10; the authors use the weight gamma = 10.
  """
  return 0.5 * _squares(score_fn, x)


def interpolates(
  key: jax.Array, real: jax.Array, fake: jax.Array, pack: int = 1
) -> jax.Array:
  """Returns random points e x + (1 - e) x~ between pairs of images, [B, ...].

  Args:
    key: random key.
    real: images of the data, x, [B, ...].
    fake: generated images, x~, [B, ...].
    pack: number of adjacent images that share one e, which is uniform in
      [0, 1].

  References:
    Gulrajani et al. 2017, algorithm 1.
  """
  shape = (len(real) // pack,) + (1,) * (real.ndim - 1)
  mix = jnp.repeat(jax.random.uniform(key, shape), pack, axis=0)
  return mix * real + (1 - mix) * fake


def dragan_points(
  key: jax.Array, real: jax.Array, deviation: jax.Array, uniform: bool = False
) -> jax.Array:
  """Returns points near the data at which DRAGAN penalizes the gradient.

  In the paper, the points are the data plus normal noise with the standard
  deviation s / 2. The authors' code differs: the noise is s u / 2, where u is
  uniform in [0, 1), so that no pixel becomes darker, and a point lies anywhere
  between an image and its noisy copy.

  Args:
    key: random key.
    real: images of the data, [B, ...].
    deviation: s, the standard deviation of all values of the global batch.
    uniform: if true, the points of the authors' code.

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
  """Returns x plus normal noise of this standard deviation, [B, ...]."""
  return x + deviation * jax.random.normal(key, x.shape, x.dtype)


def _squares(score_fn, x):
  """Returns the squared norms of the gradients, one for each score."""

  def total(x):
    scores = score_fn(x)
    return jnp.sum(scores), len(scores)

  # Each score depends only on its own example, so the gradient of the sum
  # contains the gradient of each score.
  gradients, count = jax.grad(total, has_aux=True)(x)
  return jnp.sum(jnp.square(gradients).reshape(count, -1), axis=-1)
