"""How close generated images are to real ones, and whether all are met."""

import dataclasses
import functools

import numpy as np

from gen_jax.evals import distances, yardstick
from gen_jax.evals.task import Task


@dataclasses.dataclass(frozen=True)
class Fidelity:
  """Distances between samples and the images of a split.

  They are taken on the features of a classifier of the same data
  (`evals/yardstick.py`), of grey values in [0, 1]. `frechet` is the Frechet
  distance, the cFID; `frechet_floor` that between as many training images and
  the split, about what a perfect sampler comes to (the classifier has seen the
  training images). `kernel` is the KID; precision, recall, density and coverage
  count `k` nearest neighbours. The split should have the classes of training.

  Attributes:
    num: samples, and training images of the floor.
    k: of the neighbourhoods.
  """

  task: Task
  split: str = 'test'
  num: int = 10_000
  k: int = 5

  needs = ('sample',)

  @functools.cached_property
  def _eyes(self):
    classes = len(self.task.source('train').classes)
    return yardstick.load(self.task.data, classes)

  @functools.cached_property
  def _real(self):
    """Features of the split, its moments, and the floor."""
    _, real = self._eyes.look(self._images(self.split, 0))
    _, train = self._eyes.look(self._images('train', self.num))
    moments = distances.moments(real)
    floor = distances.frechet(distances.moments(train), moments)
    return real, moments, floor

  def run(self, players, key):
    fakes = self.task.samples(players, self.num, key)
    logits, fake = self._eyes.look(fakes)
    real, moments, floor = self._real
    yield 'frechet', distances.frechet(distances.moments(fake), moments)
    yield 'frechet_floor', floor
    mean, deviation = distances.kernel(fake, real)
    yield 'kernel', mean
    yield 'kernel_deviation', deviation
    around = distances.neighbourhoods(real, fake, self.k)
    yield from around._asdict().items()
    yield 'inception_score', distances.inception_score(logits)
    yield 'classifier', self._eyes.hash
    yield 'classifier_error', self._eyes.error

  def _images(self, split, num):
    """The first `num` images of a split (0: all), float32 in [0, 1]."""
    source = self.task.source(split)
    rows = range(min(num or len(source), len(source)))
    return source.__getitems__(rows)['image'].astype(np.float32) / 255
