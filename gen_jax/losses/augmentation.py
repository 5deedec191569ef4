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

  Adds a number uniform in [-1/2, 1/2], multiplies the distance to a pixel's
  gray by one in [0, 2], and that to the image's mean by one in [1/2, 3/2]:
  `strength` is a factor of these ranges' widths.
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
  """Moves by whole pixels, at most `ratio` of a side; what is bared is 0."""
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
  """Sets a window to 0, of `ratio` of each side, where it fits or in part."""
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
  """Moves, stretches, slants and bends, by about `ratio` of a side.

  Within its border, which is continued; see `corruption.deformation`. What an
  image is, it leaves, and hides how it is drawn.
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
  """Applies those of AUGMENTATIONS that are named, in the order given."""
  for index, name in enumerate(names):
    images = AUGMENTATIONS[name](images, jax.random.fold_in(key, index))
  return images
