"""Stacked MNIST: three digits as red, green and blue, 1,000 modes to count.

Metz et al. 2016, section 3.3.1; the size of the splits is that of PacGAN (Lin
et al. 2018, section 4.2). Their stacks are of all 70,000 digits; here those of
a split are of MNIST's split alone.
"""

import numpy as np

from gen_jax.data.checks import check_split
from gen_jax.data.datasets import mnist
from gen_jax.data.shuffling import random_bits
from gen_jax.data.sources import Arrays, Fields, Source, describe
from gen_jax.errors import InputError
from gen_jax.registry.fields import Count

SIZES = {'train': 128_000, 'test': 26_000}

_CLASSES = tuple(f'{label:03d}' for label in range(1000))


def load(split: str, draw: Count = 0) -> Source:
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
  rows = choose_digits(split, draw, len(digits))

  def read(indices):
    return stack(digits.arrays or {}, rows[indices])

  fields: Fields = {
    'image': ((28, 28, 3), np.dtype(np.uint8)),
    'label': ((), np.dtype(np.int32)),
  }
  return Source(
    size=size,
    fields=fields,
    read=read,
    description=describe('stacked_mnist', split, size, fields, _CLASSES),
    identity=lambda: ('stacks', digits.fingerprint, rows),
    classes=_CLASSES,
  )


def choose_digits(split: str, draw: int, count: int) -> np.ndarray:
  """Returns which of `count` digits are in each stack of a split, [N, 3]."""
  seed = [draw, len(split), *split.encode()]
  size = SIZES[split]
  bits = random_bits(seed, 3 * size)
  return (bits % np.uint64(count)).astype(np.int32).reshape(size, 3)


def stack(digits: Arrays, rows: np.ndarray) -> Arrays:
  """Returns stacks of three digits each, with the number that they spell.

  Args:
    digits: a split of MNIST.
    rows: of the digits in each stack, [N, 3].
  """
  image = np.stack([digits['image'][x, ..., 0] for x in rows.T], axis=-1)
  hundreds, tens, ones = digits['label'][rows].T
  return {'image': image, 'label': 100 * hundreds + 10 * tens + ones}
