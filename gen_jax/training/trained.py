"""Opens a trained run: the config of its workdir and a state."""

import functools
import operator
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax import zoo
from gen_jax.config import stages, validation
from gen_jax.core import TrainState
from gen_jax.data import record as data_record
from gen_jax.data.record import Kept
from gen_jax.errors import InputError
from gen_jax.storage import checkpoint_files, published
from gen_jax.storage import workdir as workdir_lib
from gen_jax.storage.checkpoint import Checkpointer
from gen_jax.storage.writer import read_metrics
from gen_jax.training import restore
from gen_jax.training.experiment import Experiment

_CONFIG_LETTERS = 2**24  # in a config.json, at most


def open_trained(
  path: str | os.PathLike,
  step: int | str | None = None,
  changes: Sequence[tuple[str, str]] = (),
) -> tuple[TrainState, Experiment]:
  """Returns a trained state and its experiment, from the workdir alone.

  The data are opened when somebody asks for examples, and no sooner.

  Args:
    path: the workdir; or a file of `gen_jax publish` or `zoo:NAME`, whose state
      has the averaged players and no optimizers.
    step: of a checkpoint, 'best', or None for the newest.
    changes: fields of the config that may change (`config.may_change_in_use`)
      and their values.

  Raises:
    InputError: when there is no config, or no checkpoint (of that step).
  """
  step = _checked(step)
  if file := published.find(path):
    return _open_published(file, step, changes)
  workdir = workdir_lib.folder(path)
  if not workdir.is_dir():
    raise InputError(f'workdir {workdir} does not exist.')
  config = _changed(read_config(workdir), changes)
  place = workdir / ('best' if step == 'best' else 'checkpoints')
  if not place.is_dir():
    raise InputError(f'workdir {workdir} has no {place.name} checkpoint yet.')
  checkpointer = Checkpointer(place)
  try:
    found = restore.restore(
      checkpointer,
      stages.plan(config),
      step if isinstance(step, int) else None,
      of_stage=functools.partial(experiment_of, workdir),
    )
  finally:
    checkpointer.close()
  if found is None:
    raise InputError(f'workdir {workdir} has no checkpoint yet.')
  return found.state, found.experiment


def _open_published(path, step, changes) -> tuple[TrainState, Experiment]:
  arrays, about = published.read(path)
  if step not in (None, about.step):
    raise InputError(f'--step={step}: {path} has step {about.step} alone.')
  config = _changed(_parse(about.config, path), changes)
  records = data_record.read(about.data, path)
  plan = stages.plan(config)
  if about.stage >= len(plan):
    raise InputError(
      f'{path} cannot be used: it is of stage {about.stage + 1}, and its '
      f'config has {len(plan)}.'
    )
  stage = plan[about.stage]
  experiment = Experiment(stage, Kept(path, records[0]) if records else None)
  expected = experiment.abstract_state().players
  players = published.fit(arrays, expected, path)
  state = TrainState(jnp.int32(about.step), dict(players), {}, {})
  return state, experiment


def _checked(step) -> Any:
  """Returns a step as an integer, 'best' or None."""
  if step is None or isinstance(step, str) and step == 'best':
    return step
  try:
    if isinstance(step, bool):
      raise TypeError
    return operator.index(step)  # of NumPy, too
  except TypeError:
    raise InputError(
      f"step={step!r}: expected the number of a step, 'best' or None."
    ) from None


def _changed(config, changes) -> ConfigDict:
  """Sets fields of a config, and checks it again."""
  for field, text in changes:
    config_lib.override(config, field, text)
  if changes:
    validation.check(config)
  return config


def last_metrics(
  path: str | os.PathLike, step: int | None = None
) -> dict[str, Any]:
  """Returns the last value of each metric of a workdir or a published file.

  Args:
    path: as for `open_trained`.
    step: whose metrics are meant; None for those of any step.
  """
  if file := published.find(path):
    return dict(published.read(file)[1].metrics)
  lines = read_metrics(workdir_lib.folder(path) / 'metrics.jsonl')
  lines = [line for line in lines if step in (None, line['step'])]
  return {name: value for line in lines for name, value in line.items()}


def results_folder(path: str | os.PathLike, name: str) -> Any:
  """Returns where a command keeps its results of a trained model.

  Args:
    path: the workdir; for a model of the package or a file, results go below
      runs/published, so that they are not taken for those of a run.
    name: of the command.
  """
  if file := published.find(path):
    kind = 'zoo-' if str(path).startswith(zoo.PREFIX) else ''
    stem = pathlib.PurePath(file).stem
    return pathlib.Path('runs', 'published', f'{kind}{stem}', name)
  return workdir_lib.folder(path) / name


def experiment_of(workdir: Any, stage: stages.Stage) -> Experiment:
  """Returns the experiment of a trained stage, with its record of the data."""
  kept = workdir_lib.data_records(workdir)[stage.index : stage.index + 1]
  return Experiment(stage, Kept(workdir, kept[0]) if kept else None)


def read_config(workdir: Any) -> ConfigDict:
  """Returns the config that a workdir was made with."""
  workdir_lib.check_inside(workdir)
  config = find_config(workdir)
  if config is None:
    raise InputError(
      f'workdir {workdir} has no config.json: train there first, with '
      f'python -m gen_jax.main --config=... --workdir={workdir}'
    )
  return config


def find_config(workdir: Any) -> ConfigDict | None:
  """Returns the config of a workdir or, if it was lost, that of a checkpoint.

  Raises:
    InputError: when there is one that cannot be read or used.
  """
  where, text = workdir / 'config.json', None
  try:
    text = where.read_text() if where.exists() else None
  except (OSError, ValueError) as error:
    raise InputError(f'{where} cannot be read: {error}') from error
  if text is None:
    found = checkpoint_files.find_config(workdir / 'checkpoints')
    if found is None:
      return None
    where, text = found
  return _parse(text, where)


def _parse(text: str, where: Any) -> ConfigDict:
  """Returns the config that a file holds as JSON."""
  if len(text) > _CONFIG_LETTERS:
    raise InputError(f'{where} is too large to be a config.')
  try:
    config = config_lib.complete(config_lib.from_json(text))
  except (ValueError, TypeError, AttributeError, RecursionError) as error:
    raise InputError(
      f'the config in {where} cannot be read: {error}'
    ) from error
  try:
    validation.check(config)
  except InputError as error:
    raise InputError(f'{where}: {error}') from error
  return config
