"""Fully connected generators and discriminators.

A generator maps latents [B, Z] to images [B, H, W, C]. A discriminator maps
images to logits [B]. With `train` batch normalization takes the statistics of
the batch, otherwise the running averages.
"""

import math
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.models.layers.linear import Dense
from gen_jax.models.layers.normalization import Normalization, Normalized
from gen_jax.registry.fields import (
  Decay,
  Dtype,
  Fraction,
  Shape,
  Size,
  Sizes,
  one_of,
)

OUTPUTS = {'tanh': jnp.tanh, 'linear': lambda x: x}


class Generator(nn.Module):
  """Rectified layers, then one of the images' size.

  Attributes:
    shape: of an image, (H, W, C).
    hidden: widths of the layers.
    normalize: their normalization, '' or 'batch'; see normalization.py.
    output: 'tanh', for pixels in [-1, 1], or 'linear', for points.
  """

  shape: Shape
  hidden: Sizes = (256, 512, 1024)
  normalize: Normalization = ''
  output: Annotated[str, one_of(OUTPUTS)] = 'tanh'
  dtype: Dtype = None

  @nn.compact
  def __call__(self, latents: jax.Array, train: bool = False) -> jax.Array:
    """Returns images [B, H, W, C] of latents [B, Z]."""
    x = latents
    for width in self.hidden:
      layer = Dense(
        width,
        use_bias=self.normalize != 'batch',
        kernel_init=nn.initializers.he_normal(),
        dtype=self.dtype,
      )
      x = nn.relu(Normalized(layer, self.normalize, dtype=self.dtype)(x, train))
    x = Dense(math.prod(self.shape), dtype=self.dtype)(x)
    x = x.reshape(-1, *self.shape).astype(jnp.float32)
    return OUTPUTS[self.output](x)


class Discriminator(nn.Module):
  """Layers of leaky rectifiers, then one logit.

  Attributes:
    hidden: widths of the layers.
    normalize: '' or 'spectral', of every layer.
    negative_slope: of the leaky ReLUs.
    pieces: with 2 or more a layer is instead the largest of so many linear maps
      (Goodfellow et al. 2013).
    dropout: fraction of each layer's output that is left out in training.
  """

  hidden: Sizes = (512, 256)
  normalize: Normalization = ''
  negative_slope: Fraction = 0.2
  pieces: Size = 1
  dropout: Decay = 0.0
  dtype: Dtype = None

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """Returns logits [B] of images [B, H, W, C]."""
    x = images.reshape(images.shape[0], -1)  # [B, H W C]
    for width in self.hidden:
      layer = Dense(
        width * self.pieces,
        kernel_init=nn.initializers.he_normal(),
        dtype=self.dtype,
      )
      x = Normalized(layer, self.normalize, dtype=self.dtype)(x, train)
      if self.pieces > 1:
        x = jnp.max(x.reshape(x.shape[0], width, self.pieces), axis=-1)
      else:
        x = nn.leaky_relu(x, self.negative_slope)
      x = nn.Dropout(self.dropout, deterministic=not train)(x)
    layer = Dense(1, dtype=self.dtype)
    x = Normalized(layer, self.normalize, dtype=self.dtype)(x, train)
    return x[:, 0].astype(jnp.float32)
