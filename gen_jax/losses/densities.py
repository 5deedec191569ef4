"""Log densities: the normal density, and two estimates from a batch of latents.

An estimate is `latents [B, Z] -> log density [B]`, up to a constant.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp


def log_normal(
  x: jax.Array,
  mean: jax.Array | float = 0.0,
  log_variance: jax.Array | float = 0.0,
) -> jax.Array:
  """Returns log N(x; mean, exp(log_variance)) elementwise."""
  squares = jnp.square(x - mean) * jnp.exp(-log_variance)
  return -0.5 * (squares + log_variance + math.log(2 * math.pi))


def histogram(
  latents: jax.Array, bins: int = 10, alpha: float = 0.01
) -> jax.Array:
  """Returns log prod_j (Q_j(z_j) + alpha), [B].

  Q_j is the histogram of dimension j. This estimate treats the dimensions as
  independent, so it does not detect latents in which only the combination of
  values is rare.

  Args:
    latents: z, [B, Z].
    bins: number of bins of each histogram, between the smallest and the largest
      value.
    alpha: constant that is added to each bin, so that the density is not 0.

  References:
    Amini et al. 2019, eq. 2-3.
  """
  low, high = jnp.min(latents, axis=0), jnp.max(latents, axis=0)  # [Z]
  place = (latents - low) / jnp.maximum(high - low, 1e-12) * bins
  place = jnp.clip(place.astype(jnp.int32), 0, bins - 1)  # [B, Z]
  fraction = jnp.mean(jax.nn.one_hot(place, bins), axis=0)  # [Z, bins]
  here = fraction[jnp.arange(latents.shape[-1]), place]  # [B, Z]
  return jnp.sum(jnp.log(here + alpha), axis=-1)


def neighbors(latents: jax.Array, k: int = 1) -> jax.Array:
  """Returns -Z log d_k, [B].

  d_k is the distance to the k-th nearest neighbor in the batch. The ball that
  contains k neighbors has a volume proportional to d_k^Z.

  Args:
    latents: [B, Z].
    k: number of neighbors in the ball.

  References:
    Loftsgaarden and Quesenberry 1965.
  """
  # Distances do not depend on the mean, but rounding errors of products do.
  latents = latents - jnp.mean(latents, axis=0)
  squares = jnp.sum(jnp.square(latents), axis=-1)
  # With lower precision, the distance of similar latents would consist of
  # rounding errors. The batch is small, so the highest precision is cheap.
  products = jnp.matmul(latents, latents.T, precision='highest')
  distances = squares[:, None] + squares - 2 * products  # [B, B]
  distances = jnp.where(jnp.eye(len(latents), dtype=bool), jnp.inf, distances)
  nearest, _ = jax.lax.top_k(-distances, k)  # [B, k], least first
  # d^2 is at least a millionth of the mean squared norm of the latents, so that
  # equal latents have a finite density.
  least = 1e-6 * jnp.mean(squares) + jnp.finfo(latents.dtype).tiny
  return -0.5 * latents.shape[-1] * jnp.log(jnp.maximum(-nearest[:, -1], least))


DENSITIES: dict[str, Callable[[jax.Array], jax.Array]] = {
  'histogram': histogram,
  'neighbors': neighbors,
}
