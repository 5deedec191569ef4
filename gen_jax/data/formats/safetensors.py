"""Arrays of a safetensors file, by the library `safetensors`."""

import pathlib

import numpy as np
import safetensors

from gen_jax.data import inputs

_FLOATS = ('F64', 'F32', 'F16', 'BF16')


def read(path: pathlib.Path, field: str) -> dict[str, np.ndarray]:
  """Returns the arrays of floats of a file by name, as float32.

  Args:
    path: of the file.
    field: of the config that named it, for messages.

  Raises:
    InputError: it cannot be read, or is no such file, or an array has numbers
      that are not finite.
  """
  arrays = {}
  with inputs.reading(path, field):
    inputs.check_regular(path)
    # The library checks that the header fits the file.
    with safetensors.safe_open(path, framework='numpy') as file:
      for name in file.keys():
        if file.get_slice(name).get_dtype() in _FLOATS:
          arrays[name] = finite(name, file.get_tensor(name))
  return arrays


def finite(name: str, x: np.ndarray) -> np.ndarray:
  """Returns an array as float32; raises ValueError unless all is finite."""
  with np.errstate(over='ignore'):  # becomes infinity, which is refused
    x = x.astype(np.float32)
  if not np.all(np.isfinite(x)):
    raise ValueError(f'the array {name} has numbers that are not finite')
  return x
