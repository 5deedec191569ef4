"""Whether a run may go on in a workdir, and what it records there."""

import os
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.data import record as data_record
from gen_jax.data.record import Record
from gen_jax.errors import InputError
from gen_jax.storage import checkpoint_files
from gen_jax.storage import workdir as workdir_lib
from gen_jax.training.experiment import Experiment
from gen_jax.training.trained import find_config


def record(workdir: Any, config: ConfigDict, data: Sequence[Record]) -> None:
  """Writes the config and the data of a run into its workdir.

  `config.json` holds the config, and `data.json` what has to stay the same in
  the data, `Experiment.data_record` of each stage.
  """
  workdir_lib.write_record(workdir, 'config', config_lib.to_json(config))
  workdir_lib.write_record(workdir, 'data', data_record.write(data))


def check(
  path: str | os.PathLike,
  config: ConfigDict,
  data: Sequence[Record] = (),
  extend: bool = False,
) -> str:
  """Checks that a run may go on in a workdir.

  One without a checkpoint belongs to nobody: any run may start there.

  Args:
    path: the workdir.
    config: of the run.
    data: `Experiment.data_record` of each stage.
    extend: go on to another number of steps also where learning rates
      depend on the end.

  Returns:
    What there is to say about learning rates if the run gets another end.

  Raises:
    InputError: when its checkpoints were made with another config or data, when
      the end lies before what is trained, or when learning rates depend on it
      and `extend` is not given.
  """
  workdir = workdir_lib.folder(path)
  if not checkpoint_files.exist(workdir / 'checkpoints'):
    return ''
  pairs = list(zip(workdir_lib.data_records(workdir), data, strict=False))
  for before, now in pairs:
    data_record.refuse(workdir, before.change_of_meaning(now))
  old = find_config(workdir)
  changes, other_fields = (
    config_lib.difference(old, config, places, end=False) if old else ()
    for places in (True, False)
  )
  if not other_fields:  # another config may well have other data
    for before, now in pairs:
      data_record.refuse(workdir, before.change_of_content(now))
  same = not other_fields and len(pairs) == len(data)
  if changes and not same:
    raise InputError(
      f'workdir {workdir} was made with another config '
      f'({"; ".join(changes)}): give another --workdir, or the old values.'
    )
  if old is None:
    return ''
  trained = checkpoint_files.newest(workdir / 'checkpoints')
  return _check_end(old, config, trained, workdir, extend)


def _check_end(old, new, trained, where, extend) -> str:
  """Checks that a run may get another end, and says what that changes.

  It always may where no learning rate depends on the end: the run then goes on
  as if it had been that long from the beginning.

  Args:
    old: the config of the run so far.
    new: the same but for the number of steps of its last stage.
    trained: the last step that a checkpoint holds.
    where: the workdir, for messages.
    extend: go on too where learning rates depend on the end.

  Returns:
    One line about the learning rates that depend on it, or ''.
  """
  before, after = stages.plan(old)[-1], stages.plan(new)[-1]
  if before.end == after.end:
    return ''
  if trained > after.end:
    raise InputError(
      f'workdir {where} is trained to step {trained}, and this config ends at '
      f'step {after.end}: give more steps, or another --workdir.'
    )
  experiment = Experiment(after)
  found = experiment.ending_schedules()
  # A stage that has not begun has not used another learning rate yet.
  if trained <= after.start or not found:
    return ''
  if not extend:
    named = ', '.join(f'{k} ({schedule!r})' for k, schedule in found.items())
    raise InputError(
      f'workdir {where} was made for {before.end} steps, now {after.end}, and '
      f'learning rates depend on the end: that of {named}. Give --extend to go '
      'on with other learning rates, or another --workdir.'
    )

  def rate(name, step, stage):
    steps = stage.end - stage.start
    value = experiment.learning_rate(name, step - stage.start, steps)
    return f'{value:.4g}'

  return '; '.join(
    f'the schedule {schedule!r} of {name} now ends at step {after.end} '
    f'instead of {before.end}: its learning rate goes from '
    f'{rate(name, trained, before)} to {rate(name, trained, after)} at step '
    f'{trained}, and to {rate(name, after.end, after)} at the end'
    for name, schedule in found.items()
  )
