"""Progressive growth, and the discriminator that grows (Karras et al. 2017).

Layers are named by resolution, so that a network for twice the resolution takes
over all that a smaller one has learned. The blur is that of StyleGAN (Karras et
al. 2018), whose discriminator this is: 23,087,249 parameters at 1024 pixels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.distributed import parallel
from gen_jax.errors import InputError
from gen_jax.models.layers.equalized import Conv, Dense, blur
from gen_jax.models.layers.resampling import shrink
from gen_jax.registry.fields import Count, Dtype, Size

SLOPE = 0.2  # of the rectifiers below 0


def resolutions(size: int) -> list[int]:
  """4, 8, ..., size.

  Raises:
    InputError: `size` is no power of two from 8 to 1024.
  """
  if size not in (8, 16, 32, 64, 128, 256, 512, 1024):
    raise InputError(
      f'objective: images of {size} pixels: expected a power of two from 8 to '
      '1024.'
    )
  return [2**n for n in range(2, size.bit_length())]


def channels(resolution: int, base: int, most: int) -> int:
  """Of the maps of a resolution: 2 base / resolution, at most `most`."""
  return max(min(2 * base // resolution, most), 1)


def lerp(start: jax.Array, end: jax.Array, t: jax.Array) -> jax.Array:
  return start + (end - start) * t


class Discriminator(nn.Module):
  """Images [B, H, H, C] to logits [B].

  For each resolution: convolved; blurred, convolved and halved. At 4x4 the
  deviation over groups of images is seen as a further map; then a convolution
  and two dense layers. While a resolution is new, what comes from its layers
  is mixed, by `alpha`, with what the head of the one before sees of the image
  at half its size.

  Attributes:
    base: sets how fast the channels fall: 2 base / resolution.
    most: channels of a map.
    dtype: of the computation; parameters and logits are float32.
    classes: of labels [B, K]: the last layer has an output for each, and that
      of the label is the logit; 0 for none.
    group: images of a group.
  """

  base: Size = 8192
  most: Size = 512
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
    largest, dtype = images.shape[1], self.dtype

    def maps(resolution):
      return channels(resolution, self.base, self.most)

    def rectify(layer, x):
      return nn.leaky_relu(layer(x), SLOPE)

    def head(size):
      # Of all resolutions, as the generator's.
      layer = Conv(
        maps(size), kernel=1, dtype=dtype, name=f'{size}x{size}_from_image'
      )
      return rectify(layer, shrink(images, largest // size))

    sizes = resolutions(largest)
    heads = {size: head(size) for size in sizes}
    x = heads[largest]
    for size in reversed(sizes[1:]):
      name = f'{size}x{size}'
      x = rectify(Conv(maps(size), dtype=dtype, name=f'{name}_conv'), x)
      down = Conv(maps(size // 2), scale=0.5, dtype=dtype, name=f'{name}_down')
      x = rectify(down, blur(x))
      fading = not (isinstance(alpha, float) and alpha == 1)
      if size == largest and fading:
        x = lerp(heads[size // 2], x, jnp.asarray(alpha, x.dtype))
    x = deviation(x, self.group)
    x = rectify(Conv(maps(4), dtype=dtype, name='4x4_conv'), x)
    x = x.reshape(len(x), -1)
    x = rectify(Dense(maps(2), dtype=dtype, name='dense'), x)
    last = Dense(max(self.classes, 1), gain=1.0, dtype=dtype, name='logits')
    x = last(x).astype(jnp.float32)
    return jnp.sum(x * labels, axis=-1) if self.classes else x[:, 0]


def deviation(x: jax.Array, group: int = 4) -> jax.Array:
  """Appends a map of the deviation over groups, [B, H, W, C + 1].

  Karras et al. 2017, section 3: of each group the standard deviation of every
  feature and place, and its mean over them. Groups are of images B / group
  apart in the batch of all devices; a smaller batch is one group.

  Raises:
    InputError: `group` does not divide a larger batch.
  """
  y = parallel.gather(x.astype(jnp.float32))
  check_group(len(y), group)
  group = min(group, len(y))
  y = y.reshape(group, -1, *x.shape[1:])
  y = jnp.sqrt(jnp.var(y, axis=0) + 1e-8)  # [B / group, H, W, C]
  y = jnp.mean(y, axis=(1, 2, 3))
  y = parallel.own_part(jnp.tile(y, group))[:, None, None, None]
  y = jnp.broadcast_to(y, (*x.shape[:3], 1)).astype(x.dtype)
  return jnp.concatenate([x, y], axis=-1)


def check_group(batch: int, group: int) -> None:
  """Raises InputError when a larger batch is no multiple of `group`."""
  if batch % min(group, batch):
    raise InputError(
      f'objective: groups of {group} images, of which the discriminator sees '
      f'the deviation, do not divide a batch of {batch}: take another '
      '`batch_size` or `group`.'
    )
