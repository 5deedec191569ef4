"""The Inception network of pytorch-fid, for the standard FID.

That program (github.com/mseitzer/pytorch-fid) reads it from the file
`pt_inception-2015-12-05-6726825d.pth`. Its arrays have the names of
torchvision. Batch normalization becomes a part of the convolutions.
"""

import numpy as np

from gen_jax import config as config_lib
from gen_jax.config import presets
from gen_jax.errors import InputError
from gen_jax.importing import tables
from gen_jax.importing.imported import Imported, placed
from gen_jax.models import inception
from gen_jax.models.inception import FIDInception

_EPSILON = 1e-3  # of its batch normalization
_NORM = ('weight', 'bias', 'running_mean', 'running_var')


def load(files: dict[str, str]) -> Imported:
  """Returns the network as a classifier.

  Args:
    files: one, by its flag.

  Raises:
    InputError: the file is not of this kind.
  """
  ((flag, path),) = files.items()
  where, arrays = f'{flag}={path}', tables.read(path, flag)
  classes = tables.size(arrays, 'fc.bias', 0, where)
  side = inception.SIDE
  network = FIDInception(classes)
  shapes = tables.shapes_of(network, (1, side, side, 3))
  layers = [k.removesuffix('/kernel') for k in shapes if k.endswith('/kernel')]
  rows = [
    tables.Row('fc.weight', 'fc/kernel', 'oi->io'),
    tables.Row('fc.bias', 'fc/bias', 'c->c'),
  ]
  norms = {}
  for layer in layers:
    if layer == 'fc':
      continue
    theirs, width = layer.replace('/', '.'), shapes[f'{layer}/bias']
    kernel = f'{layer}/kernel'
    rows.append(tables.Row(f'{theirs}.conv.weight', kernel, 'oihw->hwio'))
    for name in _NORM:
      place = f'{layer}/{name}'
      norms[place] = width
      rows.append(tables.Row(f'{theirs}.bn.{name}', place, 'c->c'))
  found = tables.convert(rows, arrays, {**shapes, **norms}, where)
  for layer in layers:
    if layer != 'fc':
      found |= _folded(layer, found, where)
  config = config_lib.default()
  presets.folder(config, (side, side, 3))
  presets.adam(config, {'model': 1e-4})
  config.batch_size = 1
  config.objective = {
    'name': 'classifier.Classifier',
    'network': {'name': 'inception.FIDInception', 'classes': classes},
  }
  return Imported(
    config,
    {'image': (side, side, 3)},
    placed('model', {name: found[name] for name in shapes}),
    f'Inception with {len(layers) - 1} convolutions and {classes} classes',
    classes=tuple(map(str, range(classes))),
  )


def _folded(layer, found, where):
  """Returns the kernel and the bias that include the normalization."""
  if np.any(found[f'{layer}/running_var'] < 0):
    name = layer.replace('/', '.')
    raise InputError(f'{where}: {name}.bn.running_var has negative numbers.')
  scale, shift, mean, variance = (
    found[f'{layer}/{name}'].astype(np.float64) for name in _NORM
  )
  factor = scale / np.sqrt(variance + _EPSILON)
  return {
    f'{layer}/kernel': (found[f'{layer}/kernel'] * factor).astype(np.float32),
    f'{layer}/bias': (shift - mean * factor).astype(np.float32),
  }
