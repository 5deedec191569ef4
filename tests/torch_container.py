"""Writes files as `torch.save` does, without PyTorch."""

import collections
import contextlib
import dataclasses
import io
import pickle
import struct
import sys
import types
import zipfile

import numpy as np

KINDS = {
  'float32': 'FloatStorage',
  'float64': 'DoubleStorage',
  'float16': 'HalfStorage',
  'uint16': 'BFloat16Storage',  # of the upper halves of floats
  'int64': 'LongStorage',
}


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
  """A part of a memory."""

  memory: np.ndarray
  offset: int
  size: tuple[int, ...]
  stride: tuple[int, ...]


def tensor(x):
  """A tensor of an array."""
  x = np.asarray(x, order='C')
  strides = tuple(n // x.itemsize for n in x.strides)
  return Tensor(x.ravel(), 0, x.shape, strides)


@contextlib.contextmanager
def fake_torch():
  """Modules that have what a pickle of PyTorch names."""

  def _rebuild_tensor_v2():
    pass

  modules = {n: types.ModuleType(n) for n in ('torch', 'torch._utils')}
  _rebuild_tensor_v2.__module__ = 'torch._utils'
  _rebuild_tensor_v2.__qualname__ = '_rebuild_tensor_v2'
  modules['torch._utils']._rebuild_tensor_v2 = _rebuild_tensor_v2
  for name in KINDS.values():
    setattr(modules['torch'], name, type(name, (), {'__module__': 'torch'}))
  before = {name: sys.modules.get(name) for name in modules}
  sys.modules.update(modules)
  try:
    yield modules['torch'], _rebuild_tensor_v2
  finally:
    for name, module in before.items():
      sys.modules.pop(name)
      if module:
        sys.modules[name] = module


@dataclasses.dataclass(frozen=True, eq=False)
class Memory:
  key: str
  kind: type
  values: np.ndarray


def pickled(value, view=False):
  """Returns the pickle of a value, and its memories by key."""
  stored = {}
  with fake_torch() as (torch, rebuild):

    class Pickler(pickle.Pickler):
      def persistent_id(self, x):
        if isinstance(x, Memory):
          rest = (None,) if view else ()
          return ('storage', x.kind, x.key, 'cpu', x.values.size, *rest)
        return None

      def reducer_override(self, x):
        if isinstance(x, np.ndarray):
          x = tensor(x)
        if isinstance(x, Tensor):
          kind = getattr(torch, KINDS[x.memory.dtype.name])
          keys = [k for k, m in stored.items() if m.values is x.memory]
          key = keys[0] if keys else str(len(stored))
          memory = stored.setdefault(key, Memory(key, kind, x.memory))
          hooks = collections.OrderedDict()
          return rebuild, (memory, x.offset, x.size, x.stride, False, hooks)
        return NotImplemented

    file = io.BytesIO()
    Pickler(file, 2).dump(value)
  return file.getvalue(), {k: m.values for k, m in stored.items()}


def save(path, value, old=False):
  """Writes a value whose arrays, and `Tensor`s, are tensors."""
  data, stored = pickled(value, view=old)
  write(path, data, stored, old)


def write(path, data, stored=None, old=False, compress=False):
  """Writes a pickle and memories in the new container or the old one."""
  stored = stored or {}
  if old:
    system = {'protocol_version': 1001, 'little_endian': True, 'type_sizes': {}}
    with open(path, 'wb') as file:
      for x in (0x1950A86A20F9469CFC6C, 1001, system):
        pickle.dump(x, file, 2)
      file.write(data)
      pickle.dump(sorted(stored), file, 2)
      for key in sorted(stored):
        file.write(struct.pack('<q', stored[key].size))
        file.write(stored[key].tobytes())
    return
  kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
  with zipfile.ZipFile(path, 'w', kind) as archive:
    archive.writestr('model/data.pkl', data)
    archive.writestr('model/byteorder', b'little', zipfile.ZIP_STORED)
    for key, x in stored.items():
      archive.writestr(f'model/data/{key}', x.tobytes())
    archive.writestr('model/version', b'3\n')
