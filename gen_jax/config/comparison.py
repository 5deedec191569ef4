"""In which fields two configs would train differently."""

import re
from collections.abc import Sequence

from ml_collections import ConfigDict

from gen_jax.config.schema import find
from gen_jax.config.serialization import flatten, plain

# Fields that do not change the parameters that a run arrives at: a workdir may
# be resumed with other values of these.
_FREE = ('evals', 'log_every', 'checkpoint', 'steps_per_dispatch')

# Values that train the same, except for rounding: `fsdp` divides the arrays of
# `jit` over devices, while the devices of `pmap` draw numbers of their own.
_SAME = {'parallel': {'fsdp': 'jit'}}

# Fields of `data`, at any depth, that only say where the data are. They may
# change while the data stay the same.
PLACES = ('path', 'data_dir', 'manual_dir')


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
  before, after = (_training(config, places, end) for config in (old, new))
  lines = [(name, 0, value) for name, value in before - after]
  lines += [(name, 1, value) for name, value in after - before]
  return [f'{"-+"[sign]} {k}={value}' for k, sign, value in sorted(lines)]


def _training(config, places, end) -> set[tuple[str, str]]:
  """Returns names and values of the fields that count in a `difference`."""
  fields = plain(config)
  stages = [
    {'steps': fields['steps'], **stage} for stage in fields['stages'] or [{}]
  ]
  del fields['steps']
  if not end:
    del stages[-1]['steps']
  found = set()
  for name, value in flatten({**fields, 'stages': stages}).items():
    in_stage = re.sub(r'^stages\[\d+\]\.', '', name)
    free = re.split(r'[.[]', in_stage)[0] in _FREE
    if not free and (places or not is_place(in_stage)):
      if in_stage in _SAME:
        value = _SAME[in_stage].get(value, value)
      found.add((name, repr(value)))
  return found


def is_place(field: str) -> bool:
  """Returns whether a dotted field only says where the data are."""
  return field.startswith('data.') and field.rpartition('.')[2] in PLACES


def may_change_in_use(field: str) -> bool:
  """Returns whether a trained model may be used with another value.

  That is the case for where its data are, and for the precision, in which no
  parameter is kept.
  """
  return is_place(field) or field == 'precision'


def places(config: ConfigDict) -> dict[str, str]:
  """Returns where a config says that its data are, by dotted field."""
  fields = flatten(plain(config)).items()
  return {
    name: str(value) for name, value in fields if is_place(name) and value
  }


def without_places(config: ConfigDict) -> ConfigDict:
  """Returns a config without the paths of its data and of `init`."""
  copy = config.copy_and_resolve_references()
  if not copy.init.path.startswith('zoo:'):
    copy.init.path = ''
  for name in places(config):
    parent, last = find(copy, name, 'config')
    parent[last] = ''
  return copy
