"""The idx files in which MNIST and its relatives are published."""

import gzip
import io
import math

import numpy as np

from gen_jax.data import inputs

_MOST_BYTES = 2**30  # MNIST has 47 MB; a gzip file can hide a thousand times


def parse(data: bytes, name: str, field: str = 'data') -> np.ndarray:
  """Returns the uint8 array of an idx file, gzipped or not.

  The format: two zero bytes, the type (8 for uint8), the number of
  dimensions, each dimension as a big-endian uint32, then the values.

  Args:
    data: the content of the file.
    name: of the file, for messages.
    field: of the config that led to it, for messages.

  Raises:
    InputError: the content is not that of an idx file of uint8.
  """
  with inputs.reading(name, field):
    if data[:2] == b'\x1f\x8b':
      with gzip.open(io.BytesIO(data)) as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
      raise ValueError(f'more than {_MOST_BYTES // 2**20} MiB unpacked')
    axes = data[3] if len(data) > 3 else 0
    start = 4 + 4 * axes
    if data[:3] != b'\x00\x00\x08' or len(data) < start:
      raise ValueError('not an idx file of bytes')
    shape = np.frombuffer(data, '>u4', axes, offset=4).tolist()
    if len(data) - start != math.prod(shape):
      raise ValueError(
        f'{len(data) - start} bytes in place of the {math.prod(shape)} of an '
        f'array of shape {tuple(shape)}'
      )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
