"""The evaluators of a config, and when they run."""

import inspect
import traceback
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import averaged, stream
from gen_jax.data.pipeline import Preprocess
from gen_jax.distributed import process_group
from gen_jax.errors import DataError, EvaluationError, InputError
from gen_jax.evaluation.context import Task
from gen_jax.registry import builder
from gen_jax.storage.writer import Writer
from gen_jax.training.experiment import Experiment, building

# Seconds that a process whose evaluator failed waits for the others, which may
# in turn wait for it in a computation of that evaluator.
_PATIENCE = 600.0


def make_task(experiment: Experiment) -> Task:
  """Returns what evaluators work on."""
  objective = experiment.objective
  sources = {
    'train': lambda: experiment.train_source,
    'test': lambda: experiment.test_source,
  }

  def source(split):
    if split in sources:
      return sources[split]()
    return experiment.source(split)

  data = experiment.config.data.to_dict()
  preprocess = Preprocess(objective.pixels, data['binarize'])
  return Task(objective, source, preprocess, data, experiment.described)


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
    self, experiment: Experiment, only: Collection[str] | None = None
  ):
    """Makes the evaluators, so that a wrong field is found at the start.

    Args:
      experiment: whose config names them.
      only: names of those that are made; all if None.
    """
    config, self._experiment = experiment.config, experiment
    self._seed, self._data = config.seed, config.data
    # Of all, because the key of an evaluator follows from its place.
    self._places = list(config.evals)
    task = make_task(experiment)
    self._every, self._at_start, self._evaluators = {}, set(), {}
    self.skipped: dict[str, str] = {}
    self.away: dict[str, str] = {}
    for name, spec in config.evals.items():
      if only is not None and name not in only:
        continue
      fields = dict(spec)
      self._every[name] = fields.pop('every', 0)
      if fields.pop('at_start', False):
        self._at_start.add(name)
      try:
        self._make(name, fields, task)
      except DataError as error:
        self.away[name] = str(error)

  def _make(self, name, fields, task):
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

  def check(self) -> None:
    """Raises InputError when a model cannot do what an evaluator needs.

    It is traced with the shapes of the data; nothing is computed.
    """
    experiment = self._experiment
    players = averaged(experiment.abstract_state())
    fns = experiment.objective.predict_fns()
    key = jax.random.key(0)
    batch = jax.eval_shape(
      experiment.preprocess, experiment.abstract_batch(), key
    )
    ran = {k: e for k, e in self._evaluators.items() if k not in self.skipped}
    for need in dict.fromkeys(n for e in ran.values() for n in e.needs):
      with building(f'{need!r} of the trained model'):
        _trace(fns[need], players, batch, key)

  def cadences(self) -> list[int]:
    """Returns after how many steps each runs; 0 for only at the end."""
    return list(self._every.values())

  def names(self) -> list[str]:
    return list(self._evaluators)

  def split(self, name: str) -> str:
    """Returns the split of the data that an evaluator measures, '' for none."""
    split = str(self.protocol(name).get('split', ''))
    return {'train': self._data.train, 'test': self._data.test}.get(
      split, split
    )

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
    # The same key at every step: grids over time show the same samples.
    index = self._places.index(name)
    key = jax.random.fold_in(stream(self._seed, 'eval'), index)
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


def _trace(fn, players, batch, key) -> None:
  """Traces a predict function, if its arguments are among these."""
  given = {'batch': batch, 'key': key, 'num': 2}
  _, *others = inspect.signature(fn).parameters.values()
  wanted = [p.name for p in others if p.default is p.empty]
  size = jax.tree.leaves(batch)[0].shape[0] if 'batch' in wanted else 2
  given['labels'] = jax.ShapeDtypeStruct((size,), jnp.int32)
  if set(wanted) - set(given):
    return  # codes or styles, which another function makes
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
