"""Whether a class-conditional model generates the requested class."""

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Minimum, Results, Task, evaluator
from gen_jax.evaluation.features import reference_classifier, reference_network
from gen_jax.registry.fields import Count, Size
from gen_jax.storage.images import grid


@evaluator('sample_classes', test=1)
class LabelAccuracy:
  """Fraction of samples that the classifier assigns to the requested class.

  Every class is requested equally often.

  Attributes:
    num: samples.
    classifier: workdir of a trained `configs/classifier.py`; '' for the
      classifier of the package.
  """

  task: Task
  num: Count = 10_000
  classifier: str = ''

  def __post_init__(self) -> None:
    reference_classifier.load(self.task, self.classifier)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    names = self.task.classes
    classifier = reference_classifier.load(self.task, self.classifier)
    labels = np.arange(self.num) % len(names)
    images = self.task.samples(players, self.num, key, labels)
    logits, _ = classifier.extract(images)
    right = np.argmax(logits, axis=-1) == labels
    yield 'accuracy', float(right.mean())
    for label, name in enumerate(names):
      yield f'accuracy_{name}', float(right[labels == label].mean())
    yield from reference_network.identity('classifier', classifier)


@evaluator('sample')
class Neighbors:
  """Samples, each followed by the training images that are nearest to it.

  Distances are Euclidean, of pixels. A sample that equals a training image is
  memorized.

  Attributes:
    rows: samples.
    columns: neighbors of each.
    train: training images that are searched; 0 for all.
  """

  task: Task
  rows: Size = 10
  columns: Size = 7
  train: Count = 0

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""
    return (Minimum('train', self.columns),)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    from sklearn.neighbors import NearestNeighbors

    samples = self.task.samples(players, self.rows, key)
    images = self.task.read('train', self.train)['image']
    images = images.astype(np.float32) / 255
    search = NearestNeighbors(n_neighbors=self.columns, algorithm='brute')
    search.fit(images.reshape(len(images), -1))
    distance, found = search.kneighbors(samples.reshape(self.rows, -1))
    yield 'distance', float(distance[:, 0].mean())
    sheet = np.concatenate([samples[:, None], images[found]], axis=1)
    sheet = sheet.reshape(-1, *samples.shape[1:])
    sheet = np.round(sheet * 255).astype(np.uint8)
    yield 'neighbors', grid(sheet, self.columns + 1)
