"""Differentiable augmentations of real and generated images.

Differentiable augmentation (Zhao et al. 2020, eq. 5 to 7) keeps a discriminator
from memorizing a small data set. It gets T(x) and T(G(z)) with a random T in
both of its losses, and the gradient of the generator passes through T. The
strengths are those of the authors' program, which has no deformation.

Each is `(images [B, H, W, C], key) -> images`, of pixels in [-1, 1], with a
draw of its own for each image.
"""

import jax
import jax.numpy as jnp

from gen_jax.losses import corruption


def color(
  images: jax.Array, key: jax.Array, strength: float = 1.0
) -> jax.Array:
  """Changes brightness, saturation and contrast, in this order; not clipped.

  It adds a number in [-1/2, 1/2], multiplies the difference to a pixel's gray
  value by a number in [0, 2], and the difference to the image's mean by a
  number in [1/2, 3/2]. All are uniform. `strength` scales the widths of these
  ranges.
  """
  draws = jax.random.uniform(key, (3, len(images), 1, 1, 1), minval=-1)
  brightness, saturation, contrast = strength * draws
  images += 0.5 * brightness
  gray = jnp.mean(images, axis=-1, keepdims=True)
  images = gray + (1 + saturation) * (images - gray)
  mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
  return mean + (1 + 0.5 * contrast) * (images - mean)


def translation(
  images: jax.Array, key: jax.Array, ratio: float = 0.125
) -> jax.Array:
  """Moves by whole pixels, at most `ratio` of a side; the rest is 0."""
  keys = jax.random.split(key)
  for axis, key_axis, equation in zip(
    (1, 2), keys, ('bij,bjwc->biwc', 'bij,bhjc->bhic'), strict=True
  ):
    size = images.shape[axis]
    most = int(size * ratio + 0.5)
    offset = jax.random.randint(key_axis, (len(images), 1), -most, most + 1)
    # Row i shows row i - offset, or nothing: the one-hot of an index that is
    # out of range is 0. As a product it is fast both ways, unlike a gather.
    source = jnp.arange(size) - offset
    rows = jax.nn.one_hot(source, size, dtype=images.dtype)  # [B, size, size]
    images = jnp.einsum(equation, rows, images, precision='highest')
  return images


def cutout(images: jax.Array, key: jax.Array, ratio: float = 0.5) -> jax.Array:
  """Sets a window to 0, of `ratio` of each side, at a random place."""
  inside = True
  for axis, key_axis in zip((1, 2), jax.random.split(key), strict=True):
    size = images.shape[axis]
    window = int(size * ratio + 0.5)
    center = jax.random.randint(
      key_axis, (len(images), 1, 1, 1), 0, size + 1 - window % 2
    )
    low = center - window // 2
    shape = [-1 if a == axis else 1 for a in range(4)]
    index = jnp.arange(size).reshape(shape)
    inside &= (low <= index) & (index < low + window)  # [B, H, W, 1]
  return jnp.where(inside, 0.0, images)


def deformation(
  images: jax.Array, key: jax.Array, ratio: float = 1 / 14
) -> jax.Array:
  """Deforms images at random, by about `ratio` of a side.

  It moves, stretches, slants and bends them, see `corruption.deformation`. This
  keeps the class of an image, and hides how it is drawn. Pixels from outside
  have the value of the nearest pixel of the border.
  """
  level = ratio * min(images.shape[1:3])
  return corruption.deformation(images, level, key, border=True)


AUGMENTATIONS = {
  'color': color,
  'translation': translation,
  'cutout': cutout,
  'deformation': deformation,
}


def augment(
  images: jax.Array, names: tuple[str, ...], key: jax.Array
) -> jax.Array:
  """Applies the named ones of AUGMENTATIONS, in the order given."""
  for index, name in enumerate(names):
    images = AUGMENTATIONS[name](images, jax.random.fold_in(key, index))
  return images
