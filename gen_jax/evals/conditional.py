"""Pictures of models that know classes."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from gen_jax.evals.task import Task
from gen_jax.writer import grid, to_uint8


@dataclasses.dataclass(frozen=True)
class Relabelled:
  """Held-out images, each followed by itself as every class in turn.

  What stays in a row is the style, which the class does not say (Kingma et al.
  2014, figure 1).
  """

  task: Task
  split: str = 'test'
  rows: int = 10

  needs = ('relabel',)

  def run(self, players, key):
    relabel = self.task.predict('relabel')
    batch = self.task.batch(self.split, 0, self.rows, key)
    count = len(batch['image'])
    columns = [batch['image']]
    for label in range(len(self.task.source(self.split).classes)):
      columns.append(relabel(players, batch, jnp.full(count, label)))
    images = np.stack([np.asarray(x) for x in columns], axis=1)  # [R, 1 + K]
    images = images.reshape(-1, *images.shape[2:])
    pixels = self.task.objective.pixels
    yield 'relabelled', grid(to_uint8(images, pixels), len(columns))
