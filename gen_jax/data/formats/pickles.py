"""Arrays and lists in a pickle, without running what else may be in one.

A pickle is a program: to read one is to let it call any function of Python. The
one here may make numbers, texts, lists, tuples, dicts and numeric arrays, and
refuses all else before it is called.
"""

import functools
import io
import pathlib
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from gen_jax.data import inputs
from gen_jax.errors import InputError


def read(path: pathlib.Path) -> Any:
  """Returns what a pickle holds, of Python 2 or 3.

  Raises:
    InputError: it cannot be read, or is of more than arrays and lists.
  """
  try:
    with inputs.reading(path):
      data = io.BytesIO(inputs.read_bytes(path))
      # The bytes of arrays that Python 2 wrote come as text of this encoding.
      return _plain(load(data, _KNOWN), {})
  except inputs.ReadError as error:
    if not isinstance(error.__cause__, Refused):
      raise
    raise InputError(
      f'data.path: {path} is a pickle that needs {error.reason}; only '
      'arrays, lists, numbers and text are read.'
    ) from None


class Refused(Exception):
  """A pickle needs something that it may not have, which the text names."""


def load(
  file: BinaryIO,
  known: Mapping[tuple[str, str], Any],
  outside: Callable[[Any], Any] | None = None,
) -> Any:
  """Returns what a pickle makes of the things that it may name.

  Args:
    file: read up to the end of the pickle.
    known: what stands for a function or a class, by its module and its name.
    outside: returns the object outside of the pickle that an identifier names;
      None where there are none.

  Raises:
    Refused: the pickle names something else. Nothing has been called then.
    Exception: almost any, when the pickle is damaged.
  """
  return _Unpickler(io.BytesIO(_checked(file)), known, outside).load()


_OPERATIONS = {op.code: op for op in pickletools.opcodes}
_STORES = ('PUT', 'BINPUT', 'LONG_BINPUT')
# Bytes of the length that stands before an argument.
_LENGTHS = {
  pickletools.TAKEN_FROM_ARGUMENT1: 1,
  pickletools.TAKEN_FROM_ARGUMENT4: 4,
  pickletools.TAKEN_FROM_ARGUMENT4U: 4,
  pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


def _checked(file: BinaryIO) -> bytes:
  """Returns a pickle that does not fill the memory by the numbers of objects.

  It may store an object under any number, and Python makes a table up to the
  largest one.
  """
  start, made, name = file.tell(), 0, ''
  while name != 'STOP':
    operation = _OPERATIONS.get(file.read(1).decode('latin1'))
    if operation is None:
      raise ValueError('it is no pickle, or cut off')
    made, name, argument = made + 1, operation.name, operation.arg
    size = argument.n if argument else 0
    if size == pickletools.UP_TO_NEWLINE:
      value = file.readline()
      if name in ('GLOBAL', 'INST'):
        file.readline()
    else:
      if size < 0:
        size = int.from_bytes(file.read(_LENGTHS[size]), 'little')
      value = file.read(size)
    if name in _STORES:
      number = int(value) if name == 'PUT' else int.from_bytes(value, 'little')
      if not 0 <= number <= made:
        raise ValueError('it numbers objects that it does not have')
  size = file.tell() - start
  file.seek(start)
  return file.read(size)


class _Unpickler(pickle.Unpickler):
  def __init__(self, file: Any, known: Any, outside: Any) -> None:
    super().__init__(file, encoding='latin1')
    self._known, self._outside = known, outside

  def find_class(self, module: str, name: str) -> Any:
    place = module.replace('numpy._core', 'numpy.core'), name
    found = self._known.get(place)
    if found is None:
      raise Refused(f'{module}.{name}')
    # A pickle may change the attributes of what it gets: not those of a class.
    return functools.partial(found) if callable(found) else found

  def persistent_load(self, pid: Any) -> Any:
    if self._outside is None:
      raise Refused(f'the object {pid!r} of another file')
    return self._outside(pid)


# NumPy's own functions would believe what a file says of an array's memory, so
# arrays are made here, from their bytes.


class _Dtype:
  """A numeric dtype; one of objects would hold pointers of the file."""

  def __init__(self, kind: Any, *flags: Any) -> None:
    del flags
    if not isinstance(kind, str) or kind.lstrip('<>|=')[:1] not in tuple(
      'biuf'
    ):
      raise Refused(f'an array of {kind!r}')
    self.value = np.dtype(kind)
    if self.value.kind not in 'biuf':  # 'f4,O' is two fields
      raise Refused(f'an array of {kind!r}')

  def __setstate__(self, state: Any) -> None:
    if state[1] in ('<', '>'):
      self.value = self.value.newbyteorder(state[1])


class _Array:
  """The parts of an array before it is made."""

  def __init__(self, *like: Any) -> None:
    del like

  def __setstate__(self, state: Any) -> None:
    _, shape, dtype, fortran, data = state
    self.value = _array(data, dtype, shape, 'F' if fortran else 'C')


class _Buffer:
  """The same, as protocol 5 writes it."""

  def __init__(
    self, data: Any, dtype: Any, shape: Any, order: Any = 'C'
  ) -> None:
    self.value = _array(data, dtype, shape, order)


class _Scalar:
  """A number of NumPy's."""

  def __init__(self, dtype: Any, data: Any) -> None:
    self.value = _array(data, dtype, (), 'C')[()]


def _array(data, dtype, shape, order):
  if not isinstance(dtype, _Dtype):
    raise Refused(f'an array of {dtype!r}')
  values = np.frombuffer(_encode(data), dtype.value)
  return values.reshape(shape, order=order)


def _encode(data: Any, encoding: Any = 'latin1') -> bytes:
  """Bytes, which Python 2 and protocol 2 write as text."""
  if isinstance(data, str) and encoding in ('latin1', 'latin-1'):
    return data.encode('latin1')
  if isinstance(data, bytes | bytearray):
    return bytes(data)
  raise Refused(f'bytes of {type(data).__name__}')


def _plain(value: Any, made: dict[int, Any]) -> Any:
  """Puts the arrays where what is to become one stands.

  Args:
    value: what was read.
    made: the result for each list, tuple and dict so far by its `id`. Lists
      that hold a list twice, thirty deep, would fill any memory as copies.
  """
  if isinstance(value, _Array | _Buffer | _Scalar):
    return value.value
  if not isinstance(value, dict | list | tuple):
    return value
  if id(value) not in made:
    if isinstance(value, dict):
      made[id(value)] = {
        _plain(k, made): _plain(v, made) for k, v in value.items()
      }
    else:
      made[id(value)] = type(value)(_plain(v, made) for v in value)
  return made[id(value)]


# What the pickles of arrays by Python 2 and 3 name. The type itself is only
# ever an argument there.
_KNOWN = {
  ('numpy.core.multiarray', '_reconstruct'): _Array,
  ('numpy.core.multiarray', 'scalar'): _Scalar,
  ('numpy.core.numeric', '_frombuffer'): _Buffer,
  ('numpy', 'ndarray'): 'ndarray',
  ('numpy', 'dtype'): _Dtype,
  ('_codecs', 'encode'): _encode,
  # Without arguments, for an array without elements.
  ('__builtin__', 'bytes'): lambda: b'',
}
