"""The classifier whose features and decisions measure generated images.

The package has one for MNIST and one for Fashion-MNIST. For other labeled data
the evaluators name a workdir of `configs/classifier.py` in their field
`classifier`.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.features import reference_network
from gen_jax.evaluation.features.reference_network import ReferenceNetwork

_BATCH = 500
_NEEDS = ('classify', 'features')
# The data sets whose classifiers are part of the package.
_PACKAGED = ('mnist', 'fashion_mnist')


@dataclasses.dataclass(frozen=True)
class ReferenceClassifier:
  """A trained classifier.

  Attributes:
    network: whose logits are linear in its features.
  """

  network: ReferenceNetwork

  @property
  def hash(self) -> str:
    """Returns 12 hexadecimal digits of a hash of the parameters."""
    return self.network.hash

  @property
  def accuracy(self) -> float:
    """Returns the fraction of test images that it classifies correctly."""
    return self.network.accuracy

  def extract(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits [N, K] and features [N, F] of images in [0, 1]."""
    logits, features = (
      self.network.apply(name, 'image', images, _BATCH) for name in _NEEDS
    )
    return logits, features


def packaged(name: str) -> ReferenceClassifier:
  """Returns the classifier of MNIST ('mnist') or of 'fashion_mnist'."""
  return ReferenceClassifier(reference_network.packaged(name))


def is_packaged(task: Task) -> bool:
  """Returns whether the package has the classifier of the data of a task."""
  name = dataset(task.data)
  if not task.classes or name not in _PACKAGED:
    return False
  return not _misfit(reference_network.packaged(name), task)


def load(task: Task, workdir: str = '') -> ReferenceClassifier:
  """Returns the classifier of the data of a task.

  Args:
    task: whose images are measured.
    workdir: of a trained `configs/classifier.py`; '' for the classifier of the
      package.

  Raises:
    InputError: when the package has no classifier of these data, or when the
      classifier has other classes or another image shape.
  """
  if not task.classes:
    raise InputError(
      'config.evals: a classifier needs labels, and the data has none. Use '
      "features='random', or your own features as 'module.function'."
    )
  if workdir:
    network = reference_network.of_workdir(
      task.open_trained,
      workdir,
      'classifier',
      _NEEDS,
      'classification/accuracy',
    )
  else:
    name = dataset(task.data)
    if name not in _PACKAGED:
      raise InputError(
        'config.evals: the package has no classifier of the data '
        f'{name!r}. {reference_network.how_to_train("classifier")}, or use '
        "features='random' where only features are needed."
      )
    network = reference_network.packaged(name)
  if found := _misfit(network, task):
    raise InputError(
      f'config.evals: the reference classifier {found}. '
      f'{reference_network.how_to_train("classifier")}.'
    )
  return ReferenceClassifier(network)


def dataset(data: Mapping[str, Any]) -> str:
  """Returns the name of a data set: for TFDS its own, without the version."""
  if data.get('name') == 'tfds':
    return re.split('[:/]', str(data.get('dataset', '')))[0]
  return str(data.get('name', ''))


def _misfit(network: ReferenceNetwork, task: Task) -> str:
  """Returns in what a classifier and the data differ, '' if they fit."""
  shape, _ = task.fields['image']
  if tuple(shape) != network.shape:
    return (
      f'takes images of the shape {network.shape}, and the data has '
      f'{tuple(shape)}'
    )
  if len(task.classes) != len(network.classes):
    return (
      f'has {len(network.classes)} classes, and the data has '
      f'{len(task.classes)}'
    )
  return ''
