"""Generators of pytorch-CycleGAN-and-pix2pix with residual blocks.

That program (github.com/junyanz/pytorch-CycleGAN-and-pix2pix) writes them as
`latest_net_G_A.pth`, `latest_net_G_B.pth` or, for one direction,
`latest_net_G.pth`. The network is a list of layers without names, so that the
number of a layer depends on the number of blocks.
"""

import re
from collections.abc import Iterator

from gen_jax import config as config_lib
from gen_jax.config import presets
from gen_jax.errors import InputError
from gen_jax.importing import tables
from gen_jax.importing.imported import Imported, placed
from gen_jax.importing.tables import Arrays, Row
from gen_jax.models.translation import ResidualTranslator

_SIDES = {6: 128}  # pixels of the training images by blocks; 256 for others
# Statistics of instance normalization, which older versions of PyTorch wrote
# and that program does not use.
_STATISTICS = re.compile(
  r'model\.[\w.]+\.(running_mean|running_var|num_batches_tracked)'
)


def table(blocks: int, dropout: bool) -> Iterator[Row]:
  """Yields the rows of a generator.

  Args:
    blocks: number of residual blocks.
    dropout: whether they have dropout, a layer between their convolutions.
  """
  second = 6 if dropout else 5
  yield from _layer('model.1', 'Conv_0')
  yield from _layer('model.4', 'Conv_1')
  yield from _layer('model.7', 'Conv_2')
  for n in range(blocks):
    block = f'model.{10 + n}.conv_block'
    yield from _layer(f'{block}.1', f'_Block_{n}/Conv_0')
    yield from _layer(f'{block}.{second}', f'_Block_{n}/Conv_1')
  after = 10 + blocks
  yield from _transposed(f'model.{after}', 'ConvTranspose_0')
  yield from _transposed(f'model.{after + 3}', 'ConvTranspose_1')
  yield from _layer(f'model.{after + 7}', 'Conv_3')


def _layer(theirs, ours):
  yield Row(f'{theirs}.weight', f'{ours}/kernel', 'oihw->hwio')
  yield Row(f'{theirs}.bias', f'{ours}/bias', 'c->c')


def _transposed(theirs, ours):
  yield Row(f'{theirs}.weight', f'{ours}/kernel', 'iohw->hwio', tables.turned)
  yield Row(f'{theirs}.bias', f'{ours}/bias', 'c->c')


def load(files: dict[str, str]) -> Imported:
  """Returns a model of one generator, or of both.

  Args:
    files: by flag; the second, if any, translates back.

  Raises:
    InputError: a file is not of this kind, or the two do not fit together.
  """
  generators = []
  for flag, path in files.items():
    arrays = tables.read(path, flag)
    generators.append(_generator(arrays, f'{flag}={path}'))
  config = config_lib.default()
  config.batch_size = 1
  config.data.name = 'domains'
  presets.domain_folders(config)
  config.objective = {'name': 'cyclegan.CycleGAN'}
  found, channels, blocks = {}, {}, []
  for (a, b), generator in zip(('ab', 'ba'), generators, strict=False):
    network, inputs, arrays = generator
    blocks.append(network.blocks)
    for domain, depth in ((a, inputs), (b, network.out)):
      if channels.setdefault(domain, depth) != depth:
        raise InputError(
          f'{list(files)[1]}: this generator has images of {depth} channels '
          f'where the other one has {channels[domain]}.'
        )
    config.objective[f'gen_{a}{b}'] = {
      'name': 'translation.ResidualTranslator',
      **{k: getattr(network, k) for k in ('out', 'channels', 'blocks')},
    }
    found |= placed(f'gen_{a}{b}', arrays)
  side = _SIDES.get(min(blocks), 256)
  config.data.common.shape = (side, side, channels['a'])
  return Imported(
    config,
    {name: (side, side, channels[name]) for name in 'ab'},
    found,
    f'{len(generators)} generator(s) of {blocks[0]} residual blocks',
  )


def _generator(arrays: Arrays, where: str):
  """Returns a network, the channels of its input, and its arrays."""
  second = 'conv_block.6.weight'
  pattern = re.compile(r'model\.(\d+)\.conv_block\.1\.weight')
  blocks = sum(bool(pattern.fullmatch(name)) for name in arrays)
  if 'model.2.weight' in arrays:
    raise InputError(
      f'{where}: the generator has batch normalization; only generators with '
      'instance normalization are read (--norm=instance, as CycleGAN has it).'
    )
  dropout = any(name.endswith(second) for name in arrays)
  network = ResidualTranslator(
    out=tables.size(arrays, f'model.{17 + blocks}.weight', 0, where),
    channels=tables.size(arrays, 'model.1.weight', 0, where),
    blocks=blocks,
  )
  inputs = tables.size(arrays, 'model.1.weight', 1, where)
  shapes = tables.shapes_of(network, (1, 64, 64, inputs))
  found = tables.convert(
    table(blocks, dropout), arrays, shapes, where, _STATISTICS.fullmatch
  )
  return network, inputs, found
