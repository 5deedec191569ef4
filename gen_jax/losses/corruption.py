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


CORRUPTIONS = {
  'gaussian': gaussian,
  'masking': masking,
  'salt_and_pepper': salt_and_pepper,
}
