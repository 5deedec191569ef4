"""Opens the split of a data set, or the slice of one, that a config names."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from gen_jax.data.checks import check_labels
from gen_jax.data.shuffling import permutation
from gen_jax.data.sources import Source, subset, unpaired
from gen_jax.errors import InputError, nearest
from gen_jax.registry.fields import Field, check_all, declared

_SPLIT = re.compile(r'([\w.-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?')


def open_split(name: str, split: str, **fields: Any) -> Source:
  """Opens a split of a data set.

  Args:
    name: a module of `gen_jax.data.datasets`: 'mnist', 'emoji', 'tfds',
      'folder', 'captioned_folder', 'stackgan_release', 'patches',
      'npz', 'toy', 'stacked_mnist', 'domains'.
    split: 'train', or a slice of it: 'train[:-5000]', 'train[-5000:]',
      'train[:90%]'. A split that is sorted by class is sliced in a fixed random
      order, so that each part has all classes.
    **fields: the arguments of that module's `load`.

  Raises:
    InputError: an unknown name, split or field, or an empty slice.
  """
  load = _find_load(name)
  check_all(load_fields(name), fields, 'config.data', f'data.name={name!r}')
  base, start, stop = _parse(split)
  source = load(base, **fields)
  if 'label' in source.fields and source.arrays is not None:
    check_labels(source.arrays['label'], source.classes, f'split "{base}"')
  if '[' not in split:
    return source
  if source.parts:
    return unpaired(
      {k: _slice(x, start, stop, split) for k, x in source.parts.items()}
    )
  return _slice(source, start, stop, split)


def load_fields(name: str) -> dict[str, Field]:
  """Returns the fields that a data set takes beside its split, by name."""
  known = declared(_find_load(name))
  return {k: v for k, v in known.items() if k != 'split'}


def base_split(split: str) -> str:
  """Returns the split of which `split` is a slice, or itself."""
  return split.partition('[')[0]


def overlap(a: str, b: str, size: int) -> bool:
  """Returns whether slices of one split of `size` examples share any."""
  (start_a, stop_a), (start_b, stop_b) = (
    _bounds(*_parse(split)[1:], size, split) for split in (a, b)
  )
  return max(start_a, start_b) < min(stop_a, stop_b)


def _parse(split: str) -> tuple[str, str | None, str | None]:
  """Returns the name of a split and the bounds of its slice."""
  match = _SPLIT.fullmatch(split)
  if not match:
    raise InputError(
      f'data.split: "{split}" is neither a split nor a slice of one, such as '
      '"train" or "train[:-5000]".'
    )
  return match[1], match[2], match[3]


def _bounds(start, stop, size, split):
  return _bound(start, size, 0, split), _bound(stop, size, size, split)


def _slice(source, start, stop, split):
  size = len(source)
  start, stop = _bounds(start, stop, size, split)
  if start >= stop:
    raise InputError(
      f'data.split: "{split}" is empty; "{base_split(split)}" has {size}.'
    )
  if not _sorted_by_class(source.labels):
    return subset(source, slice(start, stop))
  order = permutation(0, 'slices', 0, size)
  return subset(source, np.sort(order[start:stop]))


def _sorted_by_class(labels):
  """Returns whether all examples of a class stand together, of two or more."""
  if labels is None:
    return False
  changes = np.count_nonzero(np.diff(labels))
  return 0 < changes == len(np.unique(labels)) - 1


def _find_load(name: str) -> Callable[..., Source]:
  """Returns the function `load` of a data set."""
  package = importlib.import_module('gen_jax.data.datasets')
  known = [
    m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg
  ]
  if name not in known:
    raise InputError(
      f'data.name: there is no data set "{name}".' + nearest(name, known)
    )
  return importlib.import_module(f'{package.__name__}.{name}').load


def _bound(text: str | None, size: int, default: int, split: str) -> int:
  """Returns a bound of a slice as an index in [0, size]."""
  if text is None:
    return default
  percent = text.endswith('%')
  value = int(text.rstrip('%'))
  if percent:
    # From a whole percentage, so that [:90%] and [90%:] meet exactly.
    value = value if value >= 0 else 100 + value
    index = round(size * value / 100)
  else:
    index = value if value >= 0 else size + value
  if not 0 <= index <= size:
    raise InputError(
      f'data.split: "{split}" reaches beyond the {size} examples.'
    )
  return index
