"""Stacked MNIST: three digits as red, green and blue, 1,000 modes to count.

Metz et al. 2016, section 3.3.1; the size of the splits is that of PacGAN (Lin
et al. 2018, section 4.2). Their stacks are of all 70,000 digits; here those of
a split are of MNIST's split alone.
"""

import dataclasses
import functools
from types import MappingProxyType

import numpy as np

from gen_jax.data import fingerprints
from gen_jax.data.checks import check_split
from gen_jax.data.datasets import mnist
from gen_jax.data.sources import (
  ArraySource,
  Fields,
  Indices,
  check_indices,
  describe,
)
from gen_jax.errors import InputError
from gen_jax.registry.fields import Count

SIZES = {'train': 128_000, 'test': 26_000}

_CLASSES = tuple(f'{label:03d}' for label in range(1000))


@dataclasses.dataclass(frozen=True, eq=False)
class StackedSource:
  """Stacks that are put together as they are read.

  Attributes:
    split: 'train' or 'test'.
    digits: the split of MNIST.
    rows: of the digits in each stack, [N, 3].
  """

  split: str
  digits: ArraySource
  rows: np.ndarray

  classes = _CLASSES
  ranges = MappingProxyType({})
  arrays = None
  labels = None

  @property
  def fields(self) -> Fields:
    return {
      'image': ((28, 28, 3), np.dtype(np.uint8)),
      'label': ((), np.dtype(np.int32)),
    }

  def __len__(self) -> int:
    return len(self.rows)

  def __getitems__(self, indices: Indices) -> dict[str, np.ndarray]:
    rows = self.rows[check_indices(indices, len(self))]  # [B, 3]
    digits = self.digits.arrays
    image = np.empty((len(rows), 28, 28, 3), np.uint8)
    for channel in range(3):
      image[..., channel] = digits['image'][rows[:, channel], ..., 0]
    hundreds, tens, ones = digits['label'][rows].T
    return {'image': image, 'label': 100 * hundreds + 10 * tens + ones}

  def summary(self) -> str:
    return describe(self, 'stacked_mnist', self.split)

  @functools.cached_property
  def fingerprint(self) -> str:
    return fingerprints.digest('stacks', self.digits.fingerprint, self.rows)


def load(split: str, draw: Count = 0) -> StackedSource:
  """Returns a split; the label is the number that R, G and B spell.

  Args:
    split: 'train' (128,000 stacks) or 'test' (26,000).
    draw: 0 or more, which digits meet: stack i is a function of `draw` and i.

  Raises:
    InputError: an unknown split, or a negative draw.
  """
  check_split(split, SIZES, 'stacked_mnist')
  if draw < 0:
    raise InputError(f'data.draw={draw}: expected 0 or more.')
  digits, size = mnist.load(split), SIZES[split]
  # Philox, whose raw output is promised to stay the same.
  seed = [draw, len(split), *split.encode()]
  bits = np.random.Philox(np.random.SeedSequence(seed)).random_raw(3 * size)
  rows = (bits % np.uint64(len(digits))).astype(np.int32).reshape(size, 3)
  return StackedSource(split, digits, rows)
