"""Normalization by name, for networks that are trained in two ways.

Statistics are collections beside the parameters: `batch_stats`, the running
averages of batches, and `spectral`, the power iteration's vectors. In training
(`train=True`) a network is applied with them mutable.

Batch normalization uses the batch of all devices under `jit`, and that of each
device under `pmap`, as is usual: the statistics are then noisier, and the
running averages are the mean of the devices'. In the same way, it uses each
part of a batch alone where gradients are accumulated.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import InputError
from gen_jax.registry.fields import Dtype, Fraction, Positive, Size, Weight

Normalization = Literal['', 'batch', 'instance', 'spectral']


class Normalized(nn.Module):
  """A layer, and what normalizes it.

  Attributes:
    layer: a convolution or a dense layer.
    kind: '' for none; 'batch', batch normalization of its output (Ioffe and
      Szegedy 2015), after which the layer needs no bias; 'instance', of each
      image and channel by itself, in training and after, without parameters
      (Ulyanov et al. 2016); 'spectral', its kernel over its largest singular
      value (Miyato et al. 2018, eq. 8), by one step of the power iteration in
      each application of training.
    momentum: of the running averages.
    epsilon: beneath the variance.
    scale_std: deviation of the initial scales, of mean 1.
    parts: batch normalization treats so many equal parts of its input as
      batches of their own, one after the other.
  """

  layer: nn.Module
  kind: Normalization = ''
  momentum: Fraction = 0.9
  epsilon: Positive = 1e-5
  scale_std: Weight = 0.0
  parts: Size = 1
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Returns the normalized output of the layer."""
    if self.kind == 'spectral':
      return nn.SpectralNorm(self.layer, collection_name='spectral')(
        x, update_stats=train
      )
    x = self.layer(x)
    if self.kind == 'batch':
      norm = nn.BatchNorm(
        use_running_average=not train,
        momentum=self.momentum,
        epsilon=self.epsilon,
        # By default flax computes E[x^2] - E[x]^2, which cancels where the
        # mean is much larger than the deviation.
        use_fast_variance=False,
        scale_init=around_one(self.scale_std),
        dtype=self.dtype,
      )
      x = jnp.concatenate([norm(part) for part in jnp.split(x, self.parts)])
    if self.kind == 'instance':
      x = instance_norm(x, self.epsilon)
    return x


def instance_norm(x: jax.Array, epsilon: float = 1e-5) -> jax.Array:
  """(x - m) / sqrt(v + epsilon), m and v over an image's pixels, [B, H, W, C].

  Raises:
    InputError: a map of one pixel, which would become 0.
  """
  if x.shape[1] * x.shape[2] == 1:
    raise InputError(
      'instance normalization of maps of 1x1 pixels would leave nothing: take '
      'larger images, or fewer levels.'
    )
  exact = x.astype(jnp.float32)
  centered = exact - jnp.mean(exact, axis=(1, 2), keepdims=True)
  variance = jnp.mean(jnp.square(centered), axis=(1, 2), keepdims=True)
  return (centered * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)


def around_one(deviation: float) -> nn.initializers.Initializer:
  """Draws from N(1, deviation^2)."""

  def init(key, shape, dtype):
    return 1 + deviation * jax.random.normal(key, shape, dtype)

  return init
