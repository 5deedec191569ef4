"""Fixed pseudo-random orders, the same on every machine and with any NumPy."""

import functools
import zlib
from collections.abc import Sequence

import numpy as np


@functools.lru_cache(maxsize=4)
def permutation(seed: int, name: str, epoch: int, size: int) -> np.ndarray:
  """Returns a permutation of `size` indices, int32.

  It sorts random bits, because NumPy's `permutation` may change.
  """
  bits = random_bits([seed, zlib.crc32(name.encode()), epoch], size)
  return np.argsort(bits, kind='stable').astype(np.int32)


def random_bits(seed: Sequence[int], size: int) -> np.ndarray:
  """Returns random numbers, uint64 [size].

  They are the raw output of a Philox generator, which NumPy promises to keep.
  """
  return np.random.Philox(np.random.SeedSequence(seed)).random_raw(size)
