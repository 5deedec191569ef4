"""The networks of StackGAN (Zhang et al. 2016, section 3).

Generators take caption vectors [B, E] and samples of N(0, 1): first the noise
of the conditioning augmentation, then the latents. They return images in
[-1, 1] with the mean and the log-variance of the conditioning, [B, c] each. A
discriminator takes images and T caption vectors for each, [T, B, E], and
returns logits [T, B]; the features of an image are computed once.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import InputError
from gen_jax.models.layers import conv
from gen_jax.models.layers.batches import join, split
from gen_jax.models.layers.linear import Dense
from gen_jax.models.layers.normalization import Normalization, Normalized
from gen_jax.models.layers.resampling import fused_scale_kernel, upsample
from gen_jax.registry.fields import Depth, Dtype, Shape, Size, SomeSizes

# As in the authors' code; the scales of normalization have the same around 1.
_STD = 0.02
_INIT = nn.initializers.normal(_STD)
_NEGATIVE_SLOPE = 0.2


class ConditioningAugmentation(nn.Module):
  """Conditioning augmentation (section 3.2): c = mean + stddev * noise.

  Attributes:
    width: size of c and of the noise.
  """

  width: Size
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, texts: jax.Array, noise: jax.Array
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns c, the mean and the log-variance, [B, width] each."""
    layer = Dense(2 * self.width, kernel_init=_INIT, dtype=self.dtype)
    x = nn.leaky_relu(layer(texts), _NEGATIVE_SLOPE).astype(jnp.float32)
    mean, log_variance = jnp.split(x, 2, axis=-1)
    return mean + jnp.exp(log_variance / 2) * noise, mean, log_variance


class UpsampledConv(nn.Module):
  """A 3x3 convolution of the upsampled input, without a bias.

  [B, H, W, C] -> [B, 2 H, 2 W, features].
  """

  features: Size
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns a map of twice the size."""
    w = self.param('kernel', _INIT, (3, 3, x.shape[-1], self.features))
    x, w = nn.dtypes.promote_dtype(x, w, dtype=self.dtype)
    return conv.conv_transpose(x, fused_scale_kernel(w), strides=2, padding=2)


def _normalized(layer: nn.Module, x, train: bool, dtype) -> jax.Array:
  """Applies a layer of a generator, batch normalization and a ReLU."""
  layer = Normalized(layer, 'batch', scale_std=_STD, dtype=dtype)
  return nn.relu(layer(x, train))


def _to_image(x: jax.Array, depth: int, dtype, base=0.0) -> jax.Array:
  """Applies the last convolution, adds it to `base`, and applies tanh."""
  layer = conv.Conv(depth, (3, 3), kernel_init=_INIT, dtype=dtype)
  return jnp.tanh(layer(x).astype(jnp.float32) + base)


def _with_vectors(x: jax.Array, vectors: jax.Array) -> jax.Array:
  """Appends vectors [B, c] to every pixel of x, [B, h, w, C + c]."""
  # Repeated in float32, so that the gradients are summed in float32.
  vectors = vectors.astype(jnp.float32)[:, None, None]
  vectors = jnp.broadcast_to(vectors, (*x.shape[:3], vectors.shape[-1]))
  return jnp.concatenate([x, vectors.astype(x.dtype)], axis=-1)


class Generator(nn.Module):
  """The generator of stage I (section 3.3): a dense layer, then upsampling.

  In the paper the maps have 1024, 512, 256, 128 and 64 channels, from 4x4 to
  64x64 pixels.

  Attributes:
    shape: of an image, (H, W, C).
    channels: of each map; H and W are multiples of 2^(len(channels) - 1).
    condition: size of the conditioning variable. The noise has this many values
      more than the latents.
  """

  shape: Shape
  channels: SomeSizes = (1024, 512, 256, 128, 64)
  condition: Size = 128
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, texts: jax.Array, noise: jax.Array, train: bool = False
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns images, and the mean and log-variance of the conditioning."""
    height, width, depth = self.shape
    first, *others = self.channels
    scale = 2 ** len(others)
    if height % scale or width % scale:
      raise InputError(
        f'stackgan.Generator: {height}x{width} pixels are not a multiple of '
        f'{scale}, the total upsampling of {len(self.channels)} maps: take '
        'another number of `channels`.'
      )
    noise, latents = jnp.split(noise, [self.condition], axis=-1)
    condition = ConditioningAugmentation(self.condition, self.dtype)
    c, *moments = condition(texts, noise)
    size = height // scale, width // scale, first
    small = nn.Sequential(
      [
        Dense(
          size[0] * size[1] * first,
          use_bias=False,
          kernel_init=_INIT,
          dtype=self.dtype,
        ),
        lambda x: x.reshape(-1, *size),
      ]
    )
    x = jnp.concatenate([c, latents], axis=-1)
    x = _normalized(small, x, train, self.dtype)
    for features in others:
      x = _normalized(UpsampledConv(features, self.dtype), x, train, self.dtype)
    return _to_image(x, depth, self.dtype), *moments


class Refiner(nn.Module):
  """The generator of stage II (section 3.4), from an image and its caption.

  The image is encoded, concatenated with the conditioning at every pixel,
  transformed by residual blocks and upsampled. In the paper the encoder has
  128, 256 and 512 channels, from 64x64 to 16x16 pixels; 4 blocks follow, and
  256, 128, 64 and 32 channels up to 256x256 pixels.

  Attributes:
    shape: of an image, (H, W, C).
    down: channels of the encoder; each map but the first has half the size.
    blocks: number of residual blocks, with as many channels as the last map.
    up: channels of the upsampling blocks; each map has twice the size.
    condition: size of the conditioning variable and of the noise.
    skip: whether the output is added to the upsampled image of stage I, so that
      the network only corrects it; not in the paper.
  """

  shape: Shape
  down: SomeSizes = (128, 256, 512)
  blocks: Depth = 4
  up: SomeSizes = (256, 128, 64, 32)
  condition: Size = 128
  skip: bool = False
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    texts: jax.Array,
    noise: jax.Array,
    train: bool = False,
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns images, and the mean and log-variance of the conditioning."""
    height, width, depth = self.shape
    made = images.shape[1] * 2 ** (len(self.up) - len(self.down) + 1)
    if made != height or images.shape[1] % 2 ** (len(self.down) - 1):
      raise InputError(
        f'stackgan.Refiner: {len(self.down)} maps of `down` and '
        f'{len(self.up)} of `up` bring {images.shape[1]} pixels to {made}, '
        f'and not to the {height} of `shape`.'
      )

    def conv_block(x, features, kernel=3, strides=1):
      layer = conv.Conv(
        features,
        (kernel, kernel),
        strides=strides,
        use_bias=False,
        kernel_init=_INIT,
        dtype=self.dtype,
      )
      return _normalized(layer, x, train, self.dtype)

    first, *others = self.down
    x = conv_block(images, first)
    for features in others:
      x = conv_block(x, features, 4, 2)
    condition = ConditioningAugmentation(self.condition, self.dtype)
    c, *moments = condition(texts, noise)
    x = conv_block(_with_vectors(x, c), self.down[-1])
    for _ in range(self.blocks):
      x = _Block(self.dtype)(x, train)
    for features in self.up:
      x = _normalized(UpsampledConv(features, self.dtype), x, train, self.dtype)
    base = 0.0
    if self.skip:
      base = jnp.arctanh(0.95 * upsample(images, height // images.shape[1]))
    return _to_image(x, depth, self.dtype, base), *moments


class _Block(nn.Module):
  """relu(x + norm(conv(relu(norm(conv(x)))))), as in the authors' code."""

  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    layers = [
      conv.Conv(
        x.shape[-1],
        (3, 3),
        use_bias=False,
        kernel_init=_INIT,
        dtype=self.dtype,
      )
      for _ in range(2)
    ]
    y = _normalized(layers[0], x, train, self.dtype)
    last = Normalized(layers[1], 'batch', scale_std=_STD, dtype=self.dtype)
    return nn.relu(x + last(y, train))


class Discriminator(nn.Module):
  """The discriminator of either stage, of pairs of images and captions.

  Convolutions of stride 2 encode the image. The caption vector is compressed by
  a dense layer and appended to every pixel of the last map. A 1x1 convolution
  and a dense layer return one logit. In the paper there are maps of 64, 128,
  256 and 512 channels for 64 pixels, and two more for 256.

  Attributes:
    channels: of each map, which has half the size of the one before.
    text: size of the compressed caption vector.
    normalize: 'batch' after each convolution but the first, 'spectral' in every
      layer, or '' for none. Each of the T sets of pairs is a batch of its own,
      as in the authors' code, which applies the network to matching and to
      mismatched pairs one after the other.
  """

  channels: SomeSizes = (64, 128, 256, 512)
  text: Size = 128
  normalize: Normalization = 'batch'
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, images: jax.Array, texts: jax.Array, train: bool = False
  ) -> jax.Array:
    """Returns logits [T, B] of images and T caption vectors each."""
    inner, dtype = self.normalize, self.dtype
    outer = inner if inner != 'batch' else ''

    def normalized(layer, kind, x, parts=1):
      layer = Normalized(layer, kind, scale_std=_STD, parts=parts, dtype=dtype)
      return layer(x, train)

    def conv_block(x, features, kernel, strides, kind, parts=1):
      layer = conv.Conv(
        features,
        (kernel, kernel),
        strides=strides,
        use_bias=kind != 'batch',
        kernel_init=_INIT,
        dtype=dtype,
      )
      return nn.leaky_relu(normalized(layer, kind, x, parts), _NEGATIVE_SLOPE)

    x = images
    for index, features in enumerate(self.channels):
      x = conv_block(x, features, 4, 2, inner if index else outer)

    times = len(texts)
    layer = Dense(self.text, kernel_init=_INIT, dtype=dtype)
    texts = join(texts)
    texts = nn.leaky_relu(normalized(layer, outer, texts), _NEGATIVE_SLOPE)
    x = jnp.repeat(x, times, axis=0)  # [B T, h, w, C]
    x = _with_vectors(x, texts)
    x = conv_block(x, self.channels[-1], 1, 1, inner, parts=times)
    layer = Dense(1, kernel_init=_INIT, dtype=dtype)
    logits = normalized(layer, outer, x.reshape(x.shape[0], -1))
    return jnp.stack(split(logits[:, 0], times)).astype(jnp.float32)
