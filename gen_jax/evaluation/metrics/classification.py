"""How often a classifier is right."""

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Size
from gen_jax.storage import plot


@evaluator('classify')
class Error:
  """The fraction of images whose class is found, and which are confused.

  The standard error is that of a fraction of N images, sqrt(p (1 - p) / N): it
  does not include the effect of another seed.

  Attributes:
    num: images of the split; 0 for all.
  """

  task: Task
  split: str = 'test'
  num: Count = 0
  batch_size: Size = 500

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    guesses, truth = self.task.guesses(
      players, self.split, self.num, self.batch_size, key
    )
    accuracy = float(np.mean(truth == guesses))
    yield 'accuracy', accuracy
    yield 'error', float(np.mean(truth != guesses))
    yield 'standard_error', (accuracy * (1 - accuracy) / len(truth)) ** 0.5
    yield 'images', len(truth)
    names = self.task.source(self.split).classes
    yield 'confusion', _confusion(truth, guesses, names)


def _confusion(truth, guesses, names):
  size = max(len(names), int(max(truth.max(), guesses.max())) + 1)
  counts = np.zeros((size, size), int)
  np.add.at(counts, (truth, guesses), 1)
  wrong = np.where(np.eye(size, dtype=bool), 0, counts)
  names = [names[i] if i < len(names) else str(i) for i in range(size)]

  figure, axes = plot.chart(xlabel='taken for', ylabel='class')
  # Colored by the mistakes alone, which the diagonal would drown.
  image = axes.imshow(wrong, cmap='Blues')
  dark = 0.6 * max(wrong.max(), 1)
  for row, column in np.argwhere(counts):
    color = 'white' if wrong[row, column] > dark else 'black'
    text = str(counts[row, column])
    axes.text(column, row, text, ha='center', va='center', color=color)
  axes.set_xticks(range(size), names)
  axes.set_yticks(range(size), names)
  figure.colorbar(image, label='mistakes')
  return plot.pixels(figure)
