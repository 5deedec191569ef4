"""Warnings of a failure that the metrics of a run show."""

from collections.abc import Mapping
from typing import Any

from gen_jax.config.stages import Stage
from gen_jax.core import Objective

_LOGS_IN_A_ROW = 3  # that show the same before a warning


class Warnings:
  """Explains what the metrics of a run show, when they stay that way.

  An objective may have `warnings(metrics) -> {name: text}`: what is seen in the
  means of a log, what it usually is, and which field to change. One is reported
  when three logs in a row have it, and then not again for a tenth of the
  stage; nor in the first tenth, which is too early.
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
