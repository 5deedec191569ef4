"""The style-based generator (Karras et al. 2018).

Layers are named by resolution, so that a network of twice the resolution takes
over all parameters of the smaller one. With the channels of the paper the
generator has 26,219,627 parameters at 1024 pixels, as the authors' has. The
noise is drawn anew for each image and is not a parameter.
"""

import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import InputError
from gen_jax.models.layers.equalized import Conv, Dense, blur, pixel_norm
from gen_jax.models.layers.linear import add_bias, scale_and_shift
from gen_jax.models.layers.normalization import instance_norm
from gen_jax.models.layers.resampling import upsample
from gen_jax.models.progressive import (
  NEGATIVE_SLOPE,
  channels,
  lerp,
  resolutions,
)
from gen_jax.registry.fields import Count, Dtype, Levels, Positive, Shape, Size


class Mapping(nn.Module):
  """The mapping network, latents [B, Z] -> w [B, width].

  Attributes:
    width: outputs of every layer, and so the size of w.
    layers: number of dense layers.
    lr_mul: multiplies the learning rate.
    classes: K of one-hot labels [B, K], each of which has a learned vector that
      is concatenated with the latents; 0 for no labels.
  """

  width: Size = 512
  layers: Levels = 8
  lr_mul: Positive = 0.01
  classes: Count = 0
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, latents: jax.Array, labels: jax.Array | None = None
  ) -> jax.Array:
    """Returns w, [B, width], of latents [B, Z]."""
    x = latents
    if self.classes:
      shape = self.classes, latents.shape[-1]
      table = self.param('label', nn.initializers.normal(1.0), shape)
      x = jnp.concatenate([x, labels @ table], axis=-1)
    x = pixel_norm(x)
    for index in range(self.layers):
      layer = Dense(
        self.width, lr_mul=self.lr_mul, dtype=self.dtype, name=f'dense_{index}'
      )
      x = nn.leaky_relu(layer(x), NEGATIVE_SLOPE)
    return x.astype(jnp.float32)


class Layer(nn.Module):
  """Noise, bias, leaky ReLU and AdaIN: one layer of figure 1 (b).

  The noise [B, H, W, 1] has a learned weight for each channel, initially 0; it
  may be None. Adaptive instance normalization (eq. 1) scales the normalized
  features by y_s and shifts them by y_b, where (y_s - 1, y_b) is a dense layer
  of w [B, W]. `epsilon` is added to the variance.
  """

  dtype: Dtype = None
  epsilon: Positive = 1e-8

  @nn.compact
  def __call__(
    self, x: jax.Array, noise: jax.Array | None, w: jax.Array
  ) -> jax.Array:
    """Returns features, [B, H, W, C]."""
    depth = x.shape[-1]
    added = self.param('bias', nn.initializers.zeros, (depth,))
    if noise is not None:
      weight = self.param('noise', nn.initializers.zeros, (depth,))
      added = noise * weight + added
    x = add_bias(x, added)
    x = instance_norm(nn.leaky_relu(x, NEGATIVE_SLOPE), self.epsilon)
    style = Dense(2 * depth, gain=1.0, dtype=self.dtype, name='style')(w)
    scale, shift = jnp.split(style[:, None, None], 2, axis=-1)
    return scale_and_shift(x, scale + 1, shift)


class Synthesis(nn.Module):
  """The synthesis network, w_plus [B, layers, W] -> images [B, H, H, C].

  See `Generator` for the fields.
  """

  shape: Shape
  fmap_base: Size = 8192
  fmap_max: Size = 512
  noise: bool = True
  noise_per_size: bool = False
  bias_before_blur: bool = False
  epsilon: Positive = 1e-8
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self,
    w_plus: jax.Array,
    alpha: jax.Array | float = 1.0,
    shared_noise: bool = False,
  ) -> jax.Array:
    """Returns images; see `Generator.synthesize`."""
    dtype, sizes = self.dtype, resolutions(self.shape[0])
    noise = iter(self._noise(1 if shared_noise else w_plus.shape[0], sizes))
    layers = iter(jnp.swapaxes(w_plus, 0, 1))

    def finish(x, name):
      layer = Layer(dtype, self.epsilon, name=name)
      return layer(x, next(noise), next(layers))

    def maps(resolution):
      return channels(resolution, self.fmap_base, self.fmap_max)

    x, images = None, []
    for size in sizes:
      width, name = maps(size), f'{size}x{size}'
      if size == 4:
        constant = self.param(
          f'{name}_constant', nn.initializers.ones, (4, 4, width)
        )
        x = jnp.broadcast_to(constant, (w_plus.shape[0], 4, 4, width))
        x = x.astype(dtype or jnp.float32)
      else:
        x = Conv(
          width,
          scale=2,
          use_bias=self.bias_before_blur,
          dtype=dtype,
          name=f'{name}_up',
        )(x)
        x = blur(x)
      x = finish(x, f'{name}_0')
      x = Conv(width, use_bias=False, dtype=dtype, name=f'{name}_conv')(x)
      x = finish(x, f'{name}_1')
      # Every resolution has its output layer, so that the parameters exist; the
      # compiler removes those that are not used.
      to_image = Conv(
        self.shape[2], kernel=1, gain=1.0, dtype=dtype, name=f'{name}_to_image'
      )
      images.append(to_image(x).astype(jnp.float32))
    if isinstance(alpha, float) and alpha == 1:
      return images[-1]
    return lerp(upsample(images[-2]), images[-1], alpha)

  def _noise(self, count, sizes):
    """Returns noise for two layers of each size, [count, H, H, 1], or None."""
    if not self.noise:
      return [None] * 2 * len(sizes)
    drawn = 1 if self.noise_per_size else 2
    shapes = [(count, size, size, 1) for size in sizes for _ in range(drawn)]
    ends = list(itertools.accumulate(math.prod(s[1:]) for s in shapes))
    # A single draw for all layers, because each one takes time to compile.
    flat = jax.random.normal(self.make_rng('noise'), (count, ends[-1]))
    parts = jnp.split(flat, ends[:-1], axis=1)
    maps = [x.reshape(s) for x, s in zip(parts, shapes, strict=True)]
    return [x for x in maps for _ in range(2 // drawn)]


class Generator(nn.Module):
  """The mapping network and the synthesis network.

  The mapping network turns latents [B, Z] into w. The synthesis network starts
  from a learned constant of 4x4 pixels. Each resolution has two layers: an
  upsampling convolution with a blur, then `Layer`; a convolution, then `Layer`.

  While a resolution fades in, the image is interpolated, with weight `alpha`,
  between the upsampled image of the next lower resolution and the new one.

  Attributes:
    shape: of an image, (H, H, C); H is a power of two from 8 to 1024.
    width: size of w and of the layers of the mapping network.
    depth: number of layers of the mapping network.
    lr_mul: multiplies the learning rate of the mapping network.
    classes: number of classes of the labels; 0 for no labels.
    fmap_base: sets the number of channels, 2 fmap_base / resolution.
    fmap_max: maximum number of channels.
    noise: whether noise is added. Drawings without stochastic detail, such as
      hair or leaves, do not need it.
    noise_per_size: whether both layers of a resolution get the same noise, as
      in some programs.
    bias_before_blur: whether an upsampling convolution has a bias of its own,
      which the blur lowers at the borders, as in some programs.
    epsilon: added to the variance by the instance normalization.
    dtype: of the computation; parameters and images are float32.
  """

  shape: Shape
  width: Size = 512
  depth: Levels = 8
  lr_mul: Positive = 0.01
  classes: Count = 0
  fmap_base: Size = 8192
  fmap_max: Size = 512
  noise: bool = True
  noise_per_size: bool = False
  bias_before_blur: bool = False
  epsilon: Positive = 1e-8
  dtype: Dtype = None

  def setup(self) -> None:
    """Makes both networks."""
    height, width, _ = self.shape
    if height != width:
      raise InputError(f'objective.gen.shape={self.shape}: expected a square.')
    self.mapping = Mapping(
      self.width, self.depth, self.lr_mul, self.classes, self.dtype
    )
    self.synthesis = Synthesis(
      self.shape,
      self.fmap_base,
      self.fmap_max,
      self.noise,
      self.noise_per_size,
      self.bias_before_blur,
      self.epsilon,
      self.dtype,
    )

  @property
  def layers(self) -> int:
    """The number of layers that take a w: two for each resolution."""
    return 2 * len(resolutions(self.shape[0]))

  def map_latents(
    self, latents: jax.Array, labels: jax.Array | None = None
  ) -> jax.Array:
    """Returns w, [B, W].

    Args:
      latents: [B, Z].
      labels: one-hot or class weights, [B, K].
    """
    return self.mapping(latents, labels)

  def synthesize(
    self,
    w_plus: jax.Array,
    alpha: jax.Array | float = 1.0,
    shared_noise: bool = False,
  ) -> jax.Array:
    """Returns images, [B, H, H, C].

    Args:
      w_plus: the w of every layer, [B, layers, W].
      alpha: weight of the newest resolution.
      shared_noise: whether all images get the same noise, from the random
        stream 'noise'.
    """
    return self.synthesis(w_plus, alpha, shared_noise)

  def broadcast(self, w: jax.Array) -> jax.Array:
    """Repeats w [B, W] for all layers, [B, layers, W]."""
    return jnp.repeat(w[:, None], self.layers, axis=1)

  def __call__(
    self,
    latents: jax.Array,
    labels: jax.Array | None = None,
    alpha: jax.Array | float = 1.0,
  ) -> jax.Array:
    """Returns images [B, H, H, C] of latents [B, Z]."""
    w = self.map_latents(latents, labels)
    return self.synthesize(self.broadcast(w), alpha)
