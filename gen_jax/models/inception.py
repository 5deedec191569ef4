"""The Inception-v3 network whose features give the standard FID.

It is that of the program `inception-2015-12-05` for TensorFlow, by which Heusel
et al. 2017 define the distance. It differs from the published network (Szegedy
et al. 2015) in its pooling: averages do not count the zeros beyond the borders,
and the last block takes maxima. Layers have the names of torchvision.

Batch normalization is linear in a trained network, and therefore a part of the
kernels and biases.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import InputError
from gen_jax.models.layers.conv import Conv
from gen_jax.models.layers.linear import Dense
from gen_jax.registry.fields import Count, Size

SIDE = 299  # pixels of its images


class FIDInception(nn.Module):
  """Maps images [B, H, W, 1 or 3] in [0, 1] to logits and 2048 features.

  The images are resized to 299x299 pixels by bilinear interpolation, without a
  filter against aliasing, as in the program pytorch-fid.

  Attributes:
    classes: of the logits.
  """

  classes: Count = 1008

  @nn.compact
  def __call__(
    self, images: jax.Array, train: bool = False
  ) -> tuple[jax.Array, jax.Array]:
    """Returns logits [B, K] and features [B, 2048]."""
    del train
    x = 2 * _resized(images) - 1
    x = _layer(x, 'Conv2d_1a_3x3', 32, (3, 3), 2, 'VALID')
    x = _layer(x, 'Conv2d_2a_3x3', 32, (3, 3), 1, 'VALID')
    x = _layer(x, 'Conv2d_2b_3x3', 64, (3, 3))
    x = _halved(x)
    x = _layer(x, 'Conv2d_3b_1x1', 80)
    x = _layer(x, 'Conv2d_4a_3x3', 192, (3, 3), 1, 'VALID')
    x = _halved(x)
    x = BlockA(32, name='Mixed_5b')(x)
    x = BlockA(64, name='Mixed_5c')(x)
    x = BlockA(64, name='Mixed_5d')(x)
    x = BlockB(name='Mixed_6a')(x)
    x = BlockC(128, name='Mixed_6b')(x)
    x = BlockC(160, name='Mixed_6c')(x)
    x = BlockC(160, name='Mixed_6d')(x)
    x = BlockC(192, name='Mixed_6e')(x)
    x = BlockD(name='Mixed_7a')(x)
    x = BlockE(_averaged, name='Mixed_7b')(x)
    x = BlockE(_maximum, name='Mixed_7c')(x)
    features = jnp.mean(x, axis=(1, 2))
    return Dense(self.classes, name='fc')(features), features


class BlockA(nn.Module):
  """35x35 pixels; `pooled` channels come from the averages."""

  pooled: Size

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns maps of the same size."""
    one = _layer(x, 'branch1x1', 64)
    five = _layer(x, 'branch5x5_1', 48)
    five = _layer(five, 'branch5x5_2', 64, (5, 5))
    three = _layer(x, 'branch3x3dbl_1', 64)
    three = _layer(three, 'branch3x3dbl_2', 96, (3, 3))
    three = _layer(three, 'branch3x3dbl_3', 96, (3, 3))
    pool = _layer(_averaged(x), 'branch_pool', self.pooled)
    return jnp.concatenate([one, five, three, pool], axis=-1)


class BlockB(nn.Module):
  """From 35x35 to 17x17 pixels."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns maps of half the size."""
    one = _layer(x, 'branch3x3', 384, (3, 3), 2, 'VALID')
    two = _layer(x, 'branch3x3dbl_1', 64)
    two = _layer(two, 'branch3x3dbl_2', 96, (3, 3))
    two = _layer(two, 'branch3x3dbl_3', 96, (3, 3), 2, 'VALID')
    return jnp.concatenate([one, two, _halved(x)], axis=-1)


class BlockC(nn.Module):
  """17x17 pixels; `inner` channels between the rows and the columns."""

  inner: Size

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns maps of the same size."""
    row, column, inner = (1, 7), (7, 1), self.inner
    one = _layer(x, 'branch1x1', 192)
    two = _layer(x, 'branch7x7_1', inner)
    two = _layer(two, 'branch7x7_2', inner, row)
    two = _layer(two, 'branch7x7_3', 192, column)
    four = _layer(x, 'branch7x7dbl_1', inner)
    four = _layer(four, 'branch7x7dbl_2', inner, column)
    four = _layer(four, 'branch7x7dbl_3', inner, row)
    four = _layer(four, 'branch7x7dbl_4', inner, column)
    four = _layer(four, 'branch7x7dbl_5', 192, row)
    pool = _layer(_averaged(x), 'branch_pool', 192)
    return jnp.concatenate([one, two, four, pool], axis=-1)


class BlockD(nn.Module):
  """From 17x17 to 8x8 pixels."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns maps of half the size."""
    one = _layer(x, 'branch3x3_1', 192)
    one = _layer(one, 'branch3x3_2', 320, (3, 3), 2, 'VALID')
    two = _layer(x, 'branch7x7x3_1', 192)
    two = _layer(two, 'branch7x7x3_2', 192, (1, 7))
    two = _layer(two, 'branch7x7x3_3', 192, (7, 1))
    two = _layer(two, 'branch7x7x3_4', 192, (3, 3), 2, 'VALID')
    return jnp.concatenate([one, two, _halved(x)], axis=-1)


class BlockE(nn.Module):
  """8x8 pixels; `pool` is the first layer of the last branch."""

  pool: Callable[[jax.Array], jax.Array]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Returns maps of the same size."""
    row, column = (1, 3), (3, 1)
    one = _layer(x, 'branch1x1', 320)
    two = _layer(x, 'branch3x3_1', 384)
    two_row = _layer(two, 'branch3x3_2a', 384, row)
    two_column = _layer(two, 'branch3x3_2b', 384, column)
    three = _layer(x, 'branch3x3dbl_1', 448)
    three = _layer(three, 'branch3x3dbl_2', 384, (3, 3))
    three_row = _layer(three, 'branch3x3dbl_3a', 384, row)
    three_column = _layer(three, 'branch3x3dbl_3b', 384, column)
    pool = _layer(self.pool(x), 'branch_pool', 192)
    parts = [one, two_row, two_column, three_row, three_column, pool]
    return jnp.concatenate(parts, axis=-1)


def _layer(x, name, width, kernel=(1, 1), strides=1, padding='SAME'):
  """A convolution, with its normalization, and a rectifier."""
  return nn.relu(Conv(width, kernel, strides, padding, name=name)(x))


def _averaged(x):
  """Means over 3x3 pixels, of those within the borders."""
  return nn.avg_pool(x, (3, 3), padding='SAME', count_include_pad=False)


def _maximum(x):
  return nn.max_pool(x, (3, 3), padding='SAME')


def _halved(x):
  return nn.max_pool(x, (3, 3), (2, 2))


def _resized(images):
  """Images of 299x299 pixels with 3 channels."""
  count, *_, depth = images.shape
  if depth not in (1, 3):
    raise InputError(
      f'inception.FIDInception takes images of 1 or 3 channels, not {depth}.'
    )
  shape = (count, SIDE, SIDE, depth)
  x = jax.image.resize(images, shape, 'linear', antialias=False)
  return jnp.broadcast_to(x, (count, SIDE, SIDE, 3))
