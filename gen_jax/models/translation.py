"""Networks that turn images into images of the same size (Zhu et al. 2017).

They take images [B, H, W, C] in [-1, 1] of any size that their `stride`
divides, and give [B, H, W, out] in [-1, 1]. Layers and parameters are those of
the authors' program, github.com/junyanz/pytorch-CycleGAN-and-pix2pix.
"""

import functools
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import InputError
from gen_jax.models.layers.conv import Conv, ConvTranspose
from gen_jax.models.layers.normalization import Normalization, Normalized
from gen_jax.models.layers.resampling import upsample
from gen_jax.registry.fields import Decay, Depth, Dtype, Size, SomeSizes

INIT = nn.initializers.normal(0.02)
_PAD = ((1, 1), (1, 1))
# PyTorch's padding of 1 and output padding of 1.
_PAD_UP = ((1, 2), (1, 2))

_Upsample = Literal['transpose', 'resize']


def reflect(x: jax.Array, pad: int) -> jax.Array:
  """Mirrors the pixels at each edge: [B, H, W, C] -> [B, H + 2 pad, ...].

  Raises:
    InputError: the image is not larger than the padding.
  """
  if min(x.shape[1:3]) <= pad:
    raise InputError(
      f'maps of {x.shape[1]}x{x.shape[2]} pixels are too small to be padded '
      f'by {pad}: take larger images.'
    )
  return _reflect(x, pad)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _reflect(x, pad):
  for axis in (1, 2):
    size = x.shape[axis]
    before = jax.lax.slice_in_dim(x, 1, pad + 1, axis=axis)
    after = jax.lax.slice_in_dim(x, size - 1 - pad, size - 1, axis=axis)
    x = jnp.concatenate(
      [jnp.flip(before, axis), x, jnp.flip(after, axis)], axis=axis
    )
  return x


def _reflect_gradient(pad, _, dy):
  # JAX's own gradient pads each edge to the size of the image, and adds these.
  for axis in (2, 1):
    size = dy.shape[axis] - 2 * pad
    dx = jax.lax.slice_in_dim(dy, pad, pad + size, axis=axis)
    for edge, start in ((0, 1), (pad + size, size - 1 - pad)):
      mirrored = jax.lax.slice_in_dim(dy, edge, edge + pad, axis=axis)
      met = jax.lax.slice_in_dim(dx, start, start + pad, axis=axis)
      total = met + jnp.flip(mirrored, axis)
      dx = jax.lax.dynamic_update_slice_in_dim(dx, total, start, axis)
    dy = dx
  return (dy,)


_reflect.defvjp(lambda x, pad: (_reflect(x, pad), None), _reflect_gradient)


class _Block(nn.Module):
  """x + norm(conv(relu(norm(conv(x))))), with reflection padding."""

  normalize: Normalization
  dtype: Dtype

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y, width = x, x.shape[-1]
    for last in (False, True):
      layer = Conv(
        width, (3, 3), padding='VALID', kernel_init=INIT, dtype=self.dtype
      )
      layer = Normalized(layer, self.normalize, dtype=self.dtype)
      y = layer(reflect(y, 1), train)
      y = y if last else nn.relu(y)
    return x + y


class ResidualTranslator(nn.Module):
  """c7s1-n, d2n, d4n, R4n ..., u2n, un, c7s1-out (appendix 7.2).

  With `channels` of 64 and 3 outputs these have 11,378,179 parameters with 9
  blocks and 7,837,699 with 6.

  Attributes:
    out: channels of the output.
    channels: n, of the first map.
    blocks: of residuals at a quarter of the size; 6 for 128 pixels and 9 from
      256 on.
    levels: halvings of the size before them.
    upsample: 'transpose', transposed convolutions, as in the paper, or
      'resize', nearest neighbors and then a convolution, which leaves no
      checkerboard (Odena et al. 2016).
    normalize: 'instance', or another of models/layers/normalization.py.
  """

  out: Size = 3
  channels: Size = 64
  blocks: Depth = 9
  levels: Depth = 2
  upsample: _Upsample = 'transpose'
  normalize: Normalization = 'instance'
  dtype: Dtype = None

  @property
  def stride(self) -> int:
    """Returns the number that must divide the height and width of an image."""
    return 2**self.levels

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """Returns translated images, [B, H, W, out]."""
    _check_size(self, images)
    common = dict(kernel_init=INIT, dtype=self.dtype)

    def hidden(x, layer):
      layer = Normalized(layer, self.normalize, dtype=self.dtype)
      return nn.relu(layer(x, train))

    wide = Conv(self.channels, (7, 7), padding='VALID', **common)
    x = hidden(reflect(images, 3), wide)
    widths = [self.channels * 2**i for i in range(self.levels + 1)]
    for width in widths[1:]:
      x = hidden(x, Conv(width, (3, 3), strides=2, padding=_PAD, **common))
    for _ in range(self.blocks):
      x = _Block(self.normalize, self.dtype)(x, train)
    for width in widths[-2::-1]:
      if self.upsample == 'resize':
        x = upsample(x)
        x = hidden(x, Conv(width, (3, 3), padding=_PAD, **common))
      else:
        up = ConvTranspose(width, (3, 3), 2, _PAD_UP, **common)
        x = hidden(x, up)
    last = Conv(self.out, (7, 7), padding='VALID', **common)
    x = last(reflect(x, 3))
    return jnp.tanh(x.astype(jnp.float32))


class UNetTranslator(nn.Module):
  """An encoder and a decoder, with a link at each size (Isola et al. 2017).

  Attributes:
    out: channels of the output.
    channels: of each map, each at half the size of the one before.
    upsample: as `ResidualTranslator`.
    normalize: of all layers but the first, the innermost convolution and the
      last.
    dropout: fraction of each map that the first three layers of the decoder
      leave out in training, .5 there.
  """

  out: Size = 3
  channels: SomeSizes = (64, 128, 256, 512, 512)
  upsample: _Upsample = 'transpose'
  normalize: Normalization = 'instance'
  dropout: Decay = 0.0
  dtype: Dtype = None

  @property
  def stride(self) -> int:
    """Returns the number that must divide the height and width of an image."""
    return 2 ** len(self.channels)

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """Returns translated images, [B, H, W, out]."""
    _check_size(self, images)
    common = dict(kernel_init=INIT, dtype=self.dtype)
    depth = len(self.channels)

    def normalized(x, layer, kind):
      return Normalized(layer, kind, dtype=self.dtype)(x, train)

    x, links = images, []
    for level, width in enumerate(self.channels):
      kind = self.normalize if 0 < level < depth - 1 else ''
      layer = Conv(width, (4, 4), strides=2, padding=_PAD, **common)
      x = normalized(nn.leaky_relu(x, 0.2) if level else x, layer, kind)
      links.append(x)
    for level in reversed(range(depth)):
      outer = level == 0
      width = self.out if outer else self.channels[level - 1]
      x = nn.relu(x)
      if self.upsample == 'resize':
        x = upsample(x)
        layer = Conv(width, (3, 3), padding=_PAD, **common)
      else:  # PyTorch's kernel of 4, stride of 2 and padding of 1
        pad = ((2, 2), (2, 2))
        layer = ConvTranspose(width, (4, 4), 2, pad, **common)
      x = normalized(x, layer, '' if outer else self.normalize)
      if depth - 3 <= level and not outer:
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
      if not outer:
        x = jnp.concatenate([links[level - 1], x], axis=-1)
    return jnp.tanh(x.astype(jnp.float32))


class PatchDiscriminator(nn.Module):
  """Which patches of an image are real: [B, H, W, C] -> logits [B, h, w].

  C64-C128-C256-C512 and a convolution to one map (appendix 7.2), kernels of 4:
  each logit sees a patch of 70x70 with 3 levels, 34x34 with 2, 16x16 with 1.
  2,764,737 parameters with 3 levels, 64 channels and images of 3.

  Attributes:
    channels: of the first map.
    levels: halvings of the size; the last convolution keeps it but for a pixel.
    normalize: of all layers but the first and the last.
  """

  channels: Size = 64
  levels: Depth = 3
  normalize: Normalization = 'instance'
  dtype: Dtype = None

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """Returns a logit for each patch, [B, h, w]."""
    smallest = 3 * 2**self.levels  # a map of 2x2 before the last layer
    if min(images.shape[1:3]) < smallest:
      raise InputError(
        f'translation.PatchDiscriminator: images of {images.shape[1]}x'
        f'{images.shape[2]} are too small for {self.levels} `levels`: take '
        f'fewer, or images of {smallest} pixels.'
      )
    x = images
    for level in range(self.levels + 1):
      layer = Conv(
        self.channels * min(2**level, 8),
        (4, 4),
        strides=2 if level < self.levels else 1,
        padding=_PAD,
        kernel_init=INIT,
        dtype=self.dtype,
      )
      kind = self.normalize if level else ''
      layer = Normalized(layer, kind, dtype=self.dtype)
      x = nn.leaky_relu(layer(x, train), 0.2)
    x = Conv(1, (4, 4), padding=_PAD, kernel_init=INIT, dtype=self.dtype)(x)
    return x[..., 0].astype(jnp.float32)


def _check_size(network, images):
  height, width = images.shape[1:3]
  if height % network.stride or width % network.stride:
    raise InputError(
      f'translation.{type(network).__name__}: {height}x{width} pixels are not '
      f'a multiple of {network.stride}, the stride of this network.'
    )
