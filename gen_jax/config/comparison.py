"""In which fields two configs would train differently."""

import difflib
from collections.abc import Sequence

from ml_collections import ConfigDict

from gen_jax.config.serialization import from_json, to_json

# Fields that do not change the parameters that a run arrives at: a workdir may
# be resumed with other values of these.
_FREE = ('evals', 'log_every', 'checkpoint', 'steps_per_dispatch')

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
