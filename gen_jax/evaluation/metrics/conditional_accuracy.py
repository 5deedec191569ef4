"""Whether a model that is told a class draws that class."""

import dataclasses
import pathlib
import tempfile

import numpy as np

from gen_jax import config as config_lib
from gen_jax.evaluation.context import Minimum, Task
from gen_jax.evaluation.features import reference_classifier
from gen_jax.registry.fields import Count, Size
from gen_jax.storage.writer import grid


@dataclasses.dataclass(frozen=True)
class LabelAccuracy:
  """Share of samples that a classifier reads as the class asked for.

  Every class is asked for equally often; the classifier is that of
  `features/reference_classifier.py`.

  Attributes:
    num: samples.
  """

  task: Task
  num: Count = 10_000

  needs = ('sample',)

  def minimum(self):
    return (Minimum('test'),)

  def __post_init__(self):
    self.task.check_labeled()

  def run(self, players, key):
    names = self.task.classes
    eyes = reference_classifier.load(self.task.data, len(names))
    labels = np.arange(self.num) % len(names)
    images = self.task.samples(players, self.num, key, labels)
    logits, _ = eyes.look(images)
    right = np.argmax(logits, axis=-1) == labels
    yield 'accuracy', float(right.mean())
    for label, name in enumerate(names):
      yield f'accuracy_{name}', float(right[labels == label].mean())
    yield 'classifier', eyes.hash


@dataclasses.dataclass(frozen=True)
class TrainOnSamples:
  """Accuracy on real images of a classifier that saw samples alone.

  The network and its training are those of `features/reference_classifier.py`
  for the data of the model.

  It tells what samples lack: all variants of a class, as well as its likeness
  (Ravuri and Vinyals 2019, the classification accuracy score).

  Attributes:
    num: samples, of all classes equally many.
    steps: of the classifier's training.
  """

  task: Task
  split: str = 'test'
  num: Count = 60_000
  steps: Size = 3000

  needs = ('sample',)

  def minimum(self):
    return (Minimum(self.split),)

  def __post_init__(self):
    self.task.check_labeled()

  def run(self, players, key):
    classes = len(self.task.classes)
    labels = np.arange(self.num) % classes
    images = self.task.samples(players, self.num, key, labels)
    real = self.task.read(self.split, 0)
    with tempfile.TemporaryDirectory() as folder:
      file = pathlib.Path(folder) / 'samples.npz'
      np.savez(
        file,
        train_image=np.round(images * 255).astype(np.uint8),
        train_label=labels,
        test_image=real['image'],
        test_label=real['label'],
      )
      # Trained as the classifier of the model's data is, on other images.
      config = reference_classifier.make_config(
        self.task.data, classes, self.steps
      )
      data = {**config_lib.default().data, 'name': 'npz', 'path': str(file)}
      config.data = data
      reference_classifier.divide(config)
      path = pathlib.Path(folder) / 'classifier'
      latest = reference_classifier.train_whole(config, path)
    yield 'accuracy', 1 - latest['classification/error_percent'] / 100


@dataclasses.dataclass(frozen=True)
class Neighbors:
  """Samples, each followed by the training images that are nearest to it.

  Distances are of pixels. A sample that equals one is remembered, not made.

  Attributes:
    rows: samples.
    columns: neighbors of each.
    train: training images that are searched; 0 for all.
  """

  task: Task
  rows: Size = 10
  columns: Size = 7
  train: Count = 0

  needs = ('sample',)

  def minimum(self):
    return (Minimum('train', self.columns),)

  def run(self, players, key):
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
