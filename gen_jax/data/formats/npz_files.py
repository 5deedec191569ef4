"""Arrays of NumPy archives, `.npz`, read without running code of theirs."""

import math
import os
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np

from gen_jax.data import inputs

_HEADERS = {
  (1, 0): np.lib.format.read_array_header_1_0,
  (2, 0): np.lib.format.read_array_header_2_0,
}


def read(
  file: pathlib.Path, wanted: Callable[[str], bool]
) -> dict[str, np.ndarray]:
  """Returns arrays of an archive by name.

  Args:
    file: the archive.
    wanted: whether an array of a name is read.

  Raises:
    ValueError: an array would fill the memory, or claims to; further errors
      are those of NumPy and zipfile.
  """
  inputs.check_regular(file)
  arrays = {}
  with zipfile.ZipFile(file) as archive:
    members = {
      member.filename.removesuffix('.npy'): member
      for member in archive.infolist()
    }
    chosen = {name: m for name, m in members.items() if wanted(name)}
    size = sum(member.file_size for member in chosen.values())
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    if size > memory:
      raise ValueError(
        f'it unpacks to {size / 2**30:.0f} GiB, more than the memory'
      )
    for name, member in chosen.items():
      with archive.open(member) as opened:
        _check_header(opened, name, member.file_size)
      with archive.open(member) as opened:
        # Without pickle, which could run code.
        arrays[name] = np.lib.format.read_array(opened, allow_pickle=False)
  return arrays


def _check_header(opened, name, size):
  """Raises ValueError unless an array has the size that its header claims."""
  version = np.lib.format.read_magic(opened)
  if version not in _HEADERS:
    raise ValueError(f'{name} is a NumPy array of the version {version}')
  shape, _, dtype = _HEADERS[version](opened)
  if dtype.hasobject:
    raise ValueError(f'{name} holds objects of Python, which are not read')
  claimed = math.prod(shape) * dtype.itemsize
  if min(shape, default=0) < 0 or claimed != size - opened.tell():
    raise ValueError(
      f'{name} claims {claimed} bytes, and has {size - opened.tell()}'
    )
