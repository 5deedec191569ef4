"""Whether a config can be used: the same check for all ways it may come.

Each value is compared with the type and the range that its field is declared
with; see `gen_jax/config/schema.py`. Nothing is built, and no data is opened.
"""

import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from gen_jax.config import schema, stages
from gen_jax.errors import InputError
from gen_jax.registry import builder, fields
from gen_jax.registry.fields import Decay, Field

_NAME = re.compile(r'\w[\w.-]*')  # of an evaluator, which names files


def check(config: ConfigDict) -> None:
  """Raises InputError on a field that is unknown, missing or out of its range.

  Args:
    config: with all fields that every config has, see `config.complete`.
  """
  _check_common(config, 'config')
  expected = fields.declared(schema.Config)
  for index, stage in enumerate(config.stages):
    for name in {'steps', 'batch_size'} & set(stage):  # a plan adds these up
      fields.check(
        expected[name], stage[name], f'config.stages[{index}].{name}'
      )
  plan = stages.plan(config)
  for stage in plan:
    where = 'config'
    if config.stages:
      where = f'config.stages[{stage.index}]'
      _check_common(stage.config, where)
    _check_described(stage.config, where)


def _check_common(config, where):
  """Checks the fields that every config has."""
  expected = fields.declared(schema.Config)
  fields.check_all(expected, config, where, 'a config')
  for name, kind in schema.GROUPS.items():
    expected, group = fields.declared(kind), config[name]
    fields.check_all(expected, group, f'{where}.{name}', name)
  if config.batch_size % config.accumulate:
    raise InputError(
      f'{where}.accumulate={config.accumulate} does not divide '
      f'batch_size={config.batch_size}.'
    )


def _check_described(config, where):
  """Checks the groups whose fields depend on the names in them."""
  fields.check(Field(str), config.data.name, f'{where}.data.name')
  expected = schema.declared_fields(config, 'data')
  what = f'data.name={config.data.name!r}'
  fields.check_all(expected, config.data, f'{where}.data', what)
  builder.check(builder.OBJECTIVES, config.objective, f'{where}.objective')
  for player, spec in config.optim.items():
    builder.optimizers().check(spec, f'{where}.optim.{player}')
  for player, decay in config.ema.items():
    fields.check(Field(Decay), decay, f'{where}.ema.{player}')
  for name, spec in config.evals.items():
    at = f'{where}.evals.{name}'
    fields.check_group(spec, at)
    if not _NAME.fullmatch(name):
      raise InputError(
        f'{at}: the name of an evaluator has letters, digits, ".", "_" and "-".'
      )
    check_evaluator(spec, at)


def check_evaluator(spec: Mapping[str, Any], field: str) -> None:
  """Raises InputError unless a group describes an evaluator.

  Args:
    spec: the group.
    field: its full name, for messages.
  """
  cadence = fields.declared(schema.Cadence)
  own = {k: v for k, v in spec.items() if k not in cadence}
  builder.check(builder.EVALUATORS, own, field, 1)
  when = {k: v for k, v in spec.items() if k in cadence}
  fields.check_all(cadence, when, field, 'an evaluator')
