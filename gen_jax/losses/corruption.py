"""Noise on images, drawn on the device, for a denoiser to remove.

Each is `(images [B, H, W, C] in [0, 1], amount, key) -> images`.
"""

import jax
import jax.numpy as jnp


def gaussian(images: jax.Array, amount: float, key: jax.Array) -> jax.Array:
  """Adds noise of standard deviation `amount`; it is not clipped."""
  return images + amount * jax.random.normal(key, images.shape)


def masking(images: jax.Array, amount: float, key: jax.Array) -> jax.Array:
  """Sets a pixel, in all its channels, to 0 with probability `amount`.

  Vincent et al. 2008, section 2.3.
  """
  kept = jax.random.bernoulli(key, 1 - amount, (*images.shape[:3], 1))
  return images * kept


def salt_and_pepper(
  images: jax.Array, amount: float, key: jax.Array
) -> jax.Array:
  """Sets a pixel to 0 or 1, evenly, with probability `amount`."""
  key_hit, key_salt = jax.random.split(key)
  shape = (*images.shape[:3], 1)
  hit = jax.random.bernoulli(key_hit, amount, shape)
  salt = jax.random.bernoulli(key_salt, 0.5, shape).astype(images.dtype)
  return jnp.where(hit, salt, images)


def deformation(images: jax.Array, amount: float, key: jax.Array) -> jax.Array:
  """Shifts, stretches and slants each image by a draw of its own.

  Up and down and to each side by at most `amount` pixels; a stretch along each
  axis that moves the border by at most 2/3 of that; a slant that moves the top
  and the bottom row by at most twice that, as handwriting is slanted most of
  all. Each is uniform. Pixels from outside are 0, those between are
  interpolated linearly.
  """
  _, height, width, _ = images.shape
  draw = amount * jax.random.uniform(
    key, (5, len(images), 1), images.dtype, minval=-1, maxval=1
  )
  shift_y, shift_x, stretch_y, stretch_x, slant = draw  # [B, 1] each
  rows, columns = _centred(height), _centred(width)
  half_y, half_x = (max((n - 1) / 2, 1) for n in (height, width))

  # Where each pixel comes from: first its row, then, by row, its column.
  from_row = rows * (1 + 2 / 3 * stretch_y / half_y) + shift_y  # [B, H]
  images = jnp.einsum('boi,biwc->bowc', _between(from_row, rows), images)
  start = shift_x + 2 * slant / half_y * rows  # [B, H]
  stretched = columns * (1 + 2 / 3 * stretch_x / half_x)  # [B, W]
  from_column = start[:, :, None] + stretched[:, None]  # [B, H, W]
  weights = _between(from_column, columns)
  return jnp.einsum('bhoi,bhic->bhoc', weights, images)


def _centred(size):
  return jnp.arange(size) - (size - 1) / 2


def _between(place, grid):
  """Weights of linear interpolation, [..., O] at [I] -> [..., O, I]."""
  return jnp.maximum(0, 1 - jnp.abs(place[..., None] - grid))


CORRUPTIONS = {
  'deformation': deformation,
  'gaussian': gaussian,
  'masking': masking,
  'salt_and_pepper': salt_and_pepper,
}
