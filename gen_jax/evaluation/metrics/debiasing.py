"""How the debiasing VAE changes the fraction of each class."""

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.data.shuffling import permutation
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Size


@evaluator('sampling_probabilities')
class Shift:
  """Fractions of the classes in a split, and in what is drawn from it.

  The draw is from shuffled batches of `batch_size`, as in training; examples
  that do not fill a batch are left out. The rare classes are those with less
  than half of an equal fraction.
  """

  task: Task
  split: str = 'train'
  batch_size: Size = 1024

  def __post_init__(self) -> None:
    if 'label' not in self.task.source(self.split).fields:
      raise InputError('config.evals: debiasing.Shift needs labeled data.')

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    probabilities, parts = self.task.predict('sampling_probabilities'), []
    order = permutation(0, 'debiasing', 0, len(self.task.source(self.split)))
    # Latents that occur twice in a batch that is filled up would be too dense.
    size = min(self.batch_size, len(order))
    for start in range(0, len(order) - size + 1, size):
      batch = self.task.rows(
        self.split,
        order[start : start + size],
        jax.random.fold_in(key, start),
      )
      values = probabilities(players, batch), batch['label']
      parts.append([np.asarray(x) for x in values])
    weights, labels = map(np.concatenate, zip(*parts, strict=True))
    fraction = np.bincount(labels) / len(labels)
    drawn = np.bincount(labels, weights / weights.sum())
    present = np.flatnonzero(fraction)
    rare = fraction < 0.5 / len(present)
    yield 'rare_fraction', fraction[rare].sum()
    yield 'rare_drawn_fraction', drawn[rare].sum()
    for label in present:
      yield f'fraction_{label}', fraction[label]
      yield f'drawn_fraction_{label}', drawn[label]
