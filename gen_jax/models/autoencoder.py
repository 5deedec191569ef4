"""Encoders and decoders: images [B, H, W, C] to latents [B, Z] and back.

Dense and Conv ones may be given a condition [B, K], such as classes one-hot, to
look at too.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.models.layers import conv
from gen_jax.models.layers.linear import Dense
from gen_jax.models.layers.resampling import levels
from gen_jax.registry.fields import Dtype, Shape, Size, Sizes, SomeSizes

Activation = Callable[[jax.Array], jax.Array]


class DenseEncoder(nn.Module):
  """Fully connected layers, then a linear one of `features`.

  Attributes:
    features: width of the output, [B, features].
    hidden: widths of the layers before it.
    dtype: of the computation; parameters and output are float32.
  """

  features: Size
  hidden: Sizes = (400,)
  activation: Activation = nn.relu
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, images: jax.Array, condition: jax.Array | None = None
  ) -> jax.Array:
    """Returns outputs [B, features] of images [B, H, W, C]."""
    x = _join(images.reshape(images.shape[0], -1), condition)  # [B, H W C + K]
    for width in self.hidden:
      x = self.activation(Dense(width, dtype=self.dtype)(x))
    x = Dense(self.features, dtype=self.dtype)(x)
    return x.astype(jnp.float32)


class DenseDecoder(nn.Module):
  """Fully connected layers, then a linear one of the images' size.

  Attributes:
    shape: of an image, (H, W, C).
    hidden: widths of the layers before the last.
  """

  shape: Shape
  hidden: Sizes = (400,)
  activation: Activation = nn.relu
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, latents: jax.Array, condition: jax.Array | None = None
  ) -> jax.Array:
    """Returns outputs [B, H, W, C] of latents [B, Z]."""
    x = _join(latents, condition)  # [B, Z + K]
    for width in self.hidden:
      x = self.activation(Dense(width, dtype=self.dtype)(x))
    x = Dense(math.prod(self.shape), dtype=self.dtype)(x)
    return x.reshape(-1, *self.shape).astype(jnp.float32)


class ConvEncoder(nn.Module):
  """Convolutions of stride 2, then a linear layer of `features`.

  Attributes:
    features: width of the output, [B, features].
    channels: of the convolutions; each halves the image.
    kernel: size of their kernels, in pixels.
  """

  features: Size
  channels: SomeSizes = (32, 64)
  kernel: Size = 3
  activation: Activation = nn.relu
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, images: jax.Array, condition: jax.Array | None = None
  ) -> jax.Array:
    """Returns outputs [B, features] of images [B, H, W, C]."""
    x = images
    if condition is not None:  # as planes of one value, [B, H, W, C + K]
      planes = condition[:, None, None]
      planes = jnp.broadcast_to(planes, (*x.shape[:3], condition.shape[-1]))
      x = _join(x, planes)
    for width in self.channels:  # [B, H / 2, W / 2, width]
      x = conv.Conv(
        width, (self.kernel, self.kernel), strides=2, dtype=self.dtype
      )(x)
      x = self.activation(x)
    x = x.reshape(x.shape[0], -1)
    x = Dense(self.features, dtype=self.dtype)(x)
    return x.astype(jnp.float32)


class ConvDecoder(nn.Module):
  """A linear layer to a small map, then transposed convolutions of stride 2.

  Attributes:
    shape: of an image, (H, W, C).
    channels: of the transposed convolutions; each doubles the map.
    base: channels of the small map.
    kernel: size of their kernels, in pixels.
  """

  shape: Shape
  channels: SomeSizes = (64, 32)
  base: Size = 32
  kernel: Size = 3
  activation: Activation = nn.relu
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, latents: jax.Array, condition: jax.Array | None = None
  ) -> jax.Array:
    """Returns outputs [B, H, W, C] of latents [B, Z]."""
    height, width, depth = self.shape
    small, *sizes = levels(height, width, len(self.channels))
    x = _join(latents, condition)
    x = Dense(small[0] * small[1] * self.base, dtype=self.dtype)(x)
    x = self.activation(x).reshape(-1, *small, self.base)
    kernel = (self.kernel, self.kernel)
    for channels, (h, w) in zip(self.channels, sizes, strict=True):
      x = conv.ConvTranspose(channels, kernel, strides=2, dtype=self.dtype)(x)
      x = self.activation(x[:, :h, :w])
    x = conv.ConvTranspose(depth, kernel, dtype=self.dtype)(x)
    return x.astype(jnp.float32)


class MapEncoder(nn.Module):
  """Convolutions at the images' own size; the latents are the last map.

  Attributes:
    channels: of the convolutions; the latents are [B, H * W * channels[-1]].
    kernel: size of their kernels, in pixels.
  """

  channels: SomeSizes = (48, 48)
  kernel: Size = 5
  activation: Activation = nn.relu
  dtype: Dtype = None

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Returns the last map of images [B, H, W, C], flattened."""
    x, kernel = images, (self.kernel, self.kernel)
    for width in self.channels[:-1]:
      x = self.activation(conv.Conv(width, kernel, dtype=self.dtype)(x))
    x = conv.Conv(self.channels[-1], kernel, dtype=self.dtype)(x)
    return x.reshape(x.shape[0], -1).astype(jnp.float32)


class MapDecoder(nn.Module):
  """Convolutions of latents as a map, at the images' size.

  Attributes:
    shape: of an image, (H, W, C).
    channels: of the convolutions before the last.
    kernel: size of their kernels, in pixels.
  """

  shape: Shape
  channels: SomeSizes = (48,)
  kernel: Size = 5
  activation: Activation = nn.relu
  dtype: Dtype = None

  @nn.compact
  def __call__(self, latents: jax.Array) -> jax.Array:
    """Returns outputs [B, H, W, C] of flattened maps."""
    height, width, depth = self.shape
    x, kernel = (
      latents.reshape(latents.shape[0], height, width, -1),
      (self.kernel,) * 2,
    )
    for channels in self.channels:
      x = self.activation(conv.Conv(channels, kernel, dtype=self.dtype)(x))
    x = conv.Conv(depth, kernel, dtype=self.dtype)(x)
    return x.astype(jnp.float32)


def _join(x: jax.Array, condition: jax.Array | None) -> jax.Array:
  """Puts a condition behind the channels of x."""
  if condition is None:
    return x
  return jnp.concatenate([x, condition.astype(x.dtype)], axis=-1)
