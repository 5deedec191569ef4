"""The idx files in which MNIST and its relatives are published."""

import gzip
import zlib

import numpy as np

from gen_jax.errors import InputError


def parse(data: bytes, name: str) -> np.ndarray:
  """Returns the uint8 array of an idx file, gzipped or not.

  The format: two zero bytes, the type (8 for uint8), the number of
  dimensions, each dimension as a big-endian uint32, then the values.

  Args:
    data: the content of the file.
    name: of the file, for messages.

  Raises:
    InputError: the content is not that of an idx file of uint8.
  """
  if data[:2] == b'\x1f\x8b':
    try:
      data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as e:
      raise InputError(f'{name}: damaged gzip file ({e}).') from e
  if data[:3] != b'\x00\x00\x08' or len(data) < 4 + 4 * data[3]:
    raise InputError(f'{name}: not an idx file of bytes.')
  shape = np.frombuffer(data, '>u4', data[3], offset=4).astype(np.int64)
  start = 4 + 4 * data[3]
  if len(data) - start != shape.prod():
    raise InputError(
      f'{name}: {len(data) - start} bytes in place of the {shape.prod()} of '
      f'an array of shape {tuple(shape.tolist())}.'
    )
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
