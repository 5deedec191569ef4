"""How close generated images are to real ones, and how many they cover."""

import functools

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Minimum, Results, Task, evaluator
from gen_jax.evaluation.features import extractors, reference_network
from gen_jax.evaluation.metrics import statistics
from gen_jax.registry.fields import Count, Size


@evaluator('sample')
class Fidelity:
  """Distances between samples and the images of a split.

  They use features (`features/extractors.py`). `frechet` is the Frechet
  distance: with the features of a classifier of the same data it is the cFID,
  with those of an Inception network the FID. `frechet_train` is the same
  distance for as many training images, or all of them: about the value of a
  perfect model (the classifier was trained on the training images). `kid` is
  the kernel distance; precision, recall, density and coverage count `k` nearest
  neighbors. The split should have the classes of training. The inception score
  exists for the classifier alone.

  Attributes:
    num: samples, and training images of `frechet_train`.
    k: of the neighborhoods.
    features: 'auto', which is 'classifier' where the package has one of these
      data or `classifier` names one, and otherwise 'random'; a file such as
      'inception.safetensors', or your own as 'module.function'. See
      features/extractors.py.
    classifier: workdir of a trained `configs/classifier.py`; '' for the
      classifier of the package.
  """

  task: Task
  split: str = 'test'
  num: Count = 10_000
  k: Size = 5
  features: str = 'auto'
  classifier: str = ''

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""
    # `kid` compares halves of two or more images.
    return Minimum('train', 2), Minimum(self.split, max(self.k + 1, 4))

  def __post_init__(self) -> None:
    extractors.check(self.features, self.task, self.classifier)

  @functools.cached_property
  def _extractor(self):
    shape, _ = self.task.fields['image']
    return extractors.load(self.features, shape, self.task, self.classifier)

  @functools.cached_property
  def _real(self):
    """Features and moments of the split, moments and distance of training."""
    real = self._extractor.extract(self._images(self.split, 0))
    train = self._extractor.extract(self._images('train', self.num))
    moments, train = statistics.moments(real), statistics.moments(train)
    return real, moments, train, statistics.frechet(train, moments)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    fakes = self.task.samples(players, self.num, key)
    fake = self._extractor.extract(fakes)
    real, moments, train, frechet_train = self._real
    made = statistics.moments(fake)
    yield 'frechet', statistics.frechet(made, moments)
    yield 'frechet_train', frechet_train
    warning = statistics.rank_warning(made, moments, train)
    if warning:
      yield 'warning', warning
    mean, deviation = statistics.kid(fake, real)
    yield 'kid', mean
    yield 'kid_deviation', deviation
    around = statistics.neighborhoods(real, fake, self.k)
    yield from around._asdict().items()
    yield 'real_images', len(real)
    yield 'features_identity', self._extractor.identity
    if isinstance(self._extractor, extractors.Classified):
      classifier = self._extractor.classifier
      logits, _ = classifier.extract(fakes)
      yield 'inception_score', statistics.inception_score(logits)
      yield from reference_network.identity('classifier', classifier)

  def _images(self, split, num):
    """Returns `num` images of a split (0: all), float32 in [0, 1]."""
    return self.task.read(split, num)['image'].astype(np.float32) / 255
