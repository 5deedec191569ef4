"""The idx files in which MNIST and its relatives are published."""

import gzip
import io
import zlib

import numpy as np

from gen_jax.errors import InputError

_MOST_BYTES = 2**30  # MNIST has 47 MB; a gzip file can hide a thousand times


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
      with gzip.open(io.BytesIO(data)) as file:
        data = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as e:
      raise InputError(f'{name}: damaged gzip file ({e}).') from e
  if len(data) > _MOST_BYTES:
    raise InputError(f'{name}: more than {_MOST_BYTES // 2**20} MiB unpacked.')
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
