"""Convolutions and transposed convolutions of images, for every platform.

Drop-in for Flax's, with the same parameters. They are made of the triple of
`conv_triple.py`, which has a form for the CPU, whose gradients of any order
stay fast, and one for all other platforms.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

from gen_jax.models.layers.conv_triple import D, F, Geometry, Pads, Pair
from gen_jax.models.layers.linear import add_bias
from gen_jax.registry.fields import Dtype, Size

Padding = str | int | Sequence[int | Sequence[int]]


def conv(
  x: jax.Array,
  w: jax.Array,
  *,
  strides: int | Sequence[int] = 1,
  padding: Padding = 'SAME',
) -> jax.Array:
  """Convolution, as `nn.Conv` computes it.

  Args:
    x: [B, H, W, C].
    w: [kh, kw, C, K], of the same dtype.
    strides: one number, or (vertical, horizontal).
    padding: 'SAME' (an output is ceil(H / s) high), 'VALID', a number of
      pixels, or ((top, bottom), (left, right)).

  Returns:
    [B, Ho, Wo, K], Ho = (H + top + bottom - kh) // s + 1.

  Raises:
    ValueError: x or w is not of rank 4, their channels differ, the padding is
      not one of the above, or the kernel is larger than the padded x.
  """
  _check('conv', x, w)
  strides, pads = _pair(strides), _explicit(padding)
  size, kernel = x.shape[1:3], w.shape[:2]
  if padding == 'SAME':
    pads = tuple(lax.padtype_to_pads(size, kernel, strides, 'SAME'))
  out = tuple(
    (n + sum(p) - k) // s + 1
    for n, p, k, s in zip(size, pads, kernel, strides, strict=True)
  )
  if min(out) < 1:
    raise ValueError(f'conv: no output, kernel {kernel} on {size} with {pads}.')
  low = (pads[0][0], pads[1][0])
  return F(x, w, Geometry(size, out, kernel, strides, low))


def conv_transpose(
  y: jax.Array,
  w: jax.Array,
  *,
  strides: int | Sequence[int] = 1,
  padding: Padding = 'SAME',
) -> jax.Array:
  """Transposed convolution, as `nn.ConvTranspose` computes it.

  That is `conv` of y with s - 1 zeros between its pixels, hence D with the
  kernel turned by 180 degrees. PyTorch's ConvTranspose2d(padding=p) is D with
  l = p: its weight is w turned, as [C, K, kh, kw], its padding here
  ((kh - 1 - p, kh - 1 - p + output_padding), ...).

  Args:
    y: [B, H, W, C].
    w: [kh, kw, C, K], of the same dtype.
    strides: one number, or (vertical, horizontal).
    padding: 'SAME' (the output is H s high), 'VALID' (H s + max(kh - s, 0)), a
      number of pixels, or ((top, bottom), (left, right)) around the
      zero-filled y.

  Returns:
    [B, Ho, Wo, K], Ho = (H - 1) s + 1 + top + bottom - kh + 1.

  Raises:
    ValueError: as `conv`.
  """
  _check('conv_transpose', y, w)
  strides, pads = _pair(strides), _explicit(padding)
  out, kernel = y.shape[1:3], w.shape[:2]
  if isinstance(padding, str):
    pads = tuple(
      _transpose_pads(k, s, padding)
      for k, s in zip(kernel, strides, strict=True)
    )
  size = tuple(
    (n - 1) * s + 1 + sum(p) - k + 1
    for n, p, k, s in zip(out, pads, kernel, strides, strict=True)
  )
  if min(size) < 1:
    raise ValueError(
      f'conv_transpose: no output, kernel {kernel} on {out} with {pads}.'
    )
  low = (kernel[0] - 1 - pads[0][0], kernel[1] - 1 - pads[1][0])
  w = jnp.flip(w, (0, 1)).swapaxes(2, 3)
  return D(y, w, Geometry(size, out, kernel, strides, low))


def _transpose_pads(k: int, s: int, padding: str) -> Pair:
  """JAX's rule for transposed convolutions (`jax.lax.conv_transpose`)."""
  if padding == 'VALID':
    return k - 1, max(k, s) - 1
  before = k - 1 if s > k - 1 else math.ceil((k + s - 2) / 2)
  return before, k + s - 2 - before


def _check(name: str, x: jax.Array, w: jax.Array) -> None:
  if x.ndim != 4 or w.ndim != 4:
    raise ValueError(
      f'{name} needs x as [B, H, W, C] and w as [kh, kw, C, K], but got '
      f'{x.shape} and {w.shape}.'
    )
  if x.shape[3] != w.shape[2]:
    raise ValueError(f'{name}: the channels of {x.shape}, {w.shape} differ.')


def _pair(value: int | Sequence[int]) -> Pair:
  pair = (value, value) if isinstance(value, int) else tuple(value)
  if len(pair) != 2:
    raise ValueError(f'Expected a number or two of them, got {value}.')
  return pair


def _explicit(padding: Padding) -> Pads:
  """((top, bottom), (left, right)); zeros for a string."""
  if isinstance(padding, str):
    if padding not in ('SAME', 'VALID'):
      raise ValueError(f"Padding is 'SAME', 'VALID' or pixels, not {padding}.")
    padding = 0
  if isinstance(padding, int):
    padding = (padding, padding)
  if len(padding) != 2:
    raise ValueError(f'Expected a number or two of them, got {padding}.')
  return tuple(_pair(p) for p in padding)


class _Layer(nn.Module):
  """The parameters `kernel` and `bias`, which both layers share."""

  features: Size
  kernel_size: int | Sequence[int]
  strides: int | Sequence[int] = 1
  padding: Padding = 'SAME'
  use_bias: bool = True
  dtype: Dtype = None
  param_dtype: Any = jnp.float32
  kernel_init: Callable[..., jax.Array] = nn.initializers.lecun_normal()
  bias_init: Callable[..., jax.Array] = nn.initializers.zeros_init()

  def apply_map(self, fn: Callable, x: jax.Array) -> jax.Array:
    if x.ndim != 4:
      raise ValueError(
        f'{type(self).__name__} needs [B, H, W, C], but got {x.shape}.'
      )
    shape = (*_pair(self.kernel_size), x.shape[3], self.features)
    w = self.param('kernel', self.kernel_init, shape, self.param_dtype)
    x, w = promote_dtype(x, w, dtype=self.dtype)
    x = fn(x, w, strides=self.strides, padding=self.padding)
    if not self.use_bias:
      return x
    b = self.param('bias', self.bias_init, shape[3:], self.param_dtype)
    return add_bias(x, b)


class Conv(_Layer):
  """`nn.Conv` for [B, H, W, C] -> [B, Ho, Wo, features]; see `conv`."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns maps, [B, Ho, Wo, features]."""
    return self.apply_map(conv, x)


class ConvTranspose(_Layer):
  """`nn.ConvTranspose` for [B, H, W, C] images; see `conv_transpose`."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns maps, [B, Ho, Wo, features]."""
    return self.apply_map(conv_transpose, x)
