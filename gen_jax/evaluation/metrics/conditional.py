"""Pictures of models that know classes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Minimum, Results, Task
from gen_jax.registry.fields import Size
from gen_jax.storage.images import grid, to_uint8


@dataclasses.dataclass(frozen=True)
class Relabeled:
  """Held-out images, each followed by itself as every class in turn.

  What stays in a row is the style, which the class does not say (Kingma et al.
  2014, figure 1).
  """

  task: Task
  split: str = 'test'
  rows: Size = 10

  needs = ('relabel',)

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""
    return (Minimum(self.split),)

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
    pixels = self.task.objective.pixels
    yield 'relabeled', grid(to_uint8(images, pixels), len(columns))


@dataclasses.dataclass(frozen=True)
class BetweenClasses:
  """One code a row, while its class becomes the next one: a 2 becomes a 3.

  Attributes:
    columns: steps from one class to the other.
  """

  task: Task
  columns: Size = 10

  needs = ('sample_classes',)

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""
    return ()

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    count = len(self.task.classes)
    first = jnp.eye(count)  # [K, K]
    second = jnp.roll(first, -1, axis=0)
    t = jnp.linspace(0, 1, self.columns)[None, :, None]
    shares = (1 - t) * first[:, None] + t * second[:, None]  # [K, T, K]
    sample = self.task.predict('sample_classes')
    rows = []
    for row in range(count):
      # One key, and so the same codes, for every column.
      images = [
        sample(
          players, shares[row, column][None], key=jax.random.fold_in(key, row)
        )
        for column in range(self.columns)
      ]
      rows.extend(images)
    images = np.concatenate([np.asarray(x) for x in rows])
    pixels = self.task.objective.pixels
    yield 'between_classes', grid(to_uint8(images, pixels), self.columns)
