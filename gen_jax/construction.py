"""How the groups of a config become objects."""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from gen_jax.errors import InputError, nearest

# Fields of objectives and networks that follow the data where they are None,
# and what of the data they take. `extra` are outputs for the classes.
_FOLLOW = {'shape': 'shape', 'classes': 'classes', 'extra': 'classes'}


def build(package: str, spec: Any, field: str, *args: Any) -> Any:
  """Makes the object that a group of fields describes.

  `name` is 'module.Class' inside the package, the other fields are the class's
  own. A group within it that has a name is made first, from `gen_jax.models`.

  Args:
    package: 'gen_jax.objectives', 'gen_jax.evals' or 'gen_jax.models'.
    spec: a ConfigDict or a mapping.
    field: where the group stands in the config, for messages.
    *args: leading arguments of the class.

  Raises:
    InputError: on an unknown name, an unknown field or a missing one.
  """
  fields = dict(spec)
  name = fields.pop('name', '')
  cls = _find(package, name, f'{field}.name')
  known = [p.name for p in dataclasses.fields(cls) if p.init][len(args) :]
  known = [k for k in known if k not in ('parent',)]
  for key in fields:
    if key not in known or key == 'name':
      raise InputError(
        f'{field}.{key}: {name} has no field {key!r}.{nearest(key, known)}'
      )
  values = {k: _plain(v, f'{field}.{k}') for k, v in fields.items()}
  try:
    inspect.signature(cls).bind(*args, **values)
  except TypeError as error:
    raise InputError(f'{field}: {name}: {error}') from error
  return cls(*args, **values)


def resolve(
  group: Mapping[str, Any],
  field: str,
  data: Callable[[], Mapping[str, Any]],
) -> dict[str, Any]:
  """Returns a group in which shapes and classes are those of the data.

  In the fields `shape`, `classes` and `extra` None stands for the value of the
  data, and within a tuple for its element: shape=(8, 8, None) has the channels
  of the data.

  Args:
    group: fields by name, of which dotted names count by their last part.
    field: where the group stands in the config, for messages.
    data: returns 'shape', (H, W, C) or None, and 'classes', the number, of the
      data; called only where a value is needed.

  Raises:
    InputError: when the data does not have what is needed.
  """
  resolved = {}
  for key, value in dict(group).items():
    at, name = f'{field}.{key}', key.rpartition('.')[2]
    if isinstance(value, ConfigDict | dict):
      value = resolve(value, at, data)
    elif name in _FOLLOW and value is None:
      value = _known(data(), name, at)
    elif name in _FOLLOW and isinstance(value, tuple) and None in value:
      known = _known(data(), name, at)
      value = tuple(
        b if a is None else a for a, b in zip(value, known, strict=True)
      )
    resolved[key] = value
  return resolved


def _known(data: Mapping[str, Any], name: str, at: str) -> Any:
  wanted = _FOLLOW[name]
  if not data[wanted]:
    lacks = {'shape': 'no field "image"', 'classes': 'no classes'}[wanted]
    raise InputError(
      f'{at}=None: it is taken from the data, and the data has {lacks}. Give '
      'a value, or other data.'
    )
  return data[wanted]


def defaults(package: str, name: str, field: str) -> dict[str, Any]:
  """Returns the fields of the class `name`, 'module.Class', and their values.

  Those that have no default are left out.

  Raises:
    InputError: on an unknown name.
  """
  return {
    p.name: p.default
    for p in dataclasses.fields(_find(package, name, field))
    if p.init and p.default is not dataclasses.MISSING
  }


def _plain(value, field):
  """Turns what a config holds into what a frozen dataclass may hold."""
  if isinstance(value, ConfigDict | dict):
    if 'name' in value:
      return build('gen_jax.models', value, field)
    return {k: _plain(v, f'{field}.{k}') for k, v in value.items()}
  if isinstance(value, list | tuple):
    return tuple(_plain(v, field) for v in value)
  return value


def _find(package: str, name: str, field: str):
  """Returns the dataclass `name`, 'module.Class', of a package."""
  module_name, _, class_name = str(name).rpartition('.')
  root = importlib.import_module(package)
  modules = [m.name for m in pkgutil.iter_modules(root.__path__)]
  if module_name not in modules:
    raise InputError(
      f'{field}={name!r}: {package} has no module {module_name!r}.'
      + nearest(module_name or str(name), modules)
    )
  module = importlib.import_module(f'{package}.{module_name}')
  classes = {
    k: v
    for k, v in vars(module).items()
    if dataclasses.is_dataclass(v) and v.__module__ == module.__name__
  }
  if class_name not in classes:
    raise InputError(
      f'{field}={name!r}: {package}.{module_name} has no {class_name!r}.'
      + nearest(class_name, classes)
    )
  return classes[class_name]
