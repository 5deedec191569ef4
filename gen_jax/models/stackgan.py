"""The networks of StackGAN (Zhang et al. 2016, section 3).

Generators take vectors of captions [B, E] and draws from N(0, 1), of which they
make both the noise of the conditioning and the code, and return images in
[-1, 1] with the mean and the log-variance of the conditioning, [B, c] each. A
judge takes images and T vectors of captions for each, [T, B, E], and returns
logits [T, B]: what it sees of an image is computed once.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import InputError
from gen_jax.models.layers import conv
from gen_jax.models.layers.linear import Dense
from gen_jax.models.layers.normalization import Normalization, Normalized
from gen_jax.models.layers.resampling import enlarge, smear
from gen_jax.registry.fields import Depth, Dtype, Shape, Size, SomeSizes

# As the authors' program has it, for the scales around 1.
_STD = 0.02
_INIT = nn.initializers.normal(_STD)
_SLOPE = 0.2


class Condition(nn.Module):
  """Conditioning augmentation, section 3.2: c = mean + deviation * noise.

  Attributes:
    width: c, as wide as the noise.
  """

  width: Size
  dtype: Dtype = None

  @nn.compact
  def __call__(self, texts: jax.Array, noise: jax.Array):
    """Returns c, the mean and the log-variance, [B, width] each."""
    layer = Dense(2 * self.width, kernel_init=_INIT, dtype=self.dtype)
    x = nn.leaky_relu(layer(texts), _SLOPE).astype(jnp.float32)
    mean, log_variance = jnp.split(x, 2, axis=-1)
    return mean + jnp.exp(log_variance / 2) * noise, mean, log_variance


class Upsampled(nn.Module):
  """A convolution of 3x3 of the image with each pixel repeated 2x2.

  [B, H, W, C] -> [B, 2 H, 2 W, features], without a bias.
  """

  features: Size
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    w = self.param('kernel', _INIT, (3, 3, x.shape[-1], self.features))
    x, w = nn.dtypes.promote_dtype(x, w, dtype=self.dtype)
    return conv.conv_transpose(x, smear(w), strides=2, padding=2)


def _finished(layer: nn.Module, x, train: bool, dtype) -> jax.Array:
  """Batch normalization and a rectifier after a layer of a generator."""
  layer = Normalized(layer, 'batch', scale_std=_STD, dtype=dtype)
  return nn.relu(layer(x, train))


def _picture(x: jax.Array, depth: int, dtype, on=0.0) -> jax.Array:
  """The last convolution and tanh, of what is added to `on`."""
  layer = conv.Conv(depth, (3, 3), kernel_init=_INIT, dtype=dtype)
  return jnp.tanh(layer(x).astype(jnp.float32) + on)


def _with_vectors(x: jax.Array, vectors: jax.Array) -> jax.Array:
  """Appends [B, c] to every pixel of [B, h, w, C]: [B, h, w, C + c]."""
  # Repeated in float32, so that the gradients of the copies are summed in it.
  vectors = vectors.astype(jnp.float32)[:, None, None]
  vectors = jnp.broadcast_to(vectors, (*x.shape[:3], vectors.shape[-1]))
  return jnp.concatenate([x, vectors.astype(x.dtype)], axis=-1)


class Generator(nn.Module):
  """Of stage I (section 3.3): a small map, then upsampling blocks.

  The paper's has maps of 1024, 512, 256, 128 and 64 channels, from 4x4 to
  64x64.

  Attributes:
    shape: of an image, (H, W, C).
    channels: of each map; H and W are multiples of 2^(len(channels) - 1).
    condition: width of the conditioning; the draws are this wide and the code.
  """

  shape: Shape
  channels: SomeSizes = (1024, 512, 256, 128, 64)
  condition: Size = 128
  dtype: Dtype = None

  @nn.compact
  def __call__(self, texts: jax.Array, draws: jax.Array, train: bool = False):
    height, width, depth = self.shape
    first, *others = self.channels
    scale = 2 ** len(others)
    if height % scale or width % scale:
      raise InputError(
        f'stackgan.Generator: {height}x{width} pixels are not a multiple of '
        f'{scale}, the scale of {len(self.channels)} maps: take other '
        '`channels`.'
      )
    noise, codes = jnp.split(draws, [self.condition], axis=-1)
    c, *moments = Condition(self.condition, self.dtype)(texts, noise)
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
    x = jnp.concatenate([c, codes], axis=-1)
    x = _finished(small, x, train, self.dtype)
    for features in others:
      x = _finished(Upsampled(features, self.dtype), x, train, self.dtype)
    return _picture(x, depth, self.dtype), *moments


class Refiner(nn.Module):
  """The generator of stage II (section 3.4): from an image and its caption.

  The image is encoded, with the conditioning at every place, transformed by
  residual blocks and upsampled. The paper's takes 64x64 down to 16x16 by 128,
  256 and 512 channels, has 4 blocks, and 256, 128, 64 and 32 channels up to
  256x256.

  Attributes:
    shape: of an image, (H, W, C).
    down: channels of the encoder; each map but the first has half the size.
    blocks: residual blocks, of as many channels as the last of `down`.
    up: channels of the upsampling blocks; each map has twice the size.
    condition: width of the conditioning, and of the draws.
    skip: start from the image of stage I, enlarged, which the network then
      only corrects; not in the paper.
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
    draws: jax.Array,
    train: bool = False,
  ):
    height, width, depth = self.shape
    made = images.shape[1] * 2 ** (len(self.up) - len(self.down) + 1)
    if made != height or images.shape[1] % 2 ** (len(self.down) - 1):
      raise InputError(
        f'stackgan.Refiner: {len(self.down)} maps of `down` and '
        f'{len(self.up)} of `up` bring {images.shape[1]} pixels to {made}, '
        f'and not to the {height} of `shape`.'
      )

    def convolved(x, features, kernel=3, strides=1):
      layer = conv.Conv(
        features,
        (kernel, kernel),
        strides=strides,
        use_bias=False,
        kernel_init=_INIT,
        dtype=self.dtype,
      )
      return _finished(layer, x, train, self.dtype)

    first, *others = self.down
    x = convolved(images, first)
    for features in others:
      x = convolved(x, features, 4, 2)
    c, *moments = Condition(self.condition, self.dtype)(texts, draws)
    x = convolved(_with_vectors(x, c), self.down[-1])
    for _ in range(self.blocks):
      x = _Block(self.dtype)(x, train)
    for features in self.up:
      x = _finished(Upsampled(features, self.dtype), x, train, self.dtype)
    on = 0.0
    if self.skip:
      on = jnp.arctanh(0.95 * enlarge(images, height // images.shape[1]))
    return _picture(x, depth, self.dtype, on), *moments


class _Block(nn.Module):
  """relu(x + norm(conv(relu(norm(conv(x)))))), as in the authors' program."""

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
    y = _finished(layers[0], x, train, self.dtype)
    last = Normalized(layers[1], 'batch', scale_std=_STD, dtype=self.dtype)
    return nn.relu(x + last(y, train))


class Discriminator(nn.Module):
  """The judge of either stage: whether an image is real, and of its caption.

  Convolutions of stride 2; behind the last map the vector of the caption,
  compressed, at every place; then a convolution of 1x1 and one logit. The
  paper's has maps of 64, 128, 256 and 512 channels for 64 pixels, and two more
  for 256.

  Attributes:
    channels: of each map; a level halves its size.
    text: width of the compressed vector.
    normalize: 'batch', of each convolution but the first; 'spectral', of every
      layer; or '' for none. The pairs of all images with one of their T
      captions are a batch of their own, as in the authors' program, which
      applies the network to real and to mismatched pairs in turn.
  """

  channels: SomeSizes = (64, 128, 256, 512)
  text: Size = 128
  normalize: Normalization = 'batch'
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, images: jax.Array, texts: jax.Array, train: bool = False
  ) -> jax.Array:
    inner, dtype = self.normalize, self.dtype
    outer = inner if inner != 'batch' else ''

    def judged(layer, kind, x, parts=1):
      layer = Normalized(layer, kind, scale_std=_STD, parts=parts, dtype=dtype)
      return layer(x, train)

    def convolved(x, features, kernel, strides, kind, parts=1):
      layer = conv.Conv(
        features,
        (kernel, kernel),
        strides=strides,
        use_bias=kind != 'batch',
        kernel_init=_INIT,
        dtype=dtype,
      )
      return nn.leaky_relu(judged(layer, kind, x, parts), _SLOPE)

    x = images
    for index, features in enumerate(self.channels):
      x = convolved(x, features, 4, 2, inner if index else outer)

    times, count, _ = texts.shape
    layer = Dense(self.text, kernel_init=_INIT, dtype=dtype)
    texts = texts.reshape(times * count, -1)
    texts = nn.leaky_relu(judged(layer, outer, texts), _SLOPE)
    x = jnp.tile(x, (times, 1, 1, 1))  # [T B, h, w, C]
    x = _with_vectors(x, texts)
    x = convolved(x, self.channels[-1], 1, 1, inner, parts=times)
    layer = Dense(1, kernel_init=_INIT, dtype=dtype)
    logits = judged(layer, outer, x.reshape(len(x), -1))
    return logits.reshape(times, count).astype(jnp.float32)
