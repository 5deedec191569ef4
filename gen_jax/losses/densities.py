"""How dense codes lie, estimated from a batch of them.

Each is `(codes [B, Z]) -> log density [B]`, up to a constant.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def histogram(
  codes: jax.Array, bins: int = 10, alpha: float = 0.01
) -> jax.Array:
  """log prod_j (Q_j(z_j) + alpha), Q_j the histogram of dimension j.

  Amini et al. 2019, eq. 2-3: it takes the dimensions for independent, so what
  is rare in their combination alone goes unseen.

  Args:
    codes: [B, Z].
    bins: of each histogram, between the least and the greatest value.
    alpha: of a bin, keeps the density from 0.
  """
  low, high = jnp.min(codes, axis=0), jnp.max(codes, axis=0)  # [Z]
  place = (codes - low) / jnp.maximum(high - low, 1e-12) * bins
  place = jnp.clip(place.astype(jnp.int32), 0, bins - 1)  # [B, Z]
  share = jnp.mean(jax.nn.one_hot(place, bins), axis=0)  # [Z, bins]
  here = share[jnp.arange(codes.shape[-1]), place]  # [B, Z]
  return jnp.sum(jnp.log(here + alpha), axis=-1)


def neighbors(codes: jax.Array, k: int = 1) -> jax.Array:
  """-Z log d_k, d_k the distance to the k-th nearest other code.

  Loftsgaarden and Quesenberry 1965: the ball around a code that holds k others
  has the volume ~ d_k^Z.
  """
  # Distances do not depend on the mean, but the rounding of products does.
  codes = codes - jnp.mean(codes, axis=0)
  squares = jnp.sum(jnp.square(codes), axis=-1)
  # Differences of products lose the digits of near codes; the batch is small.
  products = jnp.matmul(codes, codes.T, precision='highest')
  distances = squares[:, None] + squares - 2 * products  # [B, B]
  distances = jnp.where(jnp.eye(len(codes), dtype=bool), jnp.inf, distances)
  nearest, _ = jax.lax.top_k(-distances, k)  # [B, k], least first
  # d^2 at least a millionth of the codes' size: equal codes are not infinite.
  least = 1e-6 * jnp.mean(squares) + jnp.finfo(codes.dtype).tiny
  return -0.5 * codes.shape[-1] * jnp.log(jnp.maximum(-nearest[:, -1], least))


DENSITIES: dict[str, Callable[[jax.Array], jax.Array]] = {
  'histogram': histogram,
  'neighbors': neighbors,
}
