"""Layers with equalized learning rates, pixel norm and blur.

A weight is initialized from N(0, 1) and multiplied at run time by He's
constant, gain / sqrt(fan-in). An optimizer that normalizes gradients, such as
Adam, then changes the weights of all layers at the same relative speed (Karras
et al. 2017, section 4.1).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.models.layers import conv, platforms
from gen_jax.models.layers.linear import add_bias, product
from gen_jax.models.layers.resampling import fused_scale_kernel
from gen_jax.registry.fields import Dtype, Positive, Size

GAIN = math.sqrt(2)  # He's, for ReLU


class Dense(nn.Module):
  """A dense layer, [B, C] -> [B, features].

  Attributes:
    features: number of outputs.
    gain: standard deviation of the outputs for inputs of unit variance.
    lr_mul: multiplies the learning rate of the weights and biases. They are
      stored divided by this factor and multiplied by it where they are used.
  """

  features: Size
  gain: Positive = GAIN
  lr_mul: Positive = 1.0
  dtype: Dtype = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns outputs, [..., features]."""
    shape = x.shape[-1], self.features
    init = nn.initializers.normal(1 / self.lr_mul)
    w = self.param('kernel', init, shape) * (
      self.gain * self.lr_mul / math.sqrt(shape[0])
    )
    b = self.param('bias', nn.initializers.zeros, shape[1:]) * self.lr_mul
    x, w = nn.dtypes.promote_dtype(x, w, dtype=self.dtype)
    return add_bias(product(x, w), b)


class Conv(nn.Module):
  """A convolution, [B, H, W, C] -> [B, H', W', features].

  Attributes:
    features: number of output channels.
    kernel: size of the kernel, odd.
    scale: 2 upsamples the input first, 0.5 downsamples the output, 1 does
      neither. Both are computed as one convolution of stride 2; see
      `resampling.fused_scale_kernel`.
    gain: standard deviation of the outputs for inputs of unit variance.
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
    """Returns maps, [B, Ho, Wo, features]."""
    size = self.kernel
    shape = (size, size, x.shape[-1], self.features)
    w = self.param('kernel', nn.initializers.normal(1.0), shape)
    w = w * (self.gain / math.sqrt(size * size * shape[2]))
    x, w = nn.dtypes.promote_dtype(x, w, dtype=self.dtype)
    if self.scale == 1:
      x = conv.conv(x, w)
    elif self.scale == 2:
      pad = size - size // 2
      x = conv.conv_transpose(x, fused_scale_kernel(w), strides=2, padding=pad)
    else:
      pad = size // 2
      x = conv.conv(x, fused_scale_kernel(w) / 4, strides=2, padding=pad)
    if not self.use_bias:
      return x
    return add_bias(x, self.param('bias', nn.initializers.zeros, shape[3:]))


def pixel_norm(x: jax.Array) -> jax.Array:
  """Returns x / sqrt(mean(x^2) + 1e-8), the mean over the last axis.

  References:
    Karras et al., 2017, Progressive Growing of GANs, section 4.2.
  """
  return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-8)


@jax.custom_vjp
def blur(x: jax.Array) -> jax.Array:
  """Returns images filtered by [1, 2, 1] / 4 along both axes, [B, H, W, C].

  The borders are padded with zeros. Sums are float32 or wider. The filter is
  computed as a sum of shifted images, because a depthwise convolution is slow
  on the CPU, and its second derivative even slower.

  The filter is symmetric, so its gradient is a filter by the same weights. The
  gradient that JAX derives takes 20 times as long in bfloat16 on the CPU.
  """
  return platforms.by_platform(x, cpu=_blur_padded_once, plain=_blur_by_axis)


blur.defvjp(lambda x: (blur(x), None), lambda _, dy: (blur(dy),))


def _blur_padded_once(x: jax.Array) -> jax.Array:
  """The form for the CPU, which takes half the time of the other there."""
  exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  wide = jnp.pad(exact, ((0, 0), (1, 1), (1, 1), (0, 0)))
  return _filter(_filter(wide, 1), 2).astype(x.dtype)


def _blur_by_axis(x: jax.Array) -> jax.Array:
  """The form for other platforms.

  The compiler for TPUs keeps the padded images of the other form in float32. In
  bfloat16, StyleGAN of 256 pixels then moves twice as many bytes.
  """
  for axis in (1, 2):
    pads = [(0, 0)] * 4
    pads[axis] = (1, 1)
    x = _filter(jnp.pad(x, pads), axis).astype(x.dtype)
  return x


def _filter(x: jax.Array, axis: int) -> jax.Array:
  """Filters padded images along an axis, in float32 or wider.

  The axis gets two pixels shorter.
  """
  exact = jnp.promote_types(x.dtype, jnp.float32)
  size = x.shape[axis] - 2
  before, middle, after = (
    jax.lax.slice_in_dim(x, i, i + size, axis=axis).astype(exact)
    for i in range(3)
  )
  return (before + after) * 0.25 + middle * 0.5
