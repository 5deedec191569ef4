"""The evaluators of a config, and when they run."""

import traceback
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players, required_arguments, stream
from gen_jax.distributed import process_group
from gen_jax.errors import DataError, EvaluationError, InputError, building
from gen_jax.evaluation.context import Task
from gen_jax.registry import builder
from gen_jax.storage.writer import Writer

# Seconds that a process whose evaluator failed waits for the others, which may
# in turn wait for it in a computation of that evaluator.
_PATIENCE = 600.0


class Suite:
  """Makes and runs the evaluators of a config.

  In the config each has its class (`name`), `every` (steps; 0: only at the
  end), `at_start` (before the first step too) and the fields of its class.

  Attributes:
    skipped: the evaluators that never run because a split has fewer examples
      than they need, with the reason, by name.
    away: those that cannot run because the data of a trained run are away or
      are not the same, with the reason, by name.
  """

  def __init__(
    self,
    task: Task,
    evals: Mapping[str, Mapping[str, Any]],
    seed: int,
    only: Collection[str] | None = None,
  ) -> None:
    """Makes the evaluators, so that a wrong field is found at the start.

    Args:
      task: what they work on.
      evals: the group `evals` of a config.
      seed: of the run.
      only: names of those that are made; all if None.
    """
    self._task, self._seed = task, seed
    self._every, self._at_start, self._evaluators = {}, set(), {}
    self.skipped: dict[str, str] = {}
    self.away: dict[str, str] = {}
    for name, spec in evals.items():
      if only is not None and name not in only:
        continue
      fields = dict(spec)
      self._every[name] = fields.pop('every', 0)
      if fields.pop('at_start', False):
        self._at_start.add(name)
      try:
        self._make(name, fields)
      except DataError as error:
        self.away[name] = str(error)

  def _make(self, name, fields):
    task = self._task
    evaluator = builder.build(
      builder.EVALUATORS, fields, f'config.evals.{name}', task
    )
    for need in evaluator.needs:
      task.predict(need)
    self._evaluators[name] = evaluator
    for minimum in evaluator.minimum():
      missing = minimum.missing(task.source(minimum.split))
      if missing:
        reason = f'evaluator {name} is skipped: it needs {missing}'
        self.skipped[name] = reason

  def check(self, players: Players, batch: Any) -> None:
    """Raises InputError when a model cannot do what an evaluator needs.

    It is traced; nothing is computed.

    Args:
      players: shapes and dtypes of the trained players.
      batch: shapes and dtypes of a preprocessed batch.
    """
    fns: Any = self._task.objective.predict_fns()
    key = jax.random.key(0)
    ran = {k: e for k, e in self._evaluators.items() if k not in self.skipped}
    for need in dict.fromkeys(n for e in ran.values() for n in e.needs):
      with building(f'{need!r} of the trained model'):
        _trace(fns[need], required_arguments(need), players, batch, key)

  def cadences(self) -> list[int]:
    """Returns after how many steps each runs; 0 for only at the end."""
    return list(self._every.values())

  def names(self) -> list[str]:
    """Returns the names of all evaluators."""
    return list(self._evaluators)

  def split(self, name: str) -> str:
    """Returns the split of the data that an evaluator measures, '' for none."""
    split = str(self.protocol(name).get('split', ''))
    if split in ('train', 'test'):
      return self._task.data[split]
    return split

  def due(self, step: int, last: bool) -> Iterator[str]:
    """Yields the evaluators that run after `step` steps."""
    for name, every in self._every.items():
      if name in self.skipped:
        continue
      at_start = step == 0 and name in self._at_start
      if last or at_start or (step > 0 and every > 0 and step % every == 0):
        yield name

  def run(
    self, name: str, players: Any, step: int, writer: Writer
  ) -> dict[str, Any]:
    """Runs one evaluator, and writes its pictures.

    Returns the results, a picture as its file; `record` writes them.

    Raises:
      EvaluationError: on every process, when it fails on any; nothing is
        recorded, so that it is tried again.
    """
    evaluator = self._evaluators[name]
    # The same key at every step: grids over time show the same samples. It
    # depends on the name, so that other evaluators do not change it.
    key = stream(self._seed, f'eval/{name}')
    # All before any is written, so that a failure leaves no part of it.
    results, failure = [], None
    try:
      results.extend(evaluator.run(players, key))
    except Exception as error:  # whatever its numbers and libraries make of it
      failure = _describe(error), traceback.format_exc()
    self._check(name, failure, step, writer)
    values = {}
    for label, value in results:
      label = name if label == name else f'{name}/{label}'
      if isinstance(value, np.ndarray) and value.ndim in (3, 4):
        value = writer.image(step, label, value)
      values[label] = value
    return values

  def record(
    self,
    name: str,
    values: Mapping[str, Any],
    step: int,
    writer: Writer,
    **further: Any,
  ) -> None:
    """Writes the results of an evaluator with its protocol, in one line.

    With this line its work at the step counts as done.

    Args:
      name: of the evaluator.
      values: that `run` returned.
      step: of the training.
      writer: of the line.
      **further: for the same line.
    """
    protocol = {f'{name}/{k}': v for k, v in self.protocol(name).items()}
    seed = {f'{name}/seed': self._seed}
    writer.scalars(step, {**values, **protocol, **seed, **further})

  def _check(self, name, failure, step, writer):
    """Raises EvaluationError on all processes when one of them has a failure.

    All processes compute an evaluator together. If one fails alone, the others
    may wait for it forever in a computation; then it ends the run, as if it
    were lost.
    """
    try:
      found = process_group.gather(failure, _PATIENCE if failure else None)
    except TimeoutError as error:
      raise RuntimeError(
        f'evaluator {name} failed on this process, {failure[0]}, and {error}'
      ) from error
    for reason, trace in filter(None, found):
      file = writer.failure(step, name, trace)
      raise EvaluationError(f'evaluator {name} failed: {reason}; see {file}')

  def protocol(self, name: str) -> dict[str, int | float | str]:
    """Returns the fields of an evaluator that go beside its numbers."""
    return {
      field: value
      for field, value in vars(self._evaluators[name]).items()
      if isinstance(value, int | float | str)
    }


def _trace(fn, wanted, players, batch, key) -> None:
  """Traces a capability, unless it needs an argument that another one makes."""
  given = {'batch': batch, 'key': key, 'num': 2}
  size = jax.tree.leaves(batch)[0].shape[0] if 'batch' in wanted else 2
  given['labels'] = jax.ShapeDtypeStruct((size,), jnp.int32)
  if set(wanted) - set(given):
    return
  static = {k: given[k] for k in wanted if k == 'num'}
  arrays = {k: given[k] for k in wanted if k != 'num'}
  jax.eval_shape(
    lambda players, arrays: fn(players, **arrays, **static), players, arrays
  )


def _describe(error: Exception) -> str:
  text = ' '.join(str(error).split())[:300].rstrip('.')
  if isinstance(error, InputError):  # says what it is about
    return text
  return f'{type(error).__name__}: {text}'
