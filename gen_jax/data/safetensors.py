"""Arrays of a safetensors file.

Eight bytes, the length of the header; the header, JSON that gives each array's
type, shape and place; then the arrays, little-endian and C-contiguous.
"""

import json
import pathlib

import jax.numpy as jnp
import numpy as np

from gen_jax.errors import InputError

_DTYPES = {
  'F64': np.dtype('<f8'),
  'F32': np.dtype('<f4'),
  'F16': np.dtype('<f2'),
  'BF16': np.dtype(jnp.bfloat16),
}


def read(path: pathlib.Path, field: str) -> dict[str, np.ndarray]:
  """Returns the arrays of floats of a file by name, as float32.

  Args:
    path: of the file.
    field: of the config that named it, for messages.

  Raises:
    InputError: it cannot be read, or is no such file.
  """
  try:
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], 'little')
    header = json.loads(data[8:start])
    arrays = {}
    for name, entry in header.items():
      if name == '__metadata__' or entry['dtype'] not in _DTYPES:
        continue
      first, last = entry['data_offsets']
      part = memoryview(data)[start:][first:last]
      x = np.frombuffer(part, _DTYPES[entry['dtype']])
      arrays[name] = x.reshape(entry['shape']).astype(np.float32)
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(f'{field}: {path} cannot be read: {error}') from error
  return arrays
