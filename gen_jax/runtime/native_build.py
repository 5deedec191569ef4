"""Compiles and loads what is written in C++, where that can be done.

It is an extra: whoever asks has another way when the answer is None.
"""

import ctypes
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings

import jax.ffi
import jaxlib

from gen_jax.runtime import processor, settings

_PACKAGES = ('onednn-cpu-gomp', 'onednn-devel-cpu-gomp')


def load(source: pathlib.Path) -> ctypes.CDLL | None:
  """Returns the library of a source that uses oneDNN and XLA's interface.

  None where oneDNN is not installed, and, with a warning, where it cannot be
  used, as without a C++ compiler or where others can write in the cache.
  """
  if sys.platform != 'linux' or platform.machine() != 'x86_64':
    return None
  try:
    files = [f for p in _PACKAGES for f in importlib.metadata.files(p) or ()]
  except importlib.metadata.PackageNotFoundError:
    return None
  places = {f.name: pathlib.Path(f.locate()).resolve() for f in files}
  try:
    folder = settings.private_folder('native')
    return _open(_compiled(source, places, folder)) if folder else None
  except (OSError, KeyError, subprocess.CalledProcessError) as error:
    reason = getattr(error, 'stderr', None) or str(error)
    warnings.warn(
      f'{source.name} cannot be used: {reason.strip()[-300:]}\nPure JAX is '
      f'used in its place; to avoid this warning: pip uninstall {_PACKAGES[0]}',
      stacklevel=3,
    )
    return None


def _open(path: pathlib.Path) -> ctypes.CDLL:
  # Between two calls its threads are to sleep, for XLA works then. OpenMP asks
  # once, when it is loaded; what we start later is to have its own way.
  name, before = 'OMP_WAIT_POLICY', os.environ.get('OMP_WAIT_POLICY')
  os.environ.setdefault(name, 'passive')
  try:
    return ctypes.CDLL(str(path))
  finally:
    if before is None:
      del os.environ[name]


def _compiled(
  source: pathlib.Path, places: dict[str, pathlib.Path], cache: pathlib.Path
) -> pathlib.Path:
  """Returns the library of a source, compiled where it is not yet.

  One in the cache that others own or can write is compiled again.
  """
  shared = places['libdnnl.so']
  # The second of two files of the name; both lie in the folder below this.
  headers = next(p for p in places['dnnl.hpp'].parents if p.name == 'include')
  command = [
    *shlex.split(os.environ.get('CXX', 'c++')),
    *('-std=c++17', '-O3', '-march=native', '-fopenmp', '-shared', '-fPIC'),
    '-w',
    f'-I{jax.ffi.include_dir()}',
    f'-I{headers}',
    f'-Wl,-rpath,{shared.parent}',
  ]
  texts = [source.read_text()]
  texts += [header.read_text() for header in sorted(source.parent.glob('*.h'))]
  # Machines that share a home may have different processors.
  native = ' '.join(sorted(processor.instructions()))
  compiler = shutil.which(command[0])
  version = str(os.stat(compiler).st_mtime_ns) if compiler else ''
  made_of = [*texts, native, jaxlib.__version__, *command, version]
  digest = hashlib.sha256('\n'.join(made_of).encode()).hexdigest()[:16]
  path = cache / f'{source.stem}-{digest}.so'
  if not (path.exists() and settings.is_private(path)):
    with tempfile.TemporaryDirectory(dir=cache) as folder:
      made = pathlib.Path(folder) / path.name
      command += [str(source), str(shared), '-o', str(made)]
      print(f'gen_jax: compiles {source.name}, once', file=sys.stderr)
      subprocess.run(command, check=True, capture_output=True, text=True)
      made.chmod(0o700)  # whatever the umask says
      os.replace(made, path)  # whole, if many processes start at once
  return path
