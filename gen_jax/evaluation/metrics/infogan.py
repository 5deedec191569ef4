"""The meaning of the codes of InfoGAN."""

from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment

from gen_jax.core import CodedObjective, Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Number, Size


@evaluator('classify')
class Matching:
  """Error of the categorical code as a classifier that saw no labels.

  Each category is taken for one class, each class for one category, so that the
  fewest images are wrong (Chen et al. 2016, section 7.2); SciPy's assignment
  finds these. The matching is fitted on the training split.

  Attributes:
    train: training images that it is fitted on; 0 for all.
    num: images of the split; 0 for all.
  """

  task: Task
  split: str = 'test'
  train: Count = 10_000
  num: Count = 0
  batch_size: Size = 500

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    guesses, labels = self.task.guesses(
      players, 'train', self.train, self.batch_size, key
    )
    classes = len(self.task.classes)
    counts = np.zeros((max(guesses.max() + 1, classes), classes), int)
    np.add.at(counts, (guesses, labels), 1)
    rows, columns = linear_sum_assignment(-counts)
    meaning = np.full(len(counts), -1)
    meaning[rows] = columns
    guesses, labels = self.task.guesses(
      players, self.split, self.num, self.batch_size, key
    )
    known = guesses < len(meaning)
    right = known & (meaning[np.where(known, guesses, 0)] == labels)
    yield 'error', 1 - float(right.mean())


@evaluator('sample_codes')
class Sweeps:
  """A sheet for each code: it goes from left to right, by row all others stay.

  The continuous ones are swept from -`reach` to `reach`; they were even in
  [-1, 1] in training.
  """

  task: Task
  rows: Size = 5
  columns: Size = 10
  reach: Number = 2.0

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    vary = self.task.predict('sample_codes')
    objective = cast(CodedObjective, self.task.objective)
    rest = jnp.zeros((objective.categories, objective.continuous))
    rows = [
      vary(
        players,
        jnp.arange(objective.categories),
        rest,
        key=jax.random.fold_in(key, row),
      )
      for row in range(self.rows)
    ]
    yield 'category', self._sheet(rows, objective.categories)
    steps = jnp.linspace(-self.reach, self.reach, self.columns)
    for index in range(objective.continuous):
      numbers = jnp.zeros((self.columns, objective.continuous))
      numbers = numbers.at[:, index].set(steps)
      rows = [
        vary(players, jnp.full(self.columns, category), numbers, key=key)
        for category in range(objective.categories)
      ]
      yield f'continuous_{index + 1}', self._sheet(rows, self.columns)

  def _sheet(self, rows, columns):
    images = np.concatenate([np.asarray(x) for x in rows])
    return self.task.sheet(images, columns)
