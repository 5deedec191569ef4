"""Deeper convolutional encoders and decoders, of residual blocks."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.models.layers import conv
from gen_jax.models.layers.linear import Dense
from gen_jax.models.layers.resampling import levels
from gen_jax.registry.fields import Depth, Dtype, Shape, Size, SomeSizes


class Block(nn.Module):
  """x + conv(silu(conv(silu(x)))), [B, H, W, C] -> [B, H, W, C].

  The last convolution starts at 0, so that a deep network starts as a shallow
  one and needs no normalization (Zhang et al. 2019), which would make an
  image's bound depend on the others of its batch.
  """

  kernel: Size = 3
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns the block's output, [B, H, W, C]."""
    width, kernel = x.shape[-1], (self.kernel, self.kernel)
    y = conv.Conv(width, kernel, dtype=self.dtype)(nn.silu(x))
    y = conv.Conv(
      width,
      kernel,
      kernel_init=nn.initializers.zeros_init(),
      dtype=self.dtype,
    )(nn.silu(y))
    return x + y


class ResidualEncoder(nn.Module):
  """Levels of residual blocks, each at half the size of the one before.

  Attributes:
    features: width of the output, [B, features].
    channels: of each level.
    blocks: in each level.
    hidden: width of the layer between the last map and the output.
  """

  features: Size
  channels: SomeSizes = (32, 64)
  blocks: Depth = 2
  hidden: Size = 256
  dtype: Dtype = None

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Returns outputs [B, features] of images [B, H, W, C]."""
    x = images
    for width in self.channels:  # [B, H / 2, W / 2, width]
      x = conv.Conv(width, (4, 4), strides=2, dtype=self.dtype)(x)
      for _ in range(self.blocks):
        x = Block(dtype=self.dtype)(x)
    x = nn.silu(x).reshape(x.shape[0], -1)
    x = nn.silu(Dense(self.hidden, dtype=self.dtype)(x))
    x = Dense(self.features, dtype=self.dtype)(x)
    return x.astype(jnp.float32)


class ResidualDecoder(nn.Module):
  """The encoder's mirror image.

  Attributes:
    shape: of an image, (H, W, C).
    channels: of each level, from the smallest map on.
    blocks: in each level.
    hidden: width of the layer between the latents and the first map.
  """

  shape: Shape
  channels: SomeSizes = (64, 32)
  blocks: Depth = 2
  hidden: Size = 256
  dtype: Dtype = None

  @nn.compact
  def __call__(self, latents: jax.Array) -> jax.Array:
    """Returns outputs [B, H, W, C] of latents [B, Z]."""
    height, width, depth = self.shape
    small, *sizes = levels(height, width, len(self.channels))
    x = nn.silu(Dense(self.hidden, dtype=self.dtype)(latents))
    x = Dense(small[0] * small[1] * self.channels[0], dtype=self.dtype)(x)
    x = x.reshape(-1, *small, self.channels[0])
    widths = (*self.channels[1:], depth)
    for after, (h, w) in zip(widths, sizes, strict=True):  # [B, h, w, after]
      for _ in range(self.blocks):
        x = Block(dtype=self.dtype)(x)
      x = conv.ConvTranspose(after, (4, 4), strides=2, dtype=self.dtype)(
        nn.silu(x)
      )[:, :h, :w]
    return x.astype(jnp.float32)
