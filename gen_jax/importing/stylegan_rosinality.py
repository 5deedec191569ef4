"""The generator of StyleGAN of github.com/rosinality/style-based-gan-pytorch.

Checkpoints of that program, `train_step-7.model`, have the groups `generator`,
`discriminator` and `g_running`, the average, which is read. Other files of it,
`120000.model`, have the average alone.

The program differs from the paper's in three details, which are fields of
`Generator`: an upsampling convolution has its bias before the blur, both layers
of a resolution get the same noise, and there is another epsilon. All of its
weights have the factor sqrt(2 / fan in) at run time, also those of the noise
(with the channels for the fan in), the styles and the images, which have 1 and
sqrt(1 / fan in) in ours.
"""

import math
import re
from collections.abc import Iterator, Mapping

import numpy as np

from gen_jax.errors import InputError
from gen_jax.importing import stylegan, tables
from gen_jax.importing.imported import Imported
from gen_jax.importing.tables import Row, scaled
from gen_jax.models.stylegan import Generator

_ROOT = math.sqrt(2)


def table(widths: Mapping[int, int], depth: int) -> Iterator[Row]:
  """Yields the rows of a generator.

  Args:
    widths: the channels of its maps by size, 4, 8, ...
    depth: layers of the mapping network.
  """
  for n in range(depth):
    theirs, ours = f'style.{2 * n + 1}.linear', f'mapping/dense_{n}'
    yield Row(f'{theirs}.weight_orig', f'{ours}/kernel', 'oi->io')
    yield Row(f'{theirs}.bias', f'{ours}/bias', 'c->c')
  for n, (size, width) in enumerate(widths.items()):
    theirs = f'generator.progression.{n}'
    ours = f'synthesis/{size}x{size}'
    if size == 4:
      yield Row(f'{theirs}.conv1.input', f'{ours}_constant', '1chw->hwc')
    elif size < stylegan.FUSED:
      name, up = f'{theirs}.conv1.1.conv', f'{ours}_up'
      yield Row(f'{name}.weight_orig', f'{up}/kernel', 'oihw->hwio')
      yield Row(f'{name}.bias', f'{up}/bias', 'c->c')
    else:
      name, up = f'{theirs}.conv1.0', f'{ours}_up'
      yield Row(f'{name}.weight', f'{up}/kernel', 'iohw->hwio', _fused)
      yield Row(f'{name}.bias', f'{up}/bias', 'c->c')
    name = f'{theirs}.conv2.conv'
    yield Row(f'{name}.weight_orig', f'{ours}_conv/kernel', 'oihw->hwio')
    yield Row(f'{name}.bias', f'{ours}_1/bias', 'c->c')
    for k in (0, 1):
      layer, factor = f'{ours}_{k}', scaled(math.sqrt(2 / width))
      name, style = f'{theirs}.noise{k + 1}.weight_orig', f'{layer}/style'
      yield Row(name, f'{layer}/noise', '1c11->c', factor)
      name = f'{theirs}.adain{k + 1}.style.linear'
      yield Row(f'{name}.weight_orig', f'{style}/kernel', 'oi->io', _he)
      yield Row(f'{name}.bias', f'{style}/bias', 'c->c', _around_zero)
    name, image = f'generator.to_rgb.{n}.conv', f'{ours}_to_image'
    yield Row(f'{name}.weight_orig', f'{image}/kernel', 'oihw->hwio', _he)
    yield Row(f'{name}.bias', f'{image}/bias', 'c->c')


_he = scaled(_ROOT)


def _fused(kernel: np.ndarray) -> np.ndarray:
  """The kernel of a transposed convolution with the mean of four shifts.

  Ours is with their sum.
  """
  return tables.turned(kernel) / 4


def _around_zero(bias: np.ndarray) -> np.ndarray:
  """The biases of scales and shifts, of which our scales are less by 1."""
  scale, shift = np.split(bias, 2)
  return np.concatenate([scale - 1, shift])


def load(files: dict[str, str], resolution: int | None) -> Imported:
  """Returns the generator of a file.

  A file has the layers of all resolutions, also of those that have not been
  trained yet. The biases of these are still 0.

  Args:
    files: one, by its flag.
    resolution: of the images; None for the largest one that was trained.

  Raises:
    InputError: the file is not of this kind.
  """
  ((flag, path),) = files.items()
  where = f'{flag}={path}'
  arrays = tables.read(path, flag, groups=('g_running', 'generator'))
  bias = 'generator.to_rgb.{}.conv.bias'.format
  image = tables.size(arrays, bias(0), 0, where)
  sizes = [4]
  while bias(len(sizes)) in arrays:
    sizes.append(2 * sizes[-1])
  if resolution is None:
    trained = [s for n, s in enumerate(sizes) if np.any(arrays[bias(n)])]
    resolution = max(trained, default=sizes[-1])
  if resolution not in sizes[1:]:
    raise InputError(
      f'--resolution={resolution}: {path} makes images of '
      f'{", ".join(map(str, sizes[1:]))} pixels.'
    )
  sizes = sizes[: sizes.index(resolution) + 1]
  bias = 'generator.progression.{}.conv2.conv.bias'.format
  widths = {
    size: tables.size(arrays, bias(n), 0, where) for n, size in enumerate(sizes)
  }
  depth = tables.count(arrays, r'style\.\d+\.linear\.bias')
  width, latents = (
    tables.size(arrays, 'style.1.linear.weight_orig', n, where) for n in (0, 1)
  )
  network = Generator(
    shape=(resolution, resolution, image),
    width=width,
    depth=depth,
    lr_mul=1.0,
    noise_per_size=True,
    bias_before_blur=True,
    epsilon=stylegan.EPSILON,
    **stylegan.channels(widths, where),
  )
  blurs, larger = [], []
  for name in arrays:
    found = re.fullmatch(r'generator\.(progression|to_rgb)\.(\d+)\.(.*)', name)
    if found and int(found[2]) >= len(sizes):
      larger.append(name)
    elif found and _is_blur(int(found[2]), found[3]):
      blurs.append(name)
  stylegan.check_blurs(blurs, arrays, where)
  return stylegan.imported(
    network,
    latents,
    table(widths, depth),
    arrays,
    where,
    {*blurs, *larger}.__contains__,
  )


def _is_blur(block: int, name: str) -> bool:
  place = 1 if 4 * 2**block >= stylegan.FUSED else 2
  return name in (f'conv1.{place}.weight', f'conv1.{place}.weight_flip')
