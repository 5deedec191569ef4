"""What the loop keeps an eye on: metrics, and its own pace."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from gen_jax.config.stages import Stage
from gen_jax.core import Objective, Update
from gen_jax.distributed import process_group
from gen_jax.errors import NonFiniteError
from gen_jax.training.step import ran

# Longest dispatch, in seconds: how long a signal may wait to be heard.
_DISPATCH_SECONDS = 2.0
# Metrics of the first update that the progress bar shows, where it has them.
_SHOWN = ('loss', 'alpha')

_LOGS_IN_A_ROW = 3  # that show the same before a warning


class Log:
  """Collects the metrics of steps between two logs.

  Attributes:
    end: the step after the last whose metrics were added.
    shown: the newest, for the progress bar.
  """

  def __init__(self, updates: Sequence[Update], start: int):
    self._updates, self._start = updates, start
    self._sums: dict[str, float] = {}
    self._counts: dict[str, int] = {}
    self.end = start
    self.shown: dict[str, float] = {}

  def begin(self, step: int, state: Mapping[str, Any]) -> None:
    """Goes on from a step, with the `state` that there was there, if known."""
    self.end = step
    self._sums = dict(state.get('sums', {}))
    self._counts = dict(state.get('counts', {}))

  @property
  def state(self) -> dict[str, Any]:
    """What was added since the last means, for JSON, which keeps all digits."""
    return {'sums': dict(self._sums), 'counts': dict(self._counts)}

  def add(
    self, step: int, count: int, metrics: Mapping[str, np.ndarray]
  ) -> None:
    """Adds `count` steps from `step` on.

    Raises:
      NonFiniteError: names the first step, the update and its bad terms.
    """
    steps = np.arange(step, step + count)
    for update in self._updates:
      mask = ran(update, steps - self._start)
      mine = {
        k: v[:count][mask]
        for k, v in metrics.items()
        if k.startswith(f'{update.name}/')
      }
      _check_finite(update.name, steps[mask], mine)
      for name, values in mine.items():
        # One by one, so that it does not matter where a dispatch ended.
        for value in values.tolist():
          self._sums[name] = self._sums.get(name, 0.0) + value
        self._counts[name] = self._counts.get(name, 0) + len(values)
    self.end = step + count
    first = self._updates[0].name
    self.shown = {
      name: float(metrics[f'{first}/{name}'][count - 1])
      for name in _SHOWN
      if f'{first}/{name}' in metrics
    }

  def means(self) -> dict[str, float]:
    """Returns the means since the last call, and starts anew."""
    means = {
      k: v / self._counts[k] for k, v in self._sums.items() if self._counts[k]
    }
    self._sums, self._counts = {}, {}
    return means


class Warnings:
  """Says in words what the metrics of a run show, when they stay that way.

  An objective may have `warnings(metrics) -> {name: text}`: what is seen in the
  means of a log, what it usually is, and which field to change. One is reported
  when three logs in a row have it, and then not again for a tenth of the
  stage; nor in the first tenth, which is no time to judge.
  """

  def __init__(self, objective: Objective, stage: Stage):
    # TODO: remove when every objective gives its updates their warnings.
    self._more = getattr(objective, 'warnings', lambda metrics: {})
    self._updates = objective.updates()
    self._interval = (stage.end - stage.start) // 10
    self._start = stage.start
    self._rows: dict[str, int] = {}  # logs in a row that have it
    self._reported: dict[str, int] = {}

  def begin(self, state: Mapping[str, Any]) -> None:
    """Goes on from the `state` that there was at a checkpoint, if known."""
    self._rows = dict(state.get('rows', {}))
    self._reported = dict(state.get('reported', {}))

  @property
  def state(self) -> dict[str, Any]:
    """What was found and reported so far, for JSON."""
    return {'rows': dict(self._rows), 'reported': dict(self._reported)}

  def due(self, step: int, metrics: Mapping[str, float]) -> dict[str, str]:
    """Returns what to report after a log, by name."""
    found = self._more(metrics)
    for update in self._updates:
      found |= update.warnings(metrics)
    self._rows = {k: self._rows.get(k, 0) + 1 for k in found}
    due = {
      k: text
      for k, text in found.items()
      if self._rows[k] >= _LOGS_IN_A_ROW
      and step - self._reported.get(k, self._start) >= self._interval
    }
    self._reported |= dict.fromkeys(due, step)
    return due


def _check_finite(update, steps, metrics):
  bad = {k: ~np.isfinite(v) for k, v in metrics.items()}
  where = np.any(list(bad.values()), axis=0)
  if not np.any(where):
    return
  first = int(np.argmax(where))
  terms = [k.split('/', 1)[1] for k, v in bad.items() if v[first]]
  raise NonFiniteError(
    f'step {steps[first]}: update {update!r} is not finite in '
    f'{", ".join(terms)}'
  )


@dataclasses.dataclass
class DispatchScheduler:
  """How fast it goes, and how many steps to send at once.

  The number is bounded by time, so that a signal is heard soon; the outcome
  does not depend on it.
  """

  step: int
  length: int
  count: int = 1  # the first dispatch is one step, and compiles
  steps_per_second: float = 0.0

  def __post_init__(self):
    self.restart(self.step)
    self._warm = False

  def restart(self, step: int) -> None:
    """Leaves out the time that was spent on something else."""
    self.step, self._time = step, time.monotonic()

  def finished(self, step: int) -> None:
    """Takes note that all steps before `step` are done."""
    now = time.monotonic()
    if self._warm and step > self.step:
      rate = (step - self.step) / max(now - self._time, 1e-6)
      old = self.steps_per_second
      self.steps_per_second = 0.7 * old + 0.3 * rate if old else rate
      most = int(self.steps_per_second * _DISPATCH_SECONDS)
      # Grow gently: the first timings are of few steps.
      self.count = int(np.clip(most, 1, min(self.length, 4 * self.count)))
    self._warm = True
    self.step, self._time = step, now


class Trace:
  """A trace of a few dispatches, for `tensorboard` or ui.perfetto.dev."""

  _SKIPPED, _TRACED = 3, 3  # dispatches; the first ones compile and are short

  def __init__(self, folder: Any, wanted: bool):
    self._folder, self._seen = folder / 'profile', 0
    self._wanted, self._running = wanted and process_group.is_main(), False

  def dispatch(self) -> None:
    """To be called before each dispatch."""
    self._seen += 1
    if self._wanted and self._seen > self._SKIPPED and not self._running:
      jax.profiler.start_trace(str(self._folder))
      self._running = True
    if self._running and self._seen > self._SKIPPED + self._TRACED:
      self.close()

  def close(self) -> None:
    if self._running:
      jax.profiler.stop_trace()
    self._wanted = self._running = False
