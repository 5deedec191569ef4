"""Classifiers of images, whose features measure generated ones."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.models.layers import conv
from gen_jax.models.layers.linear import Dense
from gen_jax.registry.fields import Count, Decay, Dtype, Size, SomeSizes


class ConvClassifier(nn.Module):
  """Convolutions of stride 2, a layer of features, a linear one to logits.

  Attributes:
    classes: K.
    channels: of the convolutions; each halves the image.
    kernel: size of their kernels, in pixels.
    features: width of the layer before the logits.
    dropout: fraction of the map and of the features left out in training.
  """

  classes: Count
  channels: SomeSizes = (32, 64)
  kernel: Size = 5
  features: Size = 128
  dropout: Decay = 0.4
  activation: Callable[[jax.Array], jax.Array] = nn.relu
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, images: jax.Array, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    """Returns logits [B, K] and features [B, F] of images [B, H, W, C]."""
    x, kernel = images, (self.kernel, self.kernel)
    for width in self.channels:
      x = conv.Conv(width, kernel, strides=2, dtype=self.dtype)(x)
      x = self.activation(x)
    x = x.reshape(x.shape[0], -1)
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    features = self.activation(Dense(self.features, dtype=self.dtype)(x))
    x = nn.Dropout(self.dropout, deterministic=not train)(features)
    logits = Dense(self.classes, dtype=self.dtype)(x)
    return logits.astype(jnp.float32), features.astype(jnp.float32)
