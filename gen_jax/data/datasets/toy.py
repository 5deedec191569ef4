"""Mixtures of Gaussians in the plane, on which modes can be counted.

As in the experiments of PacGAN (Lin et al. 2018), after VEEGAN (Srivastava et
al. 2017); the numbers are those of PacGAN's program, github.com/fjxmlzn/PacGAN,
`synthetic_data_experiments`: 100,000 points to train on, all modes alike.
"""

import dataclasses
import functools

import numpy as np

from gen_jax.data.checks import check_split
from gen_jax.data.shuffling import random_bits
from gen_jax.data.sources import Source, array_source
from gen_jax.errors import check_choice


@dataclasses.dataclass(frozen=True)
class Mixture:
  """Round Gaussians of one deviation and equal weights.

  Attributes:
    centers: (x, y) of each mode.
    deviation: in each direction.
  """

  centers: tuple[tuple[float, float], ...]
  deviation: float


_ANGLES = 2 * np.pi * np.arange(8) / 8
_TICKS = (-4.0, -2.0, 0.0, 2.0, 4.0)

MIXTURES = {
  'ring': Mixture(
    tuple((float(np.cos(a)), float(np.sin(a))) for a in _ANGLES), 0.01
  ),
  'grid': Mixture(tuple((x, y) for x in _TICKS for y in _TICKS), 0.05),
}

_SIZES = {'train': 100_000, 'test': 10_000}


def find(mixture: str) -> Mixture:
  """Returns a mixture by its name; raises InputError when there is none."""
  check_choice('data.mixture', mixture, MIXTURES)
  return MIXTURES[mixture]


@functools.lru_cache(maxsize=4)
def load(split: str, mixture: str) -> Source:
  """Returns a split, the same points each time; the label is the mode.

  Args:
    split: 'train' (100,000 points) or 'test' (10,000).
    mixture: 'ring' (8 modes) or 'grid' (25).

  Raises:
    InputError: an unknown split or mixture.
  """
  check_split(split, _SIZES, 'toy')
  shape = find(mixture)
  size, centers = _SIZES[split], np.array(shape.centers)
  # NumPy's own normals may change, hence those of Box and Muller.
  seed = [len(split), *split.encode(), len(centers)]
  bits = random_bits(seed, 3 * size)
  mode, *uniform = bits.reshape(3, size)
  label = (mode % np.uint64(len(centers))).astype(np.int32)
  radius, angle = ((u >> np.uint64(11)) + 0.5 for u in uniform)
  radius = np.sqrt(-2 * np.log(radius / 2**53))
  angle = 2 * np.pi * angle / 2**53
  noise = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
  points = centers[label] + shape.deviation * noise  # [N, 2]
  arrays = {
    'image': points.astype(np.float32)[:, None, None],
    'label': label,
  }
  names = tuple(f'({x:.3g}, {y:.3g})' for x, y in shape.centers)
  return array_source(f'toy {mixture}', split, arrays, names)
