"""The style-based generator (Karras et al. 2018).

Its layers are named by resolution, so that a network for twice the resolution
takes over all that a smaller one has learned. With the channels of the paper it
has 26,219,627 parameters at 1024 pixels, as the authors' has; noise is drawn,
and is none of them.
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
from gen_jax.models.layers.resampling import enlarge
from gen_jax.models.progressive import SLOPE, channels, lerp, resolutions
from gen_jax.registry.fields import Count, Dtype, Levels, Positive, Shape, Size


class Mapping(nn.Module):
  """Codes [B, Z] to styles [B, width]: 8 dense layers after a pixel norm.

  Attributes:
    width: of every layer, and of the style.
    layers: how many.
    rate: of the learning rate.
    classes: K, of labels [B, K], one-hot, each with a learned vector of Z
      beside the code; 0 for none.
  """

  width: Size = 512
  layers: Levels = 8
  rate: Positive = 0.01
  classes: Count = 0
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, codes: jax.Array, labels: jax.Array | None = None
  ) -> jax.Array:
    x = codes
    if self.classes:
      shape = self.classes, codes.shape[-1]
      table = self.param('label', nn.initializers.normal(1.0), shape)
      x = jnp.concatenate([x, labels @ table], axis=-1)
    x = pixel_norm(x)
    for index in range(self.layers):
      layer = Dense(
        self.width, rate=self.rate, dtype=self.dtype, name=f'dense_{index}'
      )
      x = nn.leaky_relu(layer(x), SLOPE)
    return x.astype(jnp.float32)


class Layer(nn.Module):
  """Noise, bias, leaky rectifier, instance norm, style: figure 1 (b).

  The noise [B, H, W, 1] is one map for all channels, with a weight for each, 0
  at first; there may be none. The style is y_s x + y_b (eq. 1) with (y_s - 1,
  y_b) a dense layer of w [B, W].
  """

  dtype: Dtype = None

  @nn.compact
  def __call__(
    self, x: jax.Array, noise: jax.Array | None, w: jax.Array
  ) -> jax.Array:
    depth = x.shape[-1]
    added = self.param('bias', nn.initializers.zeros, (depth,))
    if noise is not None:
      weight = self.param('noise', nn.initializers.zeros, (depth,))
      added = noise * weight + added
    x = add_bias(x, added)
    x = instance_norm(nn.leaky_relu(x, SLOPE), epsilon=1e-8)
    style = Dense(2 * depth, gain=1.0, dtype=self.dtype, name='style')(w)
    scale, shift = jnp.split(style[:, None, None], 2, axis=-1)
    return scale_and_shift(x, scale + 1, shift)


class Synthesis(nn.Module):
  """Styles [B, layers, W] to images [B, H, H, C]; see `Generator`."""

  shape: Shape
  base: Size = 8192
  most: Size = 512
  noise: bool = True
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self,
    styles: jax.Array,
    alpha: jax.Array | float = 1.0,
    shared: bool = False,
  ) -> jax.Array:
    dtype, sizes = self.dtype, resolutions(self.shape[0])
    noise = iter(self._noise(1 if shared else len(styles), sizes))
    layers = iter(jnp.swapaxes(styles, 0, 1))

    def finish(x, name):
      return Layer(dtype, name=name)(x, next(noise), next(layers))

    def maps(resolution):
      return channels(resolution, self.base, self.most)

    x, images = None, []
    for size in sizes:
      width, name = maps(size), f'{size}x{size}'
      common = dict(use_bias=False, dtype=dtype)
      if size == 4:
        constant = self.param(
          f'{name}_constant', nn.initializers.ones, (4, 4, width)
        )
        x = jnp.broadcast_to(constant, (len(styles), 4, 4, width))
        x = x.astype(dtype or jnp.float32)
      else:
        x = Conv(width, scale=2, name=f'{name}_up', **common)(x)
        x = blur(x)
      x = finish(x, f'{name}_0')
      x = Conv(width, name=f'{name}_conv', **common)(x)
      x = finish(x, f'{name}_1')
      # Of all heads, so that each is there; the compiler leaves those of low
      # resolutions out.
      head = Conv(
        self.shape[2], kernel=1, gain=1.0, dtype=dtype, name=f'{name}_to_image'
      )
      images.append(head(x).astype(jnp.float32))
    if isinstance(alpha, float) and alpha == 1:
      return images[-1]
    return lerp(enlarge(images[-2]), images[-1], alpha)

  def _noise(self, count, sizes):
    """N(0, 1) for two layers of each size, [count, H, H, 1] each, or None."""
    if not self.noise:
      return [None] * 2 * len(sizes)
    shapes = [(count, size, size, 1) for size in sizes for _ in range(2)]
    ends = list(itertools.accumulate(math.prod(s[1:]) for s in shapes))
    # One draw for all, since each takes its time to compile.
    flat = jax.random.normal(self.make_rng('noise'), (count, ends[-1]))
    parts = jnp.split(flat, ends[:-1], axis=1)
    return [x.reshape(s) for x, s in zip(parts, shapes, strict=True)]


class Generator(nn.Module):
  """The mapping and the synthesis network.

  Codes [B, Z] become styles w, and those images by way of a learned constant of
  4x4 and two layers for each resolution: doubled, convolved and blurred, then
  `Layer`; convolved, then `Layer`.

  While a resolution is new, the image is a mixture of the head of the
  resolution before, its pixels repeated, and, with the share `alpha`, its own.

  Attributes:
    shape: of an image, (H, H, C), H a power of two from 8 to 1024.
    width: of w, and of the mapping.
    depth: layers of the mapping.
    rate: of its learning rate.
    classes: of labels, 0 for none.
    base: sets how fast the channels fall: 2 base / resolution.
    most: channels of a map.
    noise: whether it is added. Pictures that are drawn, with no hair or leaves
      that could lie one way or another, have no use for it.
    dtype: of the computation; parameters and images are float32.
  """

  shape: Shape
  width: Size = 512
  depth: Levels = 8
  rate: Positive = 0.01
  classes: Count = 0
  base: Size = 8192
  most: Size = 512
  noise: bool = True
  dtype: Dtype = None

  def setup(self):
    height, width, _ = self.shape
    if height != width:
      raise InputError(f'objective.gen.shape={self.shape}: expected a square.')
    self.mapping = Mapping(
      self.width, self.depth, self.rate, self.classes, self.dtype
    )
    self.synthesis = Synthesis(
      self.shape, self.base, self.most, self.noise, self.dtype
    )

  @property
  def layers(self) -> int:
    """How many styles an image has."""
    return 2 * len(resolutions(self.shape[0]))

  def map(self, codes: jax.Array, labels: jax.Array | None = None) -> jax.Array:
    """w of codes, [B, width]; `labels` are [B, K], one-hot or shares."""
    return self.mapping(codes, labels)

  def synthesize(
    self,
    styles: jax.Array,
    alpha: jax.Array | float = 1.0,
    shared: bool = False,
  ) -> jax.Array:
    """Images of styles, [B, W] or one for each layer, [B, layers, W].

    The noise is of the stream 'noise', one draw for all images if `shared`.
    """
    if styles.ndim == 2:
      styles = self.spread(styles)
    return self.synthesis(styles, alpha, shared)

  def spread(self, w: jax.Array) -> jax.Array:
    """One style for all layers, [B, W] -> [B, layers, W]."""
    return jnp.repeat(w[:, None], self.layers, axis=1)

  def __call__(
    self,
    codes: jax.Array,
    labels: jax.Array | None = None,
    alpha: jax.Array | float = 1.0,
  ) -> jax.Array:
    return self.synthesize(self.map(codes, labels), alpha)
