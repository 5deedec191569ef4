"""How the groups of a config become objects."""

import dataclasses
import importlib
import pkgutil
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from gen_jax.errors import InputError, nearest
from gen_jax.registry import fields
from gen_jax.registry.fields import Field

# The packages in which the classes of each kind are declared.
OBJECTIVES = ('gen_jax.objectives',)
NETWORKS = ('gen_jax.models',)
EVALUATORS = ('gen_jax.evaluation.metrics', 'gen_jax.evaluation.figures')
# The module of the optimizers, which have no classes.
OPTIMIZERS = 'gen_jax.training.optimizers'

# Fields of objectives and networks that follow the data where they are None,
# and what of the data they take. `extra` are outputs for the classes.
_FOLLOW = {'shape': 'shape', 'classes': 'classes', 'extra': 'classes'}


Packages = tuple[str, ...]


def build(package: Packages, spec: Any, field: str, *args: Any) -> Any:
  """Makes the object that a group of fields describes.

  `name` is 'module.Class' inside the package, the other fields are the class's
  own. A group within it that has a name is made first, from `gen_jax.models`.

  Args:
    package: OBJECTIVES, EVALUATORS or NETWORKS.
    spec: a ConfigDict or a mapping.
    field: where the group stands in the config, for messages.
    *args: leading arguments of the class.

  Raises:
    InputError: on an unknown name, an unknown field or a missing one.
  """
  check(package, spec, field, len(args))
  values = dict(spec)
  cls = _find(package, values.pop('name'), f'{field}.name')
  values = {k: _plain(v, f'{field}.{k}') for k, v in values.items()}
  return cls(*args, **values)


def check(package: Packages, spec: Any, field: str, given: int = 0) -> None:
  """Compares a group of fields with what its class declares, and makes nothing.

  Where a field follows the data, None is right, too.

  Args:
    package: as for `build`.
    spec: as for `build`.
    field: as for `build`.
    given: leading fields of the class that are not of the config.

  Raises:
    InputError: on a name or a field that is unknown, a field that is missing,
      or a value of another type or out of its range.
  """
  fields.check_group(spec, field)
  values = dict(spec)
  name = values.pop('name', '')
  known = known_fields(package, name, f'{field}.name', given)
  fields.check_names(known, values, field, name)
  for key, value in values.items():
    at = f'{field}.{key}'
    if isinstance(value, ConfigDict | Mapping) and 'name' in value:
      check(NETWORKS, value, at)
      if not _takes_network(known[key]):
        raise InputError(f'{at}: it takes no group of fields.')
      continue
    if key in _FOLLOW:
      if value is None:
        continue
      if isinstance(value, tuple):
        value = tuple(1 if x is None else x for x in value)
    fields.check(known[key], value, at)


def _takes_network(field: Field) -> bool:
  from flax import linen

  kinds = typing.get_args(field.type) or (field.type,)
  return any(isinstance(k, type) and issubclass(k, linen.Module) for k in kinds)


def known_fields(
  package: Packages, name: str, field: str, given: int = 0
) -> dict[str, Field]:
  """Returns the fields that a config may give to a class, by name.

  Args:
    package: as for `build`.
    name: of the class.
    field: where its name stands, for messages.
    given: leading fields of the class that are not of the config.
  """
  known = fields.declared(_find(package, name, field))
  return {
    k: v
    for k, v in list(known.items())[given:]
    if k not in ('name', 'parent')  # of flax
  }


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


def _plain(value, field):
  """Turns what a config holds into what a frozen dataclass may hold."""
  if isinstance(value, ConfigDict | dict):
    if 'name' in value:
      return build(NETWORKS, value, field)
    return {k: _plain(v, f'{field}.{k}') for k, v in value.items()}
  if isinstance(value, list | tuple):
    return tuple(_plain(v, field) for v in value)
  return value


def _find(packages: Packages, name: str, field: str):
  """Returns the dataclass `name`, 'module.Class', of one of some packages."""
  module_name, _, class_name = str(name).rpartition('.')
  modules = {
    module.name: f'{package}.{module.name}'
    for package in packages
    for module in pkgutil.iter_modules(
      importlib.import_module(package).__path__
    )
  }
  if module_name not in modules:
    raise InputError(
      f'{field}={name!r}: {" and ".join(packages)} have no module '
      f'{module_name!r}.' + nearest(module_name or str(name), modules)
    )
  module = importlib.import_module(modules[module_name])
  classes = {
    k: v
    for k, v in vars(module).items()
    if dataclasses.is_dataclass(v) and v.__module__ == module.__name__
  }
  if class_name not in classes:
    raise InputError(
      f'{field}={name!r}: {module.__name__} has no {class_name!r}.'
      + nearest(class_name, classes)
    )
  return classes[class_name]


def optimizers() -> types.ModuleType:
  """Returns the module that declares the optimizers and their fields."""
  return importlib.import_module(OPTIMIZERS)
