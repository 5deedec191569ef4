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
from gen_jax.models.layers.batches import join, split
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
    parts: number of batches that are joined in the input (see `batches.join`);
      batch normalization treats each as a batch of its own.
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
      norm = BatchNorm(
        train=train,
        momentum=self.momentum,
        epsilon=self.epsilon,
        scale_std=self.scale_std,
        dtype=self.dtype,
      )
      x = join([norm(part) for part in split(x, self.parts)])
    if self.kind == 'instance':
      x = instance_norm(x, self.epsilon)
    return x


class BatchNorm(nn.Module):
  """Batch normalization over all axes but the last (Ioffe and Szegedy 2015).

  With several devices, each sum over the batch is a collective operation, for
  which all devices wait. The mean m and the variance v are therefore computed
  from two sums that do not depend on each other, so that one collective serves
  both, forward and backward:

    m = r + E[x - r],    v = E[(x - r)^2] - E[x - r]^2,

  where r is the running mean. With r = 0, which is the usual form, the
  difference cancels where m is much larger than the deviation.

  Attributes:
    train: whether to use the statistics of the batch, and to add them to the
      running ones; otherwise the running ones are used.
    momentum: of the running averages.
    epsilon: beneath the variance.
    scale_std: deviation of the initial scales, of mean 1.
    dtype: of the output; by default float32, or wider if the input is.
  """

  train: bool
  momentum: float = 0.9
  epsilon: float = 1e-5
  scale_std: float = 0.0
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns scale * (x - m) / sqrt(v + epsilon) + bias, [..., C]."""
    shape = x.shape[-1:]
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, shape)
    running_var = self.variable('batch_stats', 'var', jnp.ones, shape)
    scale = self.param('scale', around_one(self.scale_std), shape, jnp.float32)
    bias = self.param('bias', nn.initializers.zeros_init(), shape, jnp.float32)

    exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    centered = exact - running_mean.value
    mean, variance = jnp.zeros(shape), running_var.value
    if self.train:
      axes = tuple(range(x.ndim - 1))
      mean = jnp.mean(centered, axes)
      variance = jnp.mean(jnp.square(centered), axes) - jnp.square(mean)
      variance = jnp.maximum(variance, 0)  # rounding may make it negative
      if not self.is_initializing():
        old, new = self.momentum, 1 - self.momentum
        running_mean.value += new * mean
        running_var.value = old * running_var.value + new * variance
    factor = scale * jax.lax.rsqrt(variance + self.epsilon)
    out = (centered - mean) * factor + bias
    return out.astype(self.dtype or exact.dtype)


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
