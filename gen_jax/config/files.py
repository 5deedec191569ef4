"""Reads the files in `configs/`."""

import contextlib
import importlib.util
import inspect
import os
import pathlib
import sys
import traceback
from collections.abc import Iterator

from ml_collections import ConfigDict

import gen_jax
from gen_jax.errors import InputError, nearest


def load(name: str) -> ConfigDict:
  """Reads `path.py[:variant]` and returns its config.

  Raises:
    InputError: when there is no such file, or its code fails; the message
      names the line.
  """
  path, _, variant = name.partition(':')
  file = pathlib.Path(path)
  if not _is_file(file):
    if file.is_dir() and path:
      raise InputError(f'--config: {path!r} is a folder: give a file in it.')
    beside = {str(p) for p in file.parent.glob('*.py')} - {path}
    raise InputError(f'--config: no file {path!r}.{nearest(path, beside)}')
  spec = importlib.util.spec_from_file_location(f'config_{file.stem}', file)
  if spec is None or spec.loader is None:
    raise InputError(f'--config: {path!r} is not a Python file.')
  module = importlib.util.module_from_spec(spec)
  with _naming_the_line(file), _finding_presets():
    spec.loader.exec_module(module)
  make = getattr(module, 'get_config', None)
  if not callable(make):
    raise InputError(f'--config: {path!r} does not define get_config(arg).')
  if not _takes_one(make):
    raise InputError(
      f'--config: get_config of {path!r} has other parameters: expected '
      'get_config(arg), which is called with the name of a variant or None.'
    )
  with _naming_the_line(file):
    config = make(variant or None)
  if type(config) is not ConfigDict:
    raise InputError(
      f'--config: get_config of {path!r} returned {config!r:.80}, which is no '
      'ConfigDict: change and return gen_jax.config.default().'
    )
  return config


@contextlib.contextmanager
def _finding_presets() -> Iterator[None]:
  """Lets a config import `configs.presets` from any folder."""
  root = str(pathlib.Path(gen_jax.__file__).parents[1])
  added = root not in sys.path
  if added:
    sys.path.append(root)
  try:
    yield
  finally:
    if added:
      sys.path.remove(root)


def _is_file(file):
  try:
    return file.is_file()
  except OSError as error:  # a name that is too long, a folder of others
    raise InputError(
      f'--config: {str(file)[:100]!r} cannot be read: {error.strerror}.'
    ) from error


def _takes_one(function):
  try:
    inspect.signature(function).bind(None)
  except TypeError:
    return False
  except ValueError:  # of a function that is not written in Python
    pass
  return True


@contextlib.contextmanager
def _naming_the_line(file: pathlib.Path) -> Iterator[None]:
  """Turns what the code of a config file raises into an InputError."""
  try:
    yield
  except (InputError, KeyboardInterrupt, MemoryError):
    raise
  except SyntaxError as error:
    # Of another file, where that is what this one imports.
    place = error.filename or str(file)
    what = f'{type(error).__name__}: {error.msg}'
    line = error.lineno
    cause: BaseException = error
  except (Exception, SystemExit) as error:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if _same(f.filename, file)]
    place, line = str(file), lines[-1] if lines else None
    what = f'{type(error).__name__}: {error}'.removesuffix(': ')
    cause = error
  else:
    return
  where = f'{place}, line {line}' if line else place
  raise InputError(f'--config: {where}: {what}') from cause


def _same(name, file):
  return os.path.abspath(name) == os.path.abspath(file)
