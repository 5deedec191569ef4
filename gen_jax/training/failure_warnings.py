"""Warnings of a failure that the metrics of a run show."""

from collections.abc import Mapping
from typing import Any

from gen_jax.config.stages import Stage
from gen_jax.core import Objective

_LOGS_IN_A_ROW = 3  # that show the same before a warning


class Warnings:
  """Decides when the warnings of the updates are reported.

  An update has `warnings(metrics) -> {name: text}` for the means of a log: what
  they show, what it usually means, and which field to change. A warning is
  reported when three logs in a row have it, but not in the first tenth of the
  stage, and not again for a tenth of the stage.
  """

  def __init__(self, objective: Objective, stage: Stage) -> None:
    self._updates = objective.updates()
    self._interval = (stage.end - stage.start) // 10
    self._start = stage.start
    self._rows: dict[str, int] = {}  # logs in a row that have it
    self._reported: dict[str, int] = {}

  def begin(self, state: Mapping[str, Any]) -> None:
    """Continues with the `state` of a checkpoint, if it has one."""
    self._rows = dict(state.get('rows', {}))
    self._reported = dict(state.get('reported', {}))

  @property
  def state(self) -> dict[str, Any]:
    """What was found and reported so far, for JSON."""
    return {'rows': dict(self._rows), 'reported': dict(self._reported)}

  def due(self, step: int, metrics: Mapping[str, float]) -> dict[str, str]:
    """Returns the warnings to report after a log, by name.

    Args:
      step: of the log.
      metrics: means of the log.
    """
    found: dict[str, str] = {}
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
