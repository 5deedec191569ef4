"""Changes of the size of images, by boxes of pixels."""

import jax
import jax.numpy as jnp

from gen_jax.errors import InputError


def levels(height: int, width: int, halvings: int) -> list[tuple[int, int]]:
  """Returns the sizes of maps from the smallest to that of the image.

  Each is half of the next, rounded up as convolutions of stride 2 do it: 28
  pixels come from 14, 7 and 4.
  """
  exponents = range(halvings, -1, -1)
  return [(-(-height // 2**k), -(-width // 2**k)) for k in exponents]


def upsample(x: jax.Array, factor: int = 2) -> jax.Array:
  """Repeats each pixel along both axes, [B, H, W, C] -> [B, f H, f W, C]."""
  b, h, w, c = x.shape
  x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, factor, w, factor, c))
  return x.reshape(b, h * factor, w * factor, c)


def downsample(x: jax.Array, factor: int = 2) -> jax.Array:
  """Averages boxes of f x f pixels, [B, f H, f W, C] -> [B, H, W, C]."""
  if factor == 1:
    return x
  b, h, w, c = x.shape
  x = x.reshape(b, h // factor, factor, w // factor, factor, c)
  return jnp.mean(x, axis=(2, 4))


def downsample_to(x: jax.Array, size: int, field: str) -> jax.Array:
  """Downsamples images to a height of `size` pixels; 0 keeps their size.

  Args:
    x: images, [B, H, W, C].
    size: the new height.
    field: the field of the config that holds `size`, for the message.

  Raises:
    InputError: `size` does not divide the height, or the width is not a
      multiple of the same factor.
  """
  factor = x.shape[1] // size if size else 1
  if size and (factor * size != x.shape[1] or x.shape[2] % factor):
    raise InputError(
      f'{field}={size}: images of {x.shape[1]}x{x.shape[2]} pixels cannot be '
      f'averaged down to {size}: take a divisor of their height.'
    )
  return downsample(x, factor)


def fused_scale_kernel(w: jax.Array) -> jax.Array:
  """Returns the sum of a kernel's four shifts, [k, k, ...] -> [k+1, k+1, ...].

  A transposed convolution of stride 2 with this kernel equals upsampling
  followed by a convolution with `w`. A convolution of stride 2 with a quarter
  of it equals a convolution with `w` followed by downsampling. Both need 4 / 9
  of the multiplications. Karras et al. 2018 call it the fused scale.
  """
  for axis in (0, 1):
    before, after = ([(0, 0)] * w.ndim for _ in range(2))
    before[axis], after[axis] = (1, 0), (0, 1)
    w = jnp.pad(w, before) + jnp.pad(w, after)
  return w
