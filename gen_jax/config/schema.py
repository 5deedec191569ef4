"""Which fields a config has, of which type, and where they are declared.

The fields that every config has are declared here. Those of an objective, a
network, an evaluator, an optimizer or a data set are declared where these are.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from ml_collections import ConfigDict

from gen_jax.data.opening import load_fields
from gen_jax.errors import InputError, nearest
from gen_jax.registry import builder, fields
from gen_jax.registry.fields import (
  Count,
  Field,
  Precision,
  Seed,
  Size,
  declared,
)

_Group = dict[str, Any]  # its fields are declared elsewhere


@dataclasses.dataclass(frozen=True)
class Data:
  """`data`; further fields go to the `load` of the module that it names."""

  name: str = 'mnist'  # a module of gen_jax.data
  train: str = 'train'
  test: str = 'test'
  # These apply to the training split; see gen_jax/data/subset.py.
  classes: tuple[int | str, ...] = ()  # only these
  labels_per_class: tuple[Size, ...] = ()  # at most so many: one, or for each
  binarize: Literal['', 'static', 'dynamic'] = ''
  flip: bool = False
  resident: Literal['auto', 'yes', 'no'] = 'auto'  # keep it on the device


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """`checkpoint`: when states are saved, and which of them are kept.

  `best` names a number of an evaluator, such as 'fidelity/frechet': the
  checkpoint with its least (or largest) value is kept beside the others. That
  evaluator has to measure images which are neither trained on nor reported. If
  its `split` is not given, these are the last tenth of the training split, and
  training leaves them out.
  """

  every: Count = 1000  # steps; 0: only at the end
  keep: Size = 2
  best: str = ''
  best_mode: Literal['min', 'max'] = 'min'


@dataclasses.dataclass(frozen=True)
class Init:
  """`init`: the trained model that a run starts from; see fine_tuning.py.

  A workdir holds both kinds of weights, a file has the averages alone.
  """

  path: str = ''  # a workdir, a file of `gen_jax publish`, or zoo:NAME
  weights: Literal['averaged', 'raw'] = 'averaged'


@dataclasses.dataclass(frozen=True)
class Cadence:
  """When an evaluator runs: fields of each group in `evals`."""

  every: Count = 0  # steps; 0: only at the end
  at_start: bool = False  # before the first step too


def _fields_of(kind: type) -> Any:
  """Returns a field whose default is a group of the defaults of a class."""
  return dataclasses.field(default_factory=lambda: dataclasses.asdict(kind()))


@dataclasses.dataclass(frozen=True)
class Config:
  """The fields that every config has."""

  seed: Seed = 0
  batch_size: Size = 128  # over all devices
  steps: Size = 10_000
  # Each stage overrides some fields by their dotted names, and has its own
  # `steps`; without stages there is one, of `steps`.
  stages: tuple[dict[str, Any], ...] = ()
  parallel: Literal['jit', 'pmap', 'fsdp'] = 'jit'
  # In which the networks compute. Parameters, optimizers, averages, statistics
  # and losses are float32. The field `dtype` of a network overrides it.
  precision: Precision = 'float32'
  accumulate: Size = 1  # parts of a batch, averaged for one update
  steps_per_dispatch: Size = 64
  log_every: Size = 100
  data: _Group = _fields_of(Data)
  # In it, `shape` and `classes` of None are those of the data; see `resolve`
  # in gen_jax/registry/builder.py.
  objective: _Group = dataclasses.field(default_factory=lambda: {'name': ''})
  optim: _Group = dataclasses.field(default_factory=dict)  # by player
  ema: _Group = dataclasses.field(default_factory=dict)  # decay, by player
  init: _Group = _fields_of(Init)
  freeze: tuple[str, ...] = ()  # players or their modules that do not learn
  checkpoint: _Group = _fields_of(Checkpoint)
  evals: _Group = dataclasses.field(default_factory=dict)


# Groups of fields that are the same for every config.
GROUPS = {'checkpoint': Checkpoint, 'init': Init}


def default() -> ConfigDict:
  """Returns a config in which every field has its default."""
  return ConfigDict(dataclasses.asdict(Config()))


def declared_fields(config: ConfigDict, place: str) -> Mapping[str, Field]:
  """Returns the declared fields of a group of a config, by name.

  Args:
    config: in which the groups have the names of what they describe.
    place: the dotted name of the group, '' for the config itself.

  Raises:
    InputError: a group names nothing that there is.
  """
  parts = place.split('.') if place else []
  if not parts:
    whole = default()
    return {k: Field(v.type, whole[k]) for k, v in declared(Config).items()}
  group: Any = config
  for part in parts:
    group = group.get(part) if isinstance(group, ConfigDict) else None
  name: Any = group.get('name', '') if isinstance(group, ConfigDict) else ''
  where = f'config.{place}.name'
  if len(parts) == 1 and parts[0] in GROUPS:
    return declared(GROUPS[parts[0]])
  if parts == ['data']:
    return {**declared(Data), **load_fields(name)}
  if parts[0] == 'optim' and len(parts) == 2:
    return builder.optimizers().declared_fields(name, where)
  if parts[0] == 'evals' and len(parts) == 2:
    found = builder.declared_fields(builder.EVALUATORS, name, where, 1)
    return {**found, **declared(Cadence)}
  if parts[0] == 'objective' and name:
    return builder.declared_fields(_package(config, parts), name, where)
  return {}


def _package(config: ConfigDict, parts: list[str]) -> builder.Packages:
  """Returns where the class of a group in `objective` is declared."""
  package, group, kind = builder.OBJECTIVES, config.objective, None
  for depth, part in enumerate(parts[1:], start=1):
    if kind and kind.several:  # a name that the config gives to a part
      kind = None
    else:
      where = f'config.{".".join(parts[:depth])}.name'
      expected = builder.declared_fields(package, group.name, where)
      kind = builder.kind_of(expected.get(part, Field(Any)))
      package = kind.package if kind else package
    group = group[part]
  return package


def _start(field: Field) -> Any:
  """Returns the default of a field; without one, '' for text and else None."""
  if field.has_default:
    return builder.described(field)
  try:
    return fields.check(field, '', '')
  except InputError:
    return None


def find(config: ConfigDict, field: str, at: str) -> tuple[ConfigDict, str]:
  """Returns the group that holds a field, and the name of the field in it.

  A field that is declared and that the config does not have is added to it,
  with its default.

  Args:
    config: to be searched.
    field: a dotted name.
    at: where the name stands, for the message.

  Raises:
    InputError: when there is no such field.
  """
  parent, last = config, field
  node, parts = config, field.split('.')
  for depth, last in enumerate(parts):
    place = '.'.join(parts[:depth])
    if not isinstance(node, ConfigDict):
      raise InputError(f'{at}.{field}: {place} has no fields.')
    if last not in node:
      expected = declared_fields(config, place)
      if last not in expected:
        raise InputError(
          f'{at}.{field}: there is no field {last!r}.'
          + nearest(last, {*node.keys(), *expected})
        )
      with node.unlocked():
        node[last] = _start(expected[last])
    parent, node = node, node[last]
  return parent, last
