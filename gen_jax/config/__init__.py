"""Configs: what they hold, and how they are read and compared."""

import ast
import contextlib
import difflib
import importlib.util
import inspect
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

import gen_jax
from gen_jax.config.schema import default, find
from gen_jax.errors import InputError, nearest

# Fields that do not change the parameters that a run arrives at: a workdir may
# be resumed with other values of these.
_FREE = ('evals', 'log_every', 'checkpoint', 'steps_per_dispatch')

# Fields of `data`, at any depth, that only say where the data are. They may
# change while the data stay the same.
PLACES = ('path', 'data_dir', 'manual_dir')


def choose(arg: str | None, variants: Mapping[str, Callable]) -> None:
  """Applies the variant of `--config=file.py:variant`.

  Args:
    arg: what follows the colon; None or '' for the plain config.
    variants: functions without arguments that change the config.
  """
  if not arg:
    return
  if arg not in variants:
    raise InputError(f'variant {arg!r} is unknown.{nearest(arg, variants)}')
  variants[arg]()


def tiny(config: ConfigDict) -> None:
  """Makes it a run of seconds: few steps of few images, for `test` variants."""
  config.batch_size = 8
  config.steps = 6
  config.log_every = 3
  config.checkpoint.every = 4
  config.data.train, config.data.test = 'train[:64]', 'test[:40]'


def own_images(
  config: ConfigDict, shape: tuple[int, int, int] = (64, 64, 3)
) -> None:
  """Trains on a folder, for `folder` variants: --config.data.path=DIR.

  Networks take their shapes and the number of classes from the data. Evaluators
  that need labels, or a classifier of the data, are left out.

  Args:
    config: of a data set with one field of images.
    shape: (H, W, C) that the images are cropped and resized to.
  """
  config.data.name = 'folder'
  config.data.update(
    path='',
    shape=shape,
    range=('auto',),  # or (low, high) of images of more than 8 bits
    skip_unreadable=False,
    binarize='',
    flip=True,
    labels_per_class=(),
  )
  for name in ('probe', 'accuracy', 'learned', 'shift'):
    if name in config.evals:
      del config.evals[name]
  if 'fidelity' in config.evals:
    config.evals.fidelity.features = 'random'


def half_life(images: float, batch_size: int) -> float:
  """Returns the decay per step by which an average halves in so many images."""
  return 0.5 ** (batch_size / images)


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


def apply(config: ConfigDict, pairs: Sequence[tuple[str, str]]) -> None:
  """Overrides fields of a run that is to be trained.

  Raises:
    InputError: as `override`, or when every stage has a value of its own, so
      that the new one would do nothing.
  """
  for field, text in pairs:
    own = [
      any(field == k or field.startswith(f'{k}.') for k in dict(stage))
      for stage in config.stages
    ]
    if own and all(own):
      raise InputError(
        f'--config.{field}: every stage of this config has its own value; '
        'change it in `stages` in the file.'
      )
    override(config, field, text)


def override(config: ConfigDict, field: str, text: str) -> None:
  """Sets `field`, a dotted name, to the value that `text` stands for.

  Raises:
    InputError: on an unknown field or a value of another type.
  """
  parent, last = find(config, field, '--config')
  parent[last] = _parse(text, parent[last], f'--config.{field}')


def _parse(text: str, old: Any, where: str) -> Any:
  """Reads `text` as a value of the type of `old`."""
  if isinstance(old, ConfigDict):
    try:
      return ConfigDict(dict(ast.literal_eval(text)))
    except (ValueError, SyntaxError, TypeError):
      raise InputError(
        f'{where} is a group of fields ({", ".join(old)}): set one of them, '
        "or all as {'field': value, ...}."
      ) from None
  if isinstance(old, str):
    return text
  if isinstance(old, bool):
    words = {'true': True, '1': True, 'false': False, '0': False}
    if text.lower() not in words:
      raise InputError(f'{where}={text}: expected True or False.')
    return words[text.lower()]
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = text
  if isinstance(old, float) and isinstance(value, int):
    value = float(value)
  if isinstance(old, tuple):
    if isinstance(value, str):  # words need no quotes
      value = value.split(',') if value else ()
    value = tuple(value) if isinstance(value, list | tuple) else (value,)
  if old is not None and type(value) is not type(old):
    raise InputError(
      f'{where}={text}: expected {type(old).__name__}, as in {old!r}.'
    )
  return value


def to_json(config: ConfigDict) -> str:
  """Returns the config as readable JSON; `from_json` is its inverse."""
  return config.to_json(indent=2, sort_keys=True) + '\n'


def from_json(text: str) -> ConfigDict:
  """Reads what `to_json` wrote."""
  return ConfigDict(_tuples(json.loads(text)))


def _tuples(value):
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  if isinstance(value, list):
    return tuple(_tuples(v) for v in value)
  return value


def complete(config: ConfigDict) -> ConfigDict:
  """Adds the fields that every config has, where they are missing."""
  for key, value in default().items():
    if key not in config:
      config[key] = value
    elif key in ('data', 'checkpoint') and isinstance(config[key], ConfigDict):
      for name, field in value.items():
        if name not in config[key]:
          config[key][name] = field
  return config


def difference(
  old: ConfigDict, new: ConfigDict, places: bool = True, end: bool = True
) -> Sequence[str]:
  """Returns the fields in which two configs would train differently.

  Args:
    old: one config.
    new: the other.
    places: whether the fields that say where the data are count.
    end: whether the number of steps of the last stage counts.
  """
  old, new = (_training(from_json(to_json(c)), places, end) for c in (old, new))
  lines = difflib.ndiff(_flat(old), _flat(new))
  return [line for line in lines if line[0] in '+-']


def _training(config, places, end):
  """Leaves out the fields that do not count in a `difference`."""

  def counts(name):
    group = name.split('.')[0]
    return group not in _FREE and (places or not is_place(name))

  for key in _FREE:
    if key in config:
      del config[key]
  whole = {'steps': config.steps}  # for the stages without their own
  del config.steps
  kept = [
    {k: v for k, v in {**whole, **dict(stage)}.items() if counts(k)}
    for stage in config.stages or ({},)
  ]
  if not end:
    del kept[-1]['steps']
  if config.stages:
    config.stages = tuple(kept)
  else:
    config.update(kept[0])
  if not places:
    for group, key, _ in list(_places(config.data)):
      del group[key]
  return config


def is_place(field: str) -> bool:
  """Returns whether a dotted field only says where the data are."""
  parts = field.split('.')
  return len(parts) > 1 and parts[0] == 'data' and parts[-1] in PLACES


def places(config: ConfigDict) -> dict[str, str]:
  """Returns where a config says that its data are, by dotted field."""
  found = {f'{at}{key}': group[key] for group, key, at in _places(config.data)}
  return {field: str(value) for field, value in found.items() if value}


def _places(group, at='data.'):
  """Yields each place below a group: its group, its key, and where that is."""
  for key, value in group.items():
    if isinstance(value, ConfigDict):
      yield from _places(value, f'{at}{key}.')
    elif is_place(at + key):
      yield group, key, at


def _flat(config, prefix=''):
  lines = []
  for key in sorted(config):
    value = config[key]
    if isinstance(value, ConfigDict):
      lines += _flat(value, f'{prefix}{key}.')
    else:
      lines.append(f'{prefix}{key}={value!r}')
  return lines
