"""Reads config files: those of the package by their names, others by a path."""

import contextlib
import inspect
import os
import pathlib
import re
import runpy
import traceback
from collections.abc import Generator

from ml_collections import ConfigDict

from gen_jax.errors import InputError, nearest


def packaged() -> dict[str, pathlib.Path]:
  """Returns the config files of the package by their names."""
  package = pathlib.Path(__file__).parents[1]
  installed, checkout = package / 'configs', package.parent / 'configs'
  folder = installed if installed.is_dir() else checkout
  return {path.stem: path for path in sorted(folder.glob('*.py'))}


def load(name: str) -> ConfigDict:
  """Reads a config file.

  Args:
    name: `vae[:variant]` for a config of the package, `path.py[:variant]` for
      another file.

  Raises:
    InputError: when there is no such file, or its code fails; the message
      names the line.
  """
  path, _, variant = name.partition(':')
  if re.fullmatch(r'\w+', path):
    known = packaged()
    if path not in known and not os.path.exists(path):
      raise InputError(
        f'--config: the package has no config {path!r}.{nearest(path, known)} '
        '`gen_jax configs` lists all. Give the path of a file of your own, for '
        f'example ./{path}.py.'
      )
    path = str(known.get(path, path))
  file = pathlib.Path(path)
  try:
    is_file, is_folder = file.is_file(), bool(path) and file.is_dir()
  except OSError as error:  # a name that is too long, a folder of others
    raise InputError(
      f'--config: {path[:100]!r} cannot be read: {error.strerror}.'
    ) from error
  if is_folder:
    raise InputError(f'--config: {path!r} is a folder: give a file in it.')
  if not is_file:
    beside = {str(p) for p in file.parent.glob('*.py')} - {path}
    raise InputError(f'--config: no file {path!r}.{nearest(path, beside)}')
  if file.suffix != '.py':
    raise InputError(f'--config: {path!r} is not a Python file.')
  with _naming_the_line(file):
    make = runpy.run_path(path).get('get_config')
  if not callable(make):
    raise InputError(f'--config: {path!r} does not define get_config(arg).')
  try:
    inspect.signature(make).bind(variant)
  except TypeError as error:
    raise InputError(
      f'--config: get_config of {path!r} has other parameters: expected '
      'get_config(arg), which is called with the name of a variant or None.'
    ) from error
  with _naming_the_line(file):
    config = make(variant or None)
  if type(config) is not ConfigDict:
    raise InputError(
      f'--config: get_config of {path!r} returned {config!r:.80}, which is no '
      'ConfigDict: change and return gen_jax.config.default().'
    )
  return config


@contextlib.contextmanager
def _naming_the_line(file: pathlib.Path) -> Generator[None]:
  """Turns what the code of a config file raises into an InputError."""
  try:
    yield
    return
  except (InputError, KeyboardInterrupt, MemoryError):
    raise
  except SyntaxError as error:
    # Of another file, where that is what this one imports.
    cause, what = error, error.msg
    place, line = error.filename or str(file), error.lineno
  except (Exception, SystemExit) as error:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if _same(f.filename, file)]
    cause, what = error, str(error)
    place, line = str(file), lines[-1] if lines else None
  where = f'{place}, line {line}' if line else place
  what = f'{type(cause).__name__}: {what}'.removesuffix(': ')
  raise InputError(f'--config: {where}: {what}') from cause


def _same(name, file):
  return os.path.abspath(name) == os.path.abspath(file)
