"""Differentiable augmentations of real and generated images.

Differentiable augmentation (Zhao et al. 2020, eq. 5 to 7) prevents a
discriminator from memorizing a small data set. The discriminator receives T(x)
and T(G(z)) with a random transformation T, in its own loss and in the
generator's loss, and the generator's gradient passes through T. The default
strengths are those of the authors' code, which has no deformation.

Each augmentation is a function `(images [B, H, W, C], key) -> images` of pixels
in [-1, 1]. Each image of the batch gets its own random transformation.
"""

import jax
import jax.numpy as jnp

from gen_jax.losses import corruption


def color(
  images: jax.Array, key: jax.Array, strength: float = 1.0
) -> jax.Array:
  """Changes brightness, saturation and contrast at random, in this order.

  Brightness: adds a number in [-1/2, 1/2]. Saturation: multiplies the
  difference between a pixel and its gray value by a number in [0, 2]. Contrast:
  multiplies the difference between a pixel and the image's mean by a number in
  [1/2, 3/2]. All three are uniform. The result is not clipped.

  Args:
    images: [B, H, W, C] in [-1, 1].
    key: random key.
    strength: factor on the widths of these ranges.
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
  """Shifts each image at random by whole pixels.

  The shift is at most `ratio` times the side. Pixels from outside the image are
  0.
  """
  keys = jax.random.split(key)
  for axis, key_axis, equation in zip(
    (1, 2), keys, ('bij,bjwc->biwc', 'bij,bhjc->bhic'), strict=True
  ):
    size = images.shape[axis]
    most = int(size * ratio + 0.5)
    offset = jax.random.randint(key_axis, (len(images), 1), -most, most + 1)
    # Output row i is input row i - offset, or 0 where that is out of range,
    # because the one-hot vector is 0 there. A matrix product is fast in the
    # forward and in the backward pass, and a gather is not.
    source = jnp.arange(size) - offset
    rows = jax.nn.one_hot(source, size, dtype=images.dtype)  # [B, size, size]
    images = jnp.einsum(equation, rows, images, precision='highest')
  return images


def cutout(images: jax.Array, key: jax.Array, ratio: float = 0.5) -> jax.Array:
  """Sets a window at a random position in each image to 0.

  The height and width of the window are `ratio` times those of the image.
  """
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
  """Deforms images at random, by about `ratio` of the shorter side.

  It shifts, stretches, slants and bends them, see `corruption.deformation`.
  This keeps the class of an image and changes the details of its shape. Pixels
  from outside the image have the value of the nearest border pixel.
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
  """Applies the augmentations with these names in AUGMENTATIONS, in order."""
  for index, name in enumerate(names):
    images = AUGMENTATIONS[name](images, jax.random.fold_in(key, index))
  return images
