"""The progressively growing discriminator (Karras et al. 2017).

Layers are named by resolution, so that a network of twice the resolution takes
over all parameters of the smaller one. The blur is that of StyleGAN (Karras et
al. 2018). With the channels of the paper the discriminator has 23,087,249
parameters at 1024 pixels, as the authors' has.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.models.layers.equalized import Conv, Dense, blur
from gen_jax.models.layers.resampling import downsample
from gen_jax.registry.fields import Count, Dtype, Size

NEGATIVE_SLOPE = 0.2  # of the leaky ReLUs


def resolutions(size: int) -> list[int]:
  """Returns [4, 8, ..., size].

  Raises:
    InputError: `size` is not a power of two from 8 to 1024.
  """
  if size not in (8, 16, 32, 64, 128, 256, 512, 1024):
    raise InputError(
      f'objective: images of {size} pixels: expected a power of two from 8 to '
      '1024.'
    )
  return [2**n for n in range(2, size.bit_length())]


def channels(resolution: int, fmap_base: int, fmap_max: int) -> int:
  """Returns the number of channels at a resolution, see `Discriminator`."""
  return max(min(2 * fmap_base // resolution, fmap_max), 1)


def lerp(start: jax.Array, end: jax.Array, t: jax.Array | float) -> jax.Array:
  """Returns start + (end - start) t."""
  return start + (end - start) * t


class Discriminator(nn.Module):
  """Maps images [B, H, H, C] to logits [B].

  Each resolution has two convolutions; the second one blurs and downsamples. At
  4x4 pixels a map with the minibatch standard deviation is appended. One more
  convolution and two dense layers follow. While a resolution fades in, the
  output of its layers is interpolated, with weight `alpha`, with the output of
  the input layer of the next lower resolution for the downsampled image.

  Attributes:
    fmap_base: sets the number of channels, 2 fmap_base / resolution.
    fmap_max: maximum number of channels.
    classes: K of one-hot labels [B, K]. The last layer has an output for each
      class, and the output of the label is the logit. 0 for no labels.
    group: images in a group of the minibatch standard deviation.
    dtype: of the computation; parameters and logits are float32.
  """

  fmap_base: Size = 8192
  fmap_max: Size = 512
  classes: Count = 0
  group: Size = 4
  dtype: Dtype = None

  @nn.compact
  def __call__(
    self,
    images: jax.Array,
    labels: jax.Array | None = None,
    alpha: jax.Array | float = 1.0,
  ) -> jax.Array:
    """Returns logits [B]; see the class for `labels` and `alpha`."""
    largest, dtype = images.shape[1], self.dtype

    def maps(resolution):
      return channels(resolution, self.fmap_base, self.fmap_max)

    def activate(layer, x):
      return nn.leaky_relu(layer(x), NEGATIVE_SLOPE)

    def from_image(size):
      layer = Conv(
        maps(size), kernel=1, dtype=dtype, name=f'{size}x{size}_from_image'
      )
      return activate(layer, downsample(images, largest // size))

    sizes = resolutions(largest)
    # Every resolution has its input layer, so that the parameters exist; the
    # compiler removes those that are not used.
    inputs = {size: from_image(size) for size in sizes}
    x = inputs[largest]
    for size in reversed(sizes[1:]):
      name = f'{size}x{size}'
      x = activate(Conv(maps(size), dtype=dtype, name=f'{name}_conv'), x)
      down = Conv(maps(size // 2), scale=0.5, dtype=dtype, name=f'{name}_down')
      x = activate(down, blur(x))
      fading = not (isinstance(alpha, float) and alpha == 1)
      if size == largest and fading:
        x = lerp(inputs[size // 2], x, jnp.asarray(alpha, x.dtype))
    x = minibatch_stddev(x, self.group)
    x = activate(Conv(maps(4), dtype=dtype, name='4x4_conv'), x)
    x = x.reshape(x.shape[0], -1)
    x = activate(Dense(maps(2), dtype=dtype, name='dense'), x)
    last = Dense(max(self.classes, 1), gain=1.0, dtype=dtype, name='logits')
    x = last(x).astype(jnp.float32)
    return jnp.sum(x * labels, axis=-1) if self.classes else x[:, 0]


def minibatch_stddev(x: jax.Array, group: int = 4) -> jax.Array:
  """Appends a map of the minibatch standard deviation, [B, H, W, C + 1].

  The standard deviation of every feature and pixel is taken over each group of
  images and then averaged. The images of a group are B / group apart in the
  batch of all devices. A batch that is smaller than a group is one group.

  Args:
    x: features, [B, H, W, C].
    group: images in a group.

  Raises:
    InputError: `group` does not divide a larger batch.

  References:
    Karras et al., 2017, Progressive Growing of GANs, section 3.
  """
  y = collectives.gather(x.astype(jnp.float32))
  check_group(len(y), group)
  group = min(group, len(y))
  y = y.reshape(group, -1, *x.shape[1:])
  y = jnp.sqrt(jnp.var(y, axis=0) + 1e-8)  # [B / group, H, W, C]
  y = jnp.mean(y, axis=(1, 2, 3))
  y = collectives.own_part(jnp.tile(y, group))[:, None, None, None]
  y = jnp.broadcast_to(y, (*x.shape[:3], 1)).astype(x.dtype)
  return jnp.concatenate([x, y], axis=-1)


def check_group(batch: int, group: int) -> None:
  """Raises InputError when a larger batch is not a multiple of `group`."""
  if batch % min(group, batch):
    raise InputError(
      f'objective: the groups of {group} images of the minibatch standard '
      f'deviation do not divide a batch of {batch}: take another `batch_size` '
      'or `group`.'
    )
