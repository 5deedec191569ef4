"""The checkpoint with the best value of a metric."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from gen_jax.config import stages
from gen_jax.core import TrainState
from gen_jax.distributed import process_group
from gen_jax.errors import InputError, nearest
from gen_jax.storage.checkpoint import Checkpointer
from gen_jax.storage.checkpoint_files import DamagedError
from gen_jax.storage.writer import Writer
from gen_jax.training import restore


class Best:
  """Keeps the checkpoint with the best value of a metric in `best/`.

  The value is saved in its notes, so the two cannot contradict each other.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    config: ConfigDict,
    writer: Writer,
    plan: tuple[stages.Stage, ...],
    resumes: bool,
  ) -> None:
    """Finds the best value so far, which counts only with its checkpoint.

    Args:
      folder: the workdir.
      config: that of the run; `config.checkpoint.best` names the metric.
      writer: has the values of the metric so far.
      plan: the stages of the config.
      resumes: whether the run goes on from a checkpoint. The best of a run
        that starts anew is another one.

    Raises:
      InputError: when `best/` cannot be read now, or does not fit the config.
    """
    self._name = config.checkpoint.best
    self._sign = {'min': 1, 'max': -1}[config.checkpoint.best_mode]
    self._checkpoints: Checkpointer | None = None
    self._value = np.inf
    path = folder / 'best'
    # Also without a metric: that of another run is not the best of this one.
    if not self._name and (resumes or not process_group.broadcast(path.is_dir)):
      return
    found = self._checkpoints = Checkpointer(path, keep=1)
    steps = process_group.broadcast(lambda: list(found.steps()))
    usable = [s for s in steps[-1:] if resumes and s <= plan[-1].end]
    read = {step: self._read(found, step, plan) for step in usable}
    kept = {step: value for step, value in read.items() if value is not None}
    for step in steps:
      if step not in kept:
        name = found.set_aside(step, 'unused')
        restore.warn(f'{folder}/best/{step} is renamed to {name}.')
    if not self._name:
      self.close()
      self._checkpoints = None
      return
    self._value = min((self._sign * v for v in kept.values()), default=np.inf)
    lines = process_group.broadcast(lambda: writer.history(self._name))
    better = [
      step
      for step, value in lines
      if isinstance(value, int | float) and self._sign * value < self._value
    ]
    if better:
      restore.warn(
        f'{folder}/best does not hold the checkpoint of step {better[-1]}, '
        f'where {self._name} was best: it is chosen anew'
        + (f', from that of step {next(iter(kept))} on.' if kept else '.')
      )

  def _read(
    self,
    checkpoints: Checkpointer,
    step: int,
    plan: tuple[stages.Stage, ...],
  ) -> float | None:
    """Returns the value of a checkpoint; None where it cannot count."""
    try:
      notes = restore.read(checkpoints, step, plan).notes
    except DamagedError as error:
      restore.warn(str(error))
      return None
    return notes['value'] if notes.get('metric') == self._name else None

  def consider(
    self,
    state: TrainState,
    evaluator: str,
    values: Mapping[str, Any],
    config: str,
  ) -> None:
    """Saves the state when it is better than all before.

    It is on the disk when this returns.

    Args:
      state: that was evaluated.
      evaluator: its name.
      values: of the evaluator.
      config: of the run, as JSON, for the notes.

    Raises:
      InputError: when the evaluator gives no such number.
    """
    if self._checkpoints is None or evaluator != self._name.partition('/')[0]:
      return
    numbers = {k for k, v in values.items() if _is_number(v)}
    if self._name not in numbers:
      raise InputError(
        f'config.checkpoint.best={self._name!r}: the evaluator gives no such '
        f'number.{nearest(self._name, numbers)}'
      )
    # Decided once, for the last bit may differ between hosts.
    value = process_group.broadcast(lambda: float(values[self._name]))
    if self._sign * value < self._value:
      notes = {'config': config, 'metric': self._name, 'value': value}
      # A run that was killed may have left one of a later step.
      steps = process_group.broadcast(lambda: list(self._checkpoints.steps()))
      for step in steps:
        if step >= int(state.step):
          self._checkpoints.set_aside(step, 'unused')
      self._checkpoints.save(state, notes)
      self._checkpoints.wait()
      self._value = self._sign * value

  def close(self) -> None:
    """Closes the folder of the checkpoint."""
    if self._checkpoints is not None:
      self._checkpoints.close()


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float | np.number) and np.ndim(value) == 0
