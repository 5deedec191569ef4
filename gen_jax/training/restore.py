"""Reads the newest checkpoint that is whole, on every process or on none."""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from gen_jax.config import stages
from gen_jax.core import TrainState
from gen_jax.distributed import process_group
from gen_jax.errors import InputError
from gen_jax.storage import checkpoint_files
from gen_jax.storage.checkpoint import Checkpointer
from gen_jax.storage.checkpoint_files import (
  DamagedError,
  MisfitError,
  UnreadableError,
)
from gen_jax.training.experiment import Experiment

# Seconds between tries to read a checkpoint that cannot be read.
_WAITS = (0.5, 1.0, 2.0, 4.0)
# A run that removes checkpoints while they are read makes a reader list them
# again, at most so often.
_LISTINGS = 20
# The first of them that any process has counts for all.
_ERRORS = (MisfitError, UnreadableError, DamagedError)


class Found(NamedTuple):
  """A checkpoint that was read.

  Attributes:
    state: on the host.
    experiment: that of the stage to which it belongs.
    notes: what was saved beside it.
  """

  state: TrainState
  experiment: Experiment
  notes: dict[str, Any]


def restore(
  checkpointer: Checkpointer,
  plan: tuple[stages.Stage, ...],
  step: int | None = None,
  set_aside: bool = False,
  of_stage: Callable[[stages.Stage], Experiment] = Experiment,
) -> Found | None:
  """Returns the newest checkpoint that is whole, or that of a step, or None.

  Args:
    checkpointer: where to look.
    plan: the stages of the config.
    step: the only step to consider; the newest first if None.
    set_aside: rename damaged checkpoints, so that a run may go on from before.
      Nothing is renamed unless one is found that is whole.
    of_stage: returns the experiment of a stage.

  Raises:
    DamagedError: when the one asked for, or every one, is damaged.
    InputError: when there is none of the step that was asked for, or the newest
      cannot be read now or does not fit the config.
  """
  steps = _steps(checkpointer)
  found, failures = None, {}
  for _ in range(_LISTINGS):
    if step is not None and step not in steps:
      have = ', '.join(map(str, steps)) or 'none'
      raise InputError(f'--step={step}: no such checkpoint; there are {have}.')
    wanted = steps[::-1] if step is None else [step]
    found, failures = _first_whole(checkpointer, plan, wanted, of_stage)
    before = steps
    # A run at work may have removed what was read meanwhile.
    if not failures or (steps := _steps(checkpointer)) == before:
      break
  _report(failures, found, checkpointer, step)
  if set_aside:
    for candidate in failures:
      checkpointer.set_aside(candidate)
  return found


def _steps(checkpointer):
  return process_group.broadcast(lambda: list(checkpointer.steps()))


def _first_whole(checkpointer, plan, steps, of_stage):
  """The first of some steps that is whole, and the errors of those before."""
  failures = {}
  for step in steps:
    try:
      return read(checkpointer, step, plan, of_stage), failures
    except DamagedError as error:
      failures[step] = error
    except UnreadableError as error:
      failures[step] = error
      break
  return None, failures


def _report(failures, found, checkpointer, step):
  """Says what is damaged; raises when no checkpoint can be used."""
  for error in failures.values():
    if step is not None or isinstance(error, UnreadableError):
      raise error
  lost = failures or process_group.broadcast(checkpointer.has_damaged)
  if found is None and lost:
    why = ''.join(f'{error} ' for error in failures.values())
    raise DamagedError(
      f'{why}No checkpoint below {checkpointer.path} is left that is whole. '
      'Nothing was changed: bring one back from a copy or, to start over, give '
      f'another --workdir or move {checkpointer.path} away.'
    )
  for error in failures.values():
    warn(f'{error} The one before it is used.')


def read(
  checkpointer: Checkpointer,
  step: int,
  plan: tuple[stages.Stage, ...],
  of_stage: Callable[[stages.Stage], Experiment] = Experiment,
) -> Found:
  """Reads a checkpoint on every process or, if one of them fails, on none.

  An error of the disk or the network may pass, so it is tried again for some
  seconds.

  Raises:
    InputError: one of the errors of `Checkpointer.restore`.
  """
  damaged, waits = 0, iter(_WAITS)
  while True:
    found, error = None, None
    try:
      notes = checkpoint_files.read_notes(checkpointer.path, step)
      experiment = of_stage(stages.at(plan, step))
      state = checkpointer.restore(step, experiment.abstract_state())
      found = Found(state, experiment, notes)
    except _ERRORS as failure:
      error = type(failure).__name__, str(failure)
    errors = dict(filter(None, process_group.gather(error)))
    if found and not errors:
      return found
    kind = next(kind for kind in _ERRORS if kind.__name__ in errors)
    damaged += kind is DamagedError
    # What failed the first time could be read a moment later, so the second
    # time decides.
    wait = next(waits, None)
    if kind is MisfitError or damaged == 2 or wait is None:
      raise kind(errors[kind.__name__])
    if kind is UnreadableError:
      time.sleep(wait)


def warn(line: str) -> None:
  """Prints a line about checkpoints, on one process."""
  if process_group.is_main():
    print(line, file=sys.stderr, flush=True)
