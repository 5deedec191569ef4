"""Random corruptions of images, which a denoising autoencoder learns to remove.

Each corruption is `(images [B, H, W, C] in [0, 1], level, key) -> images`.
"""

import jax
import jax.numpy as jnp


def gaussian(images: jax.Array, level: float, key: jax.Array) -> jax.Array:
  """Adds normal noise of standard deviation `level`, without clipping."""
  return images + level * jax.random.normal(key, images.shape)


def masking(images: jax.Array, level: float, key: jax.Array) -> jax.Array:
  """Sets each pixel to 0, in all its channels, with probability `level`.

  References:
    Vincent et al. 2008, section 2.3.
  """
  kept = jax.random.bernoulli(key, 1 - level, (*images.shape[:3], 1))
  return images * kept


def salt_and_pepper(
  images: jax.Array, level: float, key: jax.Array
) -> jax.Array:
  """Sets each pixel to 0 or 1, equally often, with probability `level`."""
  key_hit, key_salt = jax.random.split(key)
  shape = (*images.shape[:3], 1)
  hit = jax.random.bernoulli(key_hit, level, shape)
  salt = jax.random.bernoulli(key_salt, 0.5, shape).astype(images.dtype)
  return jnp.where(hit, salt, images)


def deformation(
  images: jax.Array, level: float, key: jax.Array, border: bool = False
) -> jax.Array:
  """Deforms each image at random: shifts, stretches, slants and bends it.

  The first three are uniform. A shift is at most `level` pixels in each
  direction. A stretch moves the border by at most 2/3 `level` pixels. A slant
  moves the top and the bottom row by at most 2 `level` pixels, because slant
  varies most in handwriting. The bend is a smooth random field; its components
  have the standard deviation 0.6 `level` and a width of one sixth of the side.
  Pixels are interpolated linearly.

  Args:
    images: [B, H, W, C].
    level: size of the deformation in pixels.
    key: random key.
    border: if true, pixels from outside the image have the value of the nearest
      border pixel; otherwise they are 0.

  References:
    Simard et al. 2003, section 2.
  """
  count, height, width, _ = images.shape
  key_affine, key_field = jax.random.split(key)
  affine = level * jax.random.uniform(
    key_affine, (5, count, 1, 1), minval=-1, maxval=1
  )
  shift_y, shift_x, stretch_y, stretch_x, slant = affine  # [B, 1, 1] each
  knots = jax.random.normal(key_field, (2, count, _KNOTS, _KNOTS))
  field = jnp.einsum('yg,cbgh,xh->cbyx', _bumps(height), knots, _bumps(width))
  bend_y, bend_x = 0.6 * level * field  # [B, H, W] each

  # The source of each output pixel: first its row, then its column.
  rows, columns = _centered(height)[:, None], _centered(width)
  end_y, end_x = max((height - 1) / 2, 1), max((width - 1) / 2, 1)
  y = rows * (1 + 2 / 3 * stretch_y / end_y) + shift_y + bend_y
  weights = _between(y, rows[:, 0], border)  # [B, H, W, H]
  images = jnp.einsum('byxi,bixc->byxc', weights, images)
  x = columns * (1 + 2 / 3 * stretch_x / end_x) + shift_x + bend_x
  x += 2 * slant / end_y * rows
  weights = _between(x, columns, border)
  return jnp.einsum('byxi,byic->byxc', weights, images)


_KNOTS = 6  # knots of the smooth field along each side


def _bumps(size):
  """Returns Gaussians at the knots, [size, knots]; each row has norm 1."""
  place = jnp.arange(size)[:, None] / max(size - 1, 1)  # in [0, 1]
  bumps = jnp.exp(
    -0.5 * jnp.square(_KNOTS * (place - jnp.linspace(0, 1, _KNOTS)))
  )
  return bumps / jnp.linalg.norm(bumps, axis=1, keepdims=True)


def _centered(size):
  return jnp.arange(size) - (size - 1) / 2


def _between(place, grid, border):
  """Returns the weights of linear interpolation, [..., O, I].

  Args:
    place: positions at which to interpolate, [..., O].
    grid: positions of the pixels, [I].
    border: if true, positions outside the grid are moved to its border.
  """
  if border:
    place = jnp.clip(place, grid[0], grid[-1])
  return jnp.maximum(0, 1 - jnp.abs(place[..., None] - grid))


CORRUPTIONS = {
  'deformation': deformation,
  'gaussian': gaussian,
  'masking': masking,
  'salt_and_pepper': salt_and_pepper,
}
