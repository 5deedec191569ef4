"""The means of metrics between two logs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gen_jax.core import Update
from gen_jax.errors import NonFiniteError
from gen_jax.training.step import ran

# Metrics of the first update that the progress bar shows, where it has them.
_SHOWN = ('loss', 'alpha')


class Log:
  """Collects the metrics of steps between two logs.

  Attributes:
    end: the step after the last whose metrics were added.
    shown: the newest, for the progress bar.
  """

  def __init__(self, updates: Sequence[Update], start: int) -> None:
    self._updates, self._start = updates, start
    self._sums: dict[str, float] = {}
    self._counts: dict[str, int] = {}
    self.end = start
    self.shown: dict[str, float] = {}

  def begin(self, step: int, state: Mapping[str, Any]) -> None:
    """Continues from a step with the `state` of its checkpoint."""
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
    """Adds the metrics of some steps.

    Args:
      step: the first.
      count: of the steps.
      metrics: [length] each, of which the first `count` are valid.

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
