"""Pictures of class-conditional models."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Size


@evaluator('relabel')
class Relabeled:
  """Held-out images, each followed by its style in every class.

  An image is encoded with its own class and decoded with the others (Kingma et
  al. 2014, figure 1).
  """

  task: Task
  split: str = 'test'
  rows: Size = 10

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    relabel = self.task.predict('relabel')
    batch = self.task.batch(self.split, self.rows, key)
    count = len(batch['image'])
    columns = [batch['image']]
    for label in range(len(self.task.source(self.split).classes)):
      columns.append(relabel(players, batch, jnp.full(count, label)))
    images = np.stack([np.asarray(x) for x in columns], axis=1)  # [R, 1 + K]
    images = images.reshape(-1, *images.shape[2:])
    yield 'relabeled', self.task.sheet(images, len(columns))


@evaluator('sample_classes')
class BetweenClasses:
  """Samples with the same latents in a row, between a class and the next one.

  Attributes:
    columns: steps from one class to the other.
  """

  task: Task
  columns: Size = 10

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    count = len(self.task.classes)
    first = jnp.eye(count)  # [K, K]
    second = jnp.roll(first, -1, axis=0)
    t = jnp.linspace(0, 1, self.columns)[None, :, None]
    weights = (1 - t) * first[:, None] + t * second[:, None]  # [K, T, K]
    sample = self.task.predict('sample_classes')
    rows = []
    for row in range(count):
      # The same key, and so the same latents, for every column.
      images = [
        sample(
          players, weights[row, column][None], key=jax.random.fold_in(key, row)
        )
        for column in range(self.columns)
      ]
      rows.extend(images)
    images = np.concatenate([np.asarray(x) for x in rows])
    yield 'between_classes', self.task.sheet(images, self.columns)
