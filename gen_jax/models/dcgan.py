"""Convolutional generators and discriminators (Radford et al. 2015).

A generator maps latents [B, Z] to images [B, H, W, C] in [-1, 1]. A
discriminator maps images to logits [B]. With `train` batch normalization takes
the statistics of the batch, otherwise the running averages.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.models.layers.conv import Conv, ConvTranspose
from gen_jax.models.layers.linear import Dense
from gen_jax.models.layers.normalization import Normalization, Normalized
from gen_jax.models.layers.resampling import levels
from gen_jax.registry.fields import (
  Count,
  Decay,
  Dtype,
  Fraction,
  Shape,
  Size,
  Sizes,
  SomeSizes,
)

# N(0, .02) for all weights (section 4); the authors' program has it for the
# scales too, around 1.
_STD = 0.02
_INIT = nn.initializers.normal(_STD)


class Generator(nn.Module):
  """A small map from the latents, then transposed convolutions of stride 2.

  Batch normalization and rectifiers after each layer but the last, tanh after
  that (section 3). The paper's, for 64 pixels, has maps of 1024, 512, 256 and
  128 channels from 4x4 on; 32 pixels take one level fewer. A map is half as
  large as the next, rounded up: 28 pixels come from 14, 7 and 4.

  Attributes:
    shape: of an image, (H, W, C).
    channels: of each map before the image.
    kernel: size of the kernels, in pixels.
    normalize: 'batch', or '' for none.
    hidden: widths of dense layers before the first map; InfoGAN's has one of
      1024 (Chen et al. 2016, appendix C.1).
  """

  shape: Shape
  channels: SomeSizes = (1024, 512, 256, 128)
  kernel: Size = 5
  normalize: Normalization = 'batch'
  hidden: Sizes = ()
  dtype: Dtype = None

  @nn.compact
  def __call__(self, latents: jax.Array, train: bool = False) -> jax.Array:
    """Returns images [B, H, W, C] of latents [B, Z]."""
    height, width, depth = self.shape
    first, *others = self.channels
    small, *sizes = levels(height, width, len(self.channels))
    kernel = (self.kernel, self.kernel)
    common = dict(kernel_init=_INIT, dtype=self.dtype)
    inner = dict(use_bias=self.normalize != 'batch', **common)
    layers = [
      *(Dense(width, **inner) for width in self.hidden),
      # Made a map before it is normalized: the statistics are of channels.
      nn.Sequential(
        [
          Dense(small[0] * small[1] * first, **inner),
          lambda x: x.reshape(-1, *small, first),
        ]
      ),
      *(
        Crop(ConvTranspose(c, kernel, strides=2, **inner), size)
        for c, size in zip(others, sizes, strict=False)
      ),
    ]
    x = latents
    for layer in layers:
      normalized = Normalized(
        layer, self.normalize, scale_std=_STD, dtype=self.dtype
      )
      x = nn.relu(normalized(x, train))
    x = Crop(ConvTranspose(depth, kernel, strides=2, **common), sizes[-1])(x)
    return jnp.tanh(x.astype(jnp.float32))


class Crop(nn.Module):
  """A layer, of whose map the first `size` rows and columns are kept."""

  layer: nn.Module
  size: tuple[int, int]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns the first rows and columns of the map."""
    height, width = self.size
    return self.layer(x)[:, :height, :width]


class Discriminator(nn.Module):
  """Convolutions of stride 2 and leaky rectifiers, then one logit.

  Attributes:
    channels: of each map; a level halves its size.
    kernel: size of the kernels, in pixels.
    normalize: 'batch', of each convolution but the first (section 3);
      'spectral', of every layer (Miyato et al. 2018); or '' for none, as a
      gradient penalty needs it.
    negative_slope: of the leaky ReLUs.
    hidden: widths of dense layers after the last map.
    extra: outputs of a second head on the same trunk, [B, extra]; 0 for none.
    head: width of the layer before those.
  """

  channels: SomeSizes = (64, 128, 256, 512)
  kernel: Size = 5
  normalize: Normalization = 'batch'
  negative_slope: Fraction = 0.2
  hidden: Sizes = ()
  extra: Count = 0
  head: Size = 128
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, images: jax.Array, train: bool = False
  ) -> jax.Array | tuple[jax.Array, jax.Array]:
    """Returns logits [B] of images, and the second head's outputs if any."""
    x, kernel = images, (self.kernel, self.kernel)
    outer = self.normalize if self.normalize != 'batch' else ''
    common = dict(kernel_init=_INIT, dtype=self.dtype)

    def activated(layer, kind, x):
      layer = Normalized(layer, kind, scale_std=_STD, dtype=self.dtype)
      return nn.leaky_relu(layer(x, train), self.negative_slope)

    for index, width in enumerate(self.channels):
      kind = self.normalize if index else outer
      bias = kind != 'batch'
      layer = Conv(width, kernel, strides=2, use_bias=bias, **common)
      x = activated(layer, kind, x)
    x = x.reshape(x.shape[0], -1)
    for width in self.hidden:
      bias = self.normalize != 'batch'
      layer = Dense(width, use_bias=bias, **common)
      x = activated(layer, self.normalize, x)
    layer = Dense(1, **common)
    logit = Normalized(layer, outer, dtype=self.dtype)(x, train)
    logit = logit[:, 0].astype(jnp.float32)
    if not self.extra:
      return logit
    x = Dense(self.head, dtype=self.dtype, name='head')(x)
    x = nn.leaky_relu(x, self.negative_slope)
    x = Dense(self.extra, dtype=self.dtype, name='extra')(x)
    return logit, x.astype(jnp.float32)


class SmallGenerator(nn.Module):
  """For MNIST, as in TensorFlow's tutorial 'Deep Convolutional GAN'.

  It has 2,305,472 parameters for latents of size 100. The first batch
  normalization is of each unit, the ReLUs are leaky, and the initialization is
  Glorot's.
  """

  dtype: Dtype = None

  @nn.compact
  def __call__(self, latents: jax.Array, train: bool = False) -> jax.Array:
    # What Keras takes where nothing is said.
    """Returns images [B, 28, 28, 1] of latents [B, Z]."""
    init = nn.initializers.glorot_uniform()
    common = dict(use_bias=False, kernel_init=init, dtype=self.dtype)

    def normalized(layer, x):
      norm = Normalized(layer, 'batch', 0.99, 1e-3, dtype=self.dtype)
      return nn.leaky_relu(norm(x, train), 0.3)

    x = normalized(Dense(7 * 7 * 256, **common), latents)
    x = x.reshape(-1, 7, 7, 256)
    x = normalized(ConvTranspose(128, (5, 5), **common), x)
    x = normalized(ConvTranspose(64, (5, 5), strides=2, **common), x)
    x = ConvTranspose(1, (5, 5), strides=2, **common)(x)
    return jnp.tanh(x.astype(jnp.float32))


class SmallDiscriminator(nn.Module):
  """For MNIST, as in TensorFlow's tutorial: 212,865 parameters.

  Attributes:
    dropout: fraction of each map that is left out in training.
  """

  dropout: Decay = 0.3
  dtype: Dtype = None

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """Returns logits [B] of images [B, H, W, C]."""
    x, init = images, nn.initializers.glorot_uniform()
    for width in (64, 128):
      x = Conv(width, (5, 5), strides=2, kernel_init=init, dtype=self.dtype)(x)
      x = nn.leaky_relu(x, 0.3)
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    x = Dense(1, kernel_init=init, dtype=self.dtype)(x.reshape(x.shape[0], -1))
    return x[:, 0].astype(jnp.float32)
