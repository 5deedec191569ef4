"""Layers whose learning rate is equalized, and filters of progressive growth.

A weight is drawn from N(0, 1) and scaled where it is used, by He's gain /
sqrt(fan-in), so that an optimizer which normalizes gradients moves the weights
of all layers at one speed (Karras et al. 2017, section 4.1).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.models.layers import conv
from gen_jax.models.layers.linear import add_bias
from gen_jax.models.layers.resampling import smear
from gen_jax.registry.fields import Dtype, Positive, Size

GAIN = math.sqrt(2)  # He's, for rectifiers


class Dense(nn.Module):
  """x W + b, [B, C] -> [B, features].

  Attributes:
    features: outputs.
    gain: the outputs' deviation for inputs of deviation 1.
    rate: multiplies the learning rate of the weights and biases: they are
      stored as much larger than they are used.
  """

  features: Size
  gain: Positive = GAIN
  rate: Positive = 1.0
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = x.shape[-1], self.features
    init = nn.initializers.normal(1 / self.rate)
    w = self.param('kernel', init, shape) * (
      self.gain * self.rate / math.sqrt(shape[0])
    )
    b = self.param('bias', nn.initializers.zeros, shape[1:]) * self.rate
    x, w = nn.dtypes.promote_dtype(x, w, dtype=self.dtype)
    return add_bias(x @ w, b)


class Conv(nn.Module):
  """Convolution, [B, H, W, C] -> [B, H', W', features].

  Attributes:
    features: of each pixel of the output.
    kernel: size of the kernel, odd.
    scale: 1; 2 doubles each side first, pixels repeated; .5 halves it
      afterwards, by means of 2 x 2. Both are one convolution of stride 2 with
      a kernel one larger, of the sum of the four shifts, which takes 4 / 9 of
      the products and gives the same numbers.
    gain: the outputs' deviation for inputs of deviation 1.
    use_bias: whether a bias is added.
  """

  features: Size
  kernel: Size = 3
  scale: Positive = 1
  gain: Positive = GAIN
  use_bias: bool = True
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    size = self.kernel
    shape = (size, size, x.shape[-1], self.features)
    w = self.param('kernel', nn.initializers.normal(1.0), shape)
    w = w * (self.gain / math.sqrt(size * size * shape[2]))
    x, w = nn.dtypes.promote_dtype(x, w, dtype=self.dtype)
    if self.scale == 1:
      x = conv.conv(x, w)
    elif self.scale == 2:
      pad = size - size // 2
      x = conv.conv_transpose(x, smear(w), strides=2, padding=pad)
    else:
      pad = size // 2
      x = conv.conv(x, smear(w) / 4, strides=2, padding=pad)
    if not self.use_bias:
      return x
    return add_bias(x, self.param('bias', nn.initializers.zeros, shape[3:]))


def pixel_norm(x: jax.Array) -> jax.Array:
  """x / sqrt(mean_c x_c^2 + 1e-8), along the last axis.

  Karras et al. 2017, section 4.2.
  """
  return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-8)


def blur(x: jax.Array) -> jax.Array:
  """[1, 2, 1] / 4 along both axes, 0 beyond the borders, [B, H, W, C].

  As sums of shifted images: a convolution of each channel on its own would be
  slow on the CPU, and its second derivative more so.
  """
  for axis in (1, 2):
    pads = [(0, 0)] * 4
    pads[axis] = (1, 1)
    size, wide = x.shape[axis], jnp.pad(x, pads)
    before = jax.lax.slice_in_dim(wide, 0, size, axis=axis)
    after = jax.lax.slice_in_dim(wide, 2, size + 2, axis=axis)
    x = (before + after) * 0.25 + x * 0.5
  return x
