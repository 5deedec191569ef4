"""Log densities: that of the normal distribution, and two estimates.

The estimates are `(latents [B, Z]) -> log density [B]`, up to a constant.
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
  """log prod_j (Q_j(z_j) + alpha), Q_j the histogram of dimension j.

  Amini et al. 2019, eq. 2-3: it takes the dimensions for independent, so what
  is rare in their combination alone goes unseen.

  Args:
    latents: [B, Z].
    bins: of each histogram, between the least and the greatest value.
    alpha: of a bin, keeps the density from 0.
  """
  low, high = jnp.min(latents, axis=0), jnp.max(latents, axis=0)  # [Z]
  place = (latents - low) / jnp.maximum(high - low, 1e-12) * bins
  place = jnp.clip(place.astype(jnp.int32), 0, bins - 1)  # [B, Z]
  share = jnp.mean(jax.nn.one_hot(place, bins), axis=0)  # [Z, bins]
  here = share[jnp.arange(latents.shape[-1]), place]  # [B, Z]
  return jnp.sum(jnp.log(here + alpha), axis=-1)


def neighbors(latents: jax.Array, k: int = 1) -> jax.Array:
  """-Z log d_k, d_k the distance to the k-th nearest other latents.

  Loftsgaarden and Quesenberry 1965: the ball around latents that holds k others
  has the volume ~ d_k^Z.
  """
  # Distances do not depend on the mean, but the rounding of products does.
  latents = latents - jnp.mean(latents, axis=0)
  squares = jnp.sum(jnp.square(latents), axis=-1)
  # The batch is small, and in lower precision differences of products would
  # lose the digits of similar latents.
  products = jnp.matmul(latents, latents.T, precision='highest')
  distances = squares[:, None] + squares - 2 * products  # [B, B]
  distances = jnp.where(jnp.eye(len(latents), dtype=bool), jnp.inf, distances)
  nearest, _ = jax.lax.top_k(-distances, k)  # [B, k], least first
  # d^2 is at least a millionth of the latents' squared norm, so that equal
  # latents have a finite density.
  least = 1e-6 * jnp.mean(squares) + jnp.finfo(latents.dtype).tiny
  return -0.5 * latents.shape[-1] * jnp.log(jnp.maximum(-nearest[:, -1], least))


DENSITIES: dict[str, Callable[[jax.Array], jax.Array]] = {
  'histogram': histogram,
  'neighbors': neighbors,
}
