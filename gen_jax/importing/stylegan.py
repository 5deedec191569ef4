"""What the imports of StyleGAN's generator share."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from gen_jax import config as config_lib
from gen_jax.config import presets
from gen_jax.core import root_key
from gen_jax.errors import InputError
from gen_jax.importing import tables
from gen_jax.importing.imported import Imported, placed
from gen_jax.importing.tables import Arrays, Row
from gen_jax.models import progressive
from gen_jax.models.stylegan import Generator

EPSILON = 1e-5  # of PyTorch's instance normalization
# Pixels from which on both programs enlarge within the convolution.
FUSED = 128

_LATENTS = 10_000  # by which the mean of w is computed
_BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16


def channels(widths: Mapping[int, int], where: str) -> dict[str, int]:
  """Returns `fmap_base` and `fmap_max` of a generator.

  Args:
    widths: channels of its maps by size.
    where: the flag and the file, for messages.

  Raises:
    InputError: it is no StyleGAN of 8 to 1024 pixels with channels that halve
      where the size doubles.
  """
  sizes = list(widths)
  if sizes[-1:] not in [[2**n] for n in range(3, 11)]:
    raise InputError(f'{where} has maps of the sizes {sizes}: expected 4, 8...')
  found = {
    'fmap_base': max(widths[sizes[-1]] * sizes[-1] // 2, 1),
    'fmap_max': widths[4],
  }
  fits = {size: progressive.channels(size, **found) for size in sizes}
  if fits != dict(widths):
    raise InputError(
      f'{where} has maps of {list(widths.values())} channels: expected as many '
      'in each as in the one before, or half of them.'
    )
  return found


def check_blurs(names: Iterable[str], arrays: Arrays, where: str) -> None:
  """Raises InputError where a filter is not [1, 2, 1] / 4 along both axes."""
  for name in names:
    x = arrays[name]
    if x.shape[-2:] != (3, 3) or not np.allclose(x, _BLUR, atol=1e-6):
      raise InputError(f'{where}: {name} is not the filter [1, 2, 1] / 4.')


def imported(
  network: Generator,
  latents: int,
  rows: Iterable[Row],
  arrays: Arrays,
  where: str,
  ignored: Callable[[str], Any],
  w_avg: np.ndarray | None = None,
) -> Imported:
  """Returns a model that has a generator and no discriminator.

  Arrays of the network without a row are 0: biases that a program does not
  have, and the output layers of lower resolutions, which no image uses.

  Args:
    network: as the file has it.
    latents: Z, the number of latents.
    rows: of the network.
    arrays: by their names in the file.
    where: the flag and the file, for messages.
    ignored: whether the network does not need an array of this name.
    w_avg: the mean of w; None to compute it with random latents.

  Raises:
    InputError: the arrays do not fit.
  """
  key = root_key(0)
  shapes = tables.shapes_of(network, (1, latents), noise=key)
  found = tables.convert(rows, arrays, shapes, where, ignored)
  for name, shape in shapes.items():
    found.setdefault(name, np.zeros(shape, np.float32))
  if w_avg is None:
    params = {name: x for name, x in found.items() if 'mapping/' in name}
    w_avg = _mean_w(network, latents, params)
  resolution = network.shape[0]
  config = config_lib.default()
  presets.folder(config, network.shape)
  config.batch_size = 1
  config.objective = {
    'name': 'stylegan.StyleGAN',
    'gen': {
      'name': 'stylegan.Generator',
      **{name: getattr(network, name) for name in _FIELDS},
    },
    'latents': {'name': 'latents.Normal', 'size': latents},
  }
  return Imported(
    config,
    {'image': network.shape},
    {
      **placed('gen', found),
      'gen/average/w_avg': np.asarray(w_avg, np.float32),
      f'fade_in/fade_in/alpha_{resolution}': np.ones((), np.float32),
    },
    f'a generator of {resolution} pixels with {network.fmap_max} channels',
  )


_FIELDS = (
  'shape', 'width', 'depth', 'lr_mul', 'fmap_base', 'fmap_max',
  'noise_per_size', 'bias_before_blur', 'epsilon',
)  # fmt: skip


def _mean_w(network, latents, params):
  z = jax.random.normal(root_key(0), (_LATENTS, latents))
  tree = tables.nested(params)

  def mean(params, z):
    w = network.apply({'params': params}, z, method='map_latents')
    return w.mean(axis=0)

  return np.asarray(jax.jit(mean)(tree, z))
