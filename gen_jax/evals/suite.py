"""The evaluators of a config, and when they run."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from gen_jax import construction
from gen_jax.core import stream
from gen_jax.data.pipeline import Preprocess
from gen_jax.evals.task import Task
from gen_jax.experiment import Experiment
from gen_jax.writer import Writer


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
  return Task(objective, source, preprocess, data)


class Suite:
  """Makes and runs the evaluators of a config.

  In the config each has its class (`name`), `every` (steps; 0: only at the
  end), `at_start` (before the first step too) and the fields of its class.
  """

  def __init__(self, experiment: Experiment):
    """Makes every evaluator, so that a wrong field is found at the start."""
    config = experiment.config
    self._seed = config.seed
    task = make_task(experiment)
    self._every, self._at_start, self._evaluators = {}, set(), {}
    for name, spec in config.evals.items():
      fields = dict(spec)
      self._every[name] = fields.pop('every', 0)
      if fields.pop('at_start', False):
        self._at_start.add(name)
      evaluator = construction.build(
        'gen_jax.evals', fields, f'config.evals.{name}', task
      )
      for need in evaluator.needs:
        task.predict(need)
      self._evaluators[name] = evaluator

  def cadences(self) -> list[int]:
    """Returns after how many steps each runs; 0 for only at the end."""
    return list(self._every.values())

  def names(self) -> list[str]:
    return list(self._evaluators)

  def due(self, step: int, last: bool) -> Iterator[str]:
    """Yields the evaluators that run after `step` steps."""
    for name, every in self._every.items():
      at_start = step == 0 and name in self._at_start
      if last or at_start or (step > 0 and every > 0 and step % every == 0):
        yield name

  def run(
    self, name: str, players: Any, step: int, writer: Writer
  ) -> dict[str, Any]:
    """Runs one evaluator, and writes its results with its protocol.

    Returns the results alone, a picture as its file.
    """
    evaluator = self._evaluators[name]
    # The same key at every step: grids over time show the same samples.
    index = self.names().index(name)
    key = jax.random.fold_in(stream(self._seed, 'eval'), index)
    values = {}
    for label, value in evaluator.run(players, key):
      label = name if label == name else f'{name}/{label}'
      if isinstance(value, np.ndarray) and value.ndim in (3, 4):
        value = writer.image(step, label, value)
      values[label] = value
    protocol = {f'{name}/{k}': v for k, v in self.protocol(name).items()}
    writer.scalars(step, {**values, **protocol, f'{name}/seed': self._seed})
    return values

  def protocol(self, name: str) -> dict[str, int | float | str]:
    """Returns the fields of an evaluator that go beside its numbers."""
    return {
      field: value
      for field, value in vars(self._evaluators[name]).items()
      if isinstance(value, int | float | str)
    }
