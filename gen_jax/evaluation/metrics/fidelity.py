"""How close generated images are to real ones, and whether all are met."""

import dataclasses
import functools

import numpy as np

from gen_jax.evaluation.context import Minimum, Task
from gen_jax.evaluation.features import extractors
from gen_jax.evaluation.metrics import statistics
from gen_jax.registry.fields import Count, Size


@dataclasses.dataclass(frozen=True)
class Fidelity:
  """Distances between samples and the images of a split.

  They use features (`features/extractors.py`). `frechet` is the Frechet
  distance: the cFID on those of a classifier of the same data, the FID on those
  of an Inception network. `frechet_floor` is that between as many training
  images, or all, and the split, about what a perfect sampler comes to (a
  classifier has seen the training images). `kernel` is the KID; precision,
  recall, density and coverage count `k` nearest neighbors. The split should
  have the classes of training. The inception score is the classifier's alone.

  Attributes:
    num: samples, and training images of the floor.
    k: of the neighborhoods.
    features: 'classifier', 'random', or a function of yours as
      'module.function'.
  """

  task: Task
  split: str = 'test'
  num: Count = 10_000
  k: Size = 5
  features: str = 'classifier'

  needs = ('sample',)

  def minimum(self):
    # `kernel` compares halves of two or more images.
    return Minimum('train', 2), Minimum(self.split, max(self.k + 1, 4))

  def __post_init__(self):
    extractors.check(self.features, len(self.task.classes))

  @functools.cached_property
  def _eyes(self):
    shape, _ = self.task.fields['image']
    data, classes = self.task.data, len(self.task.classes)
    return extractors.load(self.features, data, shape, classes)

  @functools.cached_property
  def _real(self):
    """Features of the split, moments of it and of training, and the floor."""
    real = self._eyes.look(self._images(self.split, 0))
    train = self._eyes.look(self._images('train', self.num))
    moments, train = statistics.moments(real), statistics.moments(train)
    return real, moments, train, statistics.frechet(train, moments)

  def run(self, players, key):
    fakes = self.task.samples(players, self.num, key)
    fake = self._eyes.look(fakes)
    real, moments, train, floor = self._real
    made = statistics.moments(fake)
    yield 'frechet', statistics.frechet(made, moments)
    yield 'frechet_floor', floor
    warning = statistics.rank_warning(made, moments, train)
    if warning:
      yield 'warning', warning
    mean, deviation = statistics.kernel(fake, real)
    yield 'kernel', mean
    yield 'kernel_deviation', deviation
    around = statistics.neighborhoods(real, fake, self.k)
    yield from around._asdict().items()
    yield 'real_images', len(real)
    yield 'features_identity', self._eyes.identity
    if isinstance(self._eyes, extractors.Classified):
      classifier = self._eyes.classifier
      logits, _ = classifier.look(fakes)
      yield 'inception_score', statistics.inception_score(logits)
      yield 'classifier', classifier.hash
      yield 'classifier_error', classifier.error

  def _images(self, split, num):
    """Returns `num` images of a split (0: all), float32 in [0, 1]."""
    return self.task.read(split, num)['image'].astype(np.float32) / 255
