"""How the groups of a config become objects."""

import dataclasses
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gen_jax.errors import InputError, nearest
from gen_jax.registry import fields
from gen_jax.registry.fields import Field
from gen_jax.registry.part import Part, derives

# The packages in which the classes of each kind are declared.
OBJECTIVES = ('gen_jax.objectives',)
NETWORKS = ('gen_jax.models',)
PARTS = ('gen_jax.objectives.parts',)
EVALUATORS = ('gen_jax.evaluation.metrics', 'gen_jax.evaluation.figures')
# The module of the optimizers, which have no classes.
OPTIMIZERS = 'gen_jax.training.optimizers'

# Fields of objectives and networks that follow the data where they are None,
# and what of the data they take. `extra` are outputs for the classes.
_FOLLOW = {'shape': 'shape', 'classes': 'classes', 'extra': 'classes'}


Packages = tuple[str, ...]


def build(
  package: Packages, spec: Any, field: str, *args: Any, dtype: str | None = None
) -> Any:
  """Makes the object that a group of fields describes.

  `name` is 'module.Class' inside the package, the other fields are the class's
  own. Groups within it are made first: networks, parts of objectives, and
  tuples of parts, which a config has as groups by name. Such a tuple is in the
  order of the names, because JSON keeps no other one.

  Args:
    package: OBJECTIVES, EVALUATORS, NETWORKS or PARTS.
    spec: a ConfigDict or a mapping.
    field: where the group stands in the config, for messages.
    *args: leading arguments of the class.
    dtype: of the networks whose group gives none.

  Raises:
    InputError: on an unknown name, an unknown field or a missing one.
  """
  check(package, spec, field, len(args))
  values = dict(spec)
  cls = _find(package, values.pop('name'), f'{field}.name')
  expected = fields.declared(cls)
  if 'dtype' in expected and values.get('dtype') is None:
    values['dtype'] = dtype
  values = {
    k: _made(expected[k], v, f'{field}.{k}', dtype) for k, v in values.items()
  }
  return cls(*args, **values)


def _made(field: Field, value: Any, at: str, dtype: str | None) -> Any:
  """Returns what the value of a field stands for; it has been checked."""
  kind = kind_of(field)
  if kind is None or not fields.is_group(value):
    return fields.plain(value)
  if not kind.several:
    return build(kind.package, value, at, dtype=dtype)
  made = []
  for key in sorted(value):
    part = build(kind.package, value[key], f'{at}.{key}', dtype=dtype)
    made.append(dataclasses.replace(part, key=key))
  return tuple(made)


def check(package: Packages, spec: Any, field: str, given: int = 0) -> None:
  """Compares a group of fields with what its class declares, and makes nothing.

  A field that follows the data may also be None.

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
  expected = declared_fields(package, name, f'{field}.name', given)
  fields.check_names(expected, values, field, name)
  for key, value in values.items():
    at = f'{field}.{key}'
    kind = kind_of(expected[key])
    if kind and fields.is_group(value):
      groups = {at: value}
      if kind.several:
        groups = {f'{at}.{k}': v for k, v in value.items()}
      for place, group in groups.items():
        kind.check(group, place)
        check(kind.package, group, place)
      continue
    if kind and kind.package == PARTS:
      if kind.several and value == ():
        continue
      if value is None and expected[key].default is None:
        continue
      raise InputError(
        f'{at}={value!r}: expected a group of fields with a name.'
      )
    if key in _FOLLOW:
      if value is None:
        continue
      if isinstance(value, tuple):
        value = tuple(1 if x is None else x for x in value)
    fields.check(expected[key], value, at)


class Kind(NamedTuple):
  """The contents of a field that takes groups of a config.

  Attributes:
    package: where the classes of these groups are declared.
    types: of which the class of a group has to be a subclass.
    several: whether the field takes groups by name.
  """

  package: Packages
  types: tuple[type, ...]
  several: bool

  def check(self, group: Mapping[str, Any], at: str) -> None:
    """Raises InputError when a group is of another kind."""
    fields.check_group(group, at)
    name = group.get('name', '')
    cls = _find(self.package, name, f'{at}.name')
    if not any(derives(cls, kind) for kind in self.types):
      wanted = ' or '.join(t.__name__ for t in self.types)
      raise InputError(f'{at}.name={name!r}: expected a {wanted}.')


def kind_of(field: Field) -> Kind | None:
  """Returns what a field that takes groups of a config holds.

  Such a field is declared as a network, a part, one of these or None, or as
  `tuple[SomePart, ...]`.
  """
  from flax import linen

  arguments = typing.get_args(field.type) or (field.type,)
  types = tuple(t for t in arguments if isinstance(t, type))
  several = typing.get_origin(field.type) is tuple
  for package, base in ((NETWORKS, linen.Module), (PARTS, Part)):
    mine = tuple(t for t in types if derives(t, base))
    if mine:
      return Kind(package, mine, several)
  return None


def described(field: Field) -> Any:
  """Returns the default of a field as a config holds it."""
  value, kind = field.default, kind_of(field)
  if kind and kind.several and value == ():
    return {}
  if not derives(type(value)):
    return value
  name = f'{type(value).__module__.rpartition(".")[2]}.{type(value).__name__}'
  own = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
  return {'name': name, **own}


def declared_fields(
  package: Packages, name: str, field: str, given: int = 0
) -> dict[str, Field]:
  """Returns the fields that a config may give to a class, by name.

  Args:
    package: as for `build`.
    name: of the class.
    field: where its name stands, for messages.
    given: leading fields of the class that are not of the config.
  """
  expected = fields.declared(_find(package, name, field))
  return {
    k: v
    for k, v in list(expected.items())[given:]
    if k not in ('name', 'parent', 'key')  # of flax, and of named parts
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
      value = resolve(dict(value), at, data)
    elif name in _FOLLOW and value is None:
      value = _from_data(data(), name, at)
    elif name in _FOLLOW and isinstance(value, tuple) and None in value:
      pairs = zip(value, _from_data(data(), name, at), strict=True)
      value = tuple(b if a is None else a for a, b in pairs)
    resolved[key] = value
  return resolved


def _from_data(data: Mapping[str, Any], name: str, at: str) -> Any:
  wanted = _FOLLOW[name]
  if not data[wanted]:
    lacks = {'shape': 'no field "image"', 'classes': 'no classes'}[wanted]
    raise InputError(
      f'{at}=None: it is taken from the data, and the data has {lacks}. Give '
      'a value, or other data.'
    )
  return data[wanted]


def _find(packages: Packages, name: str, field: str):
  """Returns the class `name`, 'module.Class', of one of some packages."""
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
    if inspect.isclass(v)
    and v.__module__ == module.__name__
    and not inspect.isabstract(v)
    and _is_of_kind(packages, v)
  }
  if class_name not in classes:
    raise InputError(
      f'{field}={name!r}: {module.__name__} has no {class_name!r}.'
      + nearest(class_name, classes)
    )
  return classes[class_name]


def _is_of_kind(packages, cls):
  """Returns whether a class is an objective, a network, an evaluator, a part.

  Their modules have other classes too, such as helpers, which no config names.
  """
  from flax import linen

  if packages == NETWORKS:
    return issubclass(cls, linen.Module)
  if packages == PARTS:
    return derives(cls)
  method = 'updates' if packages == OBJECTIVES else 'run'
  return dataclasses.is_dataclass(cls) and method in dir(cls)


def optimizers() -> types.ModuleType:
  """Returns the module that declares the optimizers and their fields."""
  return importlib.import_module(OPTIMIZERS)
