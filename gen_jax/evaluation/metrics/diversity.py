"""Whether samples differ from each other as much as the data do."""

import dataclasses
import functools

import jax
import numpy as np
from scipy.spatial.distance import pdist, squareform

from gen_jax.errors import InputError
from gen_jax.evaluation.context import Minimum, Task
from gen_jax.registry.fields import Count, Fraction


@dataclasses.dataclass(frozen=True)
class Diversity:
  """How far apart samples lie, over the same for as many images of a split.

  Distances are Euclidean, of pixels. `apart` is the ratio of the mean distance
  of two; near 0 the generator makes one image. `nearest` is that of the mean
  distance to the nearest other; near 0 it repeats a few, which may well lie far
  apart. Blur lowers it too. Neither says that samples look like data.

  Attributes:
    num: samples, and images of the split.
    least: a ratio below it is told as mode collapse.
  """

  task: Task
  split: str = 'test'
  num: Count = 500
  least: Fraction = 0.5

  needs = ('sample',)

  def minimum(self):
    return (Minimum(self.split, 2),)

  def __post_init__(self):
    if self.num < 2:
      raise InputError(
        f'diversity.Diversity: num={self.num}: expected 2 or more.'
      )

  @functools.cached_property
  def _real(self):
    """How many images there are to compare with, and their distances."""
    images = self.task.batch(self.split, self.num, jax.random.key(0))['image']
    return len(images), *spread(images)

  def run(self, players, key):
    count, apart, nearest = self._real
    samples = self.task.predict('sample')(players, key=key, num=count)
    apart, nearest = (
      float(mine / max(real, 1e-12))
      for mine, real in zip(spread(samples), (apart, nearest), strict=True)
    )
    yield 'apart', apart
    yield 'nearest', nearest
    if min(apart, nearest) >= self.least:
      return
    seen = (
      f'two samples are {apart:.0%} as far apart as two images of the data'
      if apart < self.least
      else f'a sample is {nearest:.0%} as far from the nearest other as an '
      'image of the data is'
    )
    yield (
      'warning',
      f'{seen}: mode collapse, unless training has just begun or the samples '
      "are blurred. Try objective.pack=2, objective.penalty='r1', or a smaller "
      'learning rate.',
    )


def spread(images: np.ndarray) -> tuple[float, float]:
  """Mean distance of two of [N, ...], and of each to its nearest other."""
  flat = np.asarray(images, np.float64).reshape(len(images), -1)
  pairs = pdist(flat)
  distance = squareform(pairs)  # [N, N]
  np.fill_diagonal(distance, np.inf)
  return float(pairs.mean()), float(distance.min(axis=1).mean())
