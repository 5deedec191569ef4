"""How many steps are dispatched at once, and a trace of some dispatches."""

import dataclasses
import time
from typing import Any

import jax
import numpy as np

from gen_jax.distributed import process_group

# Longest dispatch, in seconds: how long a signal may wait to be heard.
_DISPATCH_SECONDS = 2.0


@dataclasses.dataclass
class DispatchScheduler:
  """Measures the speed, and chooses how many steps to dispatch at once.

  The number is bounded by time, so that a signal is heard soon; the outcome
  does not depend on it.
  """

  step: int
  length: int
  count: int = 1  # the first dispatch is one step, and compiles
  steps_per_second: float = 0.0

  def __post_init__(self) -> None:
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

  def __init__(self, folder: Any, wanted: bool) -> None:
    """Prepares a trace.

    Args:
      folder: the workdir; the trace is written to `profile/` in it.
      wanted: whether there is to be one.
    """
    self._folder, self._dispatches = folder / 'profile', 0
    self._wanted, self._running = wanted and process_group.is_main(), False

  def dispatch(self) -> None:
    """To be called before each dispatch."""
    self._dispatches += 1
    if self._wanted and self._dispatches == self._SKIPPED + 1:
      jax.profiler.start_trace(str(self._folder))
      self._running = True
    elif self._dispatches == self._SKIPPED + self._TRACED + 1:
      self.close()

  def close(self) -> None:
    """Ends the trace."""
    if self._running:
      jax.profiler.stop_trace()
    self._running = False
