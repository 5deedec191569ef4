"""Whether samples differ from each other as much as the data do."""

import functools

import jax
import numpy as np
from scipy.spatial.distance import pdist, squareform

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Fraction


@evaluator('sample', split=2)
class Diversity:
  """Distances between samples, divided by those between images of a split.

  Distances are Euclidean, of pixels. `pairwise_distance_ratio` compares
  the mean distance of two images; near 0 the generator makes one image.
  `nearest_neighbor_ratio` compares the mean distance to the nearest other; near
  0 the generator repeats a few images, which may be far apart. Blur lowers it
  too. Neither says that samples look like the data.

  Attributes:
    num: samples, and images of the split.
    least: a ratio below it leads to a warning of mode collapse.
  """

  task: Task
  split: str = 'test'
  num: Count = 500
  least: Fraction = 0.5

  def __post_init__(self) -> None:
    if self.num < 2:
      raise InputError(
        f'diversity.Diversity: num={self.num}: expected 2 or more.'
      )

  @functools.cached_property
  def _real(self):
    """The number of images to compare with, and their distances."""
    images = self.task.batch(self.split, self.num, jax.random.key(0))['image']
    return len(images), *distances(images)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    count, pairs, nearest = self._real
    samples = self.task.predict('sample')(players, key=key, num=count)
    pairs, nearest = (
      float(mine / max(real, 1e-12))
      for mine, real in zip(distances(samples), (pairs, nearest), strict=True)
    )
    yield 'pairwise_distance_ratio', pairs
    yield 'nearest_neighbor_ratio', nearest
    if min(pairs, nearest) >= self.least:
      return
    observed = (
      f'two samples are {pairs:.0%} as far apart as two images of the data'
      if pairs < self.least
      else f'a sample is {nearest:.0%} as far from the nearest other as an '
      'image of the data is'
    )
    yield (
      'warning',
      f'{observed}: mode collapse, unless training has just begun or samples '
      'are blurred. Try an R1 penalty in objective.regularizers, a smaller '
      'learning rate or, where the objective has it, objective.pack=2.',
    )


def distances(images: np.ndarray) -> tuple[float, float]:
  """Returns the mean distance of two of [N, ...], and to the nearest other."""
  flat = np.asarray(images, np.float64).reshape(len(images), -1)
  pairs = pdist(flat)
  distance = squareform(pairs)  # [N, N]
  np.fill_diagonal(distance, np.inf)
  return float(pairs.mean()), float(distance.min(axis=1).mean())
