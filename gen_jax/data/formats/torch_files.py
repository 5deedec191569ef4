"""Arrays of a file that `torch.save` wrote, without PyTorch.

Such a file is a pickle beside the memory of its tensors, in one of two forms:

  a zip archive   `NAME/data.pkl`, and `NAME/data/KEY` for each memory; since
                  PyTorch 1.6
  a sequence      five pickles, of which the fourth has the object and the fifth
                  lists the keys, and then each memory after its length

The pickle names functions of PyTorch that make tensors. Here these stand for
classes of this module, which only note what they are given; whatever else it
names is refused before it is called, see `pickles.py`.
"""

import dataclasses
import functools
import io
import math
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from gen_jax.data import inputs
from gen_jax.data.formats import pickles, safetensors
from gen_jax.errors import InputError

_MOST_BYTES = 2**33  # of a file
_MOST_PICKLED = 2**26  # bytes of the pickle, which holds no numbers
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of a sequence


def read(
  path: pathlib.Path, field: str, groups: Sequence[str] = ()
) -> dict[str, np.ndarray]:
  """Returns the arrays of floats of a file by name, as float32.

  Args:
    path: of the file.
    field: of the config, or the flag, that named it, for messages.
    groups: where the file has one of these groups of arrays, the first of them
      is returned and nothing else, such as the network in a checkpoint.

  Raises:
    InputError: it cannot be read, it needs more than tensors, or an array has
      numbers that are not finite.
  """
  try:
    with inputs.reading(path, field):
      inputs.check_regular(path)
      size = path.stat().st_size
      if size > _MOST_BYTES:
        raise ValueError(f'it has more than {_MOST_BYTES:,} bytes')
      with open(path, 'rb') as file:
        if zipfile.is_zipfile(file):
          with zipfile.ZipFile(file) as archive:
            return _arrays(_from_archive(archive), groups, size)
        file.seek(0)
        return _arrays(_from_sequence(file, size), groups, size)
  except inputs.ReadError as error:
    if not isinstance(error.__cause__, pickles.Refused):
      raise
    raise InputError(
      f'{field}: {path} needs {error.reason}; only tensors, dicts, lists, '
      'numbers and text are read. Save the state_dict of the network alone, or '
      'write it as safetensors.'
    ) from None


@dataclasses.dataclass(frozen=True)
class _Memory:
  """A part of the memory that tensors share.

  Attributes:
    kind: of its numbers.
    length: of the whole, in numbers.
    start: of the part, in numbers.
    load: returns the bytes of the whole.
  """

  kind: '_Kind'
  length: int
  start: int
  load: Callable[[], bytes]


class _Kind(NamedTuple):
  """A type of numbers. A pickle gets it, and cannot change a tuple.

  Attributes:
    dtype: as stored.
    upper: whether these are the upper halves of floats, as bfloat16 is.
  """

  dtype: str
  upper: bool = False


class _Tensor:
  """The arguments of the functions that make a tensor."""

  def __init__(
    self, memory: Any, offset: Any, size: Any, stride: Any, *more: Any
  ) -> None:
    del more  # whether it has a gradient, and hooks
    if not isinstance(memory, _Memory):
      raise pickles.Refused('a tensor without memory')
    self.memory, self.offset = memory, offset
    self.size, self.stride = tuple(size), tuple(stride)

  def array(self) -> np.ndarray:
    """Returns a copy of the numbers."""
    start, count, kind = self.start, self.memory.length, self.memory.kind
    flat = np.frombuffer(self.memory.load(), kind.dtype, count)
    if kind.upper:
      flat = (flat.astype('<u4') << 16).view('<f4')
    strides = [n * flat.itemsize for n in self.stride]
    view = np.lib.stride_tricks.as_strided(
      flat[start:], self.size, strides, writeable=False
    )
    return np.array(view, view.dtype.newbyteorder('='))

  @property
  def start(self) -> int:
    """The place of the first number; checks that all are in the memory."""
    whole = (self.offset, *self.size, *self.stride)
    if not all(type(n) is int and 0 <= n < 2**48 for n in whole):
      raise ValueError('a tensor has no proper shape')
    if len(self.size) != len(self.stride) or len(self.size) > 16:
      raise ValueError('a tensor has no proper shape')
    start = self.memory.start + self.offset
    pairs = zip(self.size, self.stride, strict=True)
    end = start + sum((n - 1) * step for n, step in pairs)
    if (
      start > self.memory.length
      or 0 not in self.size
      and (end >= self.memory.length)
    ):
      raise ValueError('a tensor exceeds its memory')
    if self.count > self.memory.length:
      raise ValueError('a tensor repeats its memory')
    return start

  @property
  def count(self) -> int:
    """How many numbers the array has."""
    return math.prod(self.size)


class _Dict(dict):
  """An ordered dict, whose attributes (of `state_dict`) are left out."""

  def __setstate__(self, state: Any) -> None:
    del state


_HALVES = _Kind('<u2', upper=True)
# What the pickles of `torch.save` name.
_KNOWN = {
  ('collections', 'OrderedDict'): _Dict,
  ('torch', 'Size'): tuple,
  ('torch._utils', '_rebuild_tensor'): _Tensor,
  ('torch._utils', '_rebuild_tensor_v2'): _Tensor,
  ('torch._utils', '_rebuild_parameter'): lambda tensor, *more: tensor,
  ('torch', 'FloatStorage'): _Kind('<f4'),
  ('torch', 'DoubleStorage'): _Kind('<f8'),
  ('torch', 'HalfStorage'): _Kind('<f2'),
  ('torch', 'BFloat16Storage'): _HALVES,
  ('torch', 'LongStorage'): _Kind('<i8'),
  ('torch', 'IntStorage'): _Kind('<i4'),
  ('torch', 'ShortStorage'): _Kind('<i2'),
  ('torch', 'CharStorage'): _Kind('i1'),
  ('torch', 'ByteStorage'): _Kind('u1'),
  ('torch', 'BoolStorage'): _Kind('?'),
}


def _from_archive(archive: zipfile.ZipFile) -> Any:
  names = archive.namelist()
  found = [n for n in names if n == 'data.pkl' or n.endswith('/data.pkl')]
  if len(found) != 1:
    raise ValueError('it has no data.pkl, so torch.save did not write it')
  root = found[0].removesuffix('data.pkl')
  order = f'{root}byteorder'
  if order in names and _member(archive, order, 16) != b'little':
    raise ValueError('its numbers are big-endian')

  @functools.cache
  def content(key):
    return _member(archive, f'{root}data/{key}')

  def memory(key, kind, length, view):
    if view is not None:
      raise ValueError('it has the view of a memory')
    return _Memory(kind, length, 0, lambda: content(key))

  with archive.open(found[0]) as file:
    data = file.read(_MOST_PICKLED + 1)
  if len(data) > _MOST_PICKLED:
    raise ValueError(f'its pickle has more than {_MOST_PICKLED:,} bytes')
  return pickles.load(io.BytesIO(data), _KNOWN, _outside(memory))


def _member(archive, name, most=_MOST_BYTES):
  info = archive.getinfo(name)
  if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
    raise ValueError(f'{name} is compressed or too large')
  return archive.read(info)


def _from_sequence(file: BinaryIO, end: int) -> Any:
  try:
    start = pickles.load(file, {}), pickles.load(file, {})
  except Exception:
    start = None
  if start != (_MAGIC, _PROTOCOL):
    raise ValueError('torch.save did not write it')
  system = pickles.load(file, {})
  if not isinstance(system, dict) or not system.get('little_endian', True):
    raise ValueError('its numbers are big-endian')
  known, content = {}, {}

  def memory(key, kind, length, view):
    known[key] = np.dtype(kind.dtype).itemsize, length
    begin = 0
    if view is not None:
      _, begin, _ = view
    if type(begin) is not int or begin < 0:
      raise ValueError('it has an improper view of a memory')
    return _Memory(kind, length, begin, lambda: content[key])

  value = pickles.load(file, _KNOWN, _outside(memory))
  for key in pickles.load(file, {}):
    size, length = known[key]
    if int.from_bytes(file.read(8), 'little') != length:
      raise ValueError(f'the memory {key} has another length than is noted')
    if size * length > end - file.tell():
      raise ValueError(f'the memory {key} is cut off')
    content[key] = file.read(size * length)
  return value


def _outside(memory: Callable[..., _Memory]) -> Callable[[Any], Any]:
  """Returns what makes a memory of its identifier in a pickle."""

  def load(pid):
    if not isinstance(pid, tuple) or len(pid) not in (5, 6):
      raise pickles.Refused('an object outside of it')
    what, kind, key, _, length, *view = pid
    if what != 'storage':
      raise pickles.Refused('the code of a network')
    if not isinstance(kind, _Kind) or not isinstance(key, str):
      raise pickles.Refused('a memory of another kind')
    if type(length) is not int or not 0 <= length < 2**40:
      raise ValueError('a memory has no proper length')
    return memory(key, kind, length, view[0] if view else None)

  return load


def _arrays(
  value: Any, groups: Sequence[str], size: int
) -> dict[str, np.ndarray]:
  """Returns the arrays of floats of what was read, by their names.

  Args:
    value: what was read.
    groups: see `read`.
    size: of the file, in bytes.
  """
  if isinstance(value, dict):
    chosen = [k for k in groups if isinstance(value.get(k), dict)]
    value = value[chosen[0]] if chosen else value
  tensors = {}
  if isinstance(value, dict):
    tensors = {str(k): x for k, x in value.items() if isinstance(x, _Tensor)}
  if not tensors:
    raise ValueError(
      'it is no dict of tensors, such as the state_dict of a network'
    )
  # All become float32. Tensors may share a memory, but not a thousand of them.
  if sum(4 * x.count for x in tensors.values()) > 4 * size:
    raise ValueError('its tensors have more numbers than the file')
  arrays = {}
  for name, tensor in tensors.items():
    if tensor.memory.kind.upper or 'f' in tensor.memory.kind.dtype:
      arrays[name] = safetensors.finite(name, tensor.array())
  return arrays
