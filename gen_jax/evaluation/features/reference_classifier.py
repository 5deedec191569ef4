"""The classifier with whose eyes generated images are measured.

It is trained on first use, on the training split of the data that it is to
judge, and kept beside the other caches. It is named by a hash of its config in
which fingerprints of the data stand in place of the fields that say where they
are, so that it is found again for data that moved, and not for data that
changed.
"""

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
import signal
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.core import averaged
from gen_jax.distributed import parallel, process_group
from gen_jax.errors import InputError
from gen_jax.evaluation.context import filled
from gen_jax.evaluation.features import apart
from gen_jax.runtime import settings
from gen_jax.storage import file_lock
from gen_jax.training.experiment import Experiment
from gen_jax.training.signals import Stopper

_BATCH = 500
# How far images are moved, slanted and bent in training, where it is not by 1:
# a digit stays what it is, but clothes differ in their outline alone.
_DEFORMED = {'fashion_mnist': 0.0}


def make_config(
  data: Mapping[str, Any], classes: int | None, steps: int = 6000
) -> ConfigDict:
  """Returns the config of the classifier of a data set.

  Args:
    data: the group `data` of a config; gray values, no flips, all labels.
    classes: K; None for that of the data.
    steps: of training.
  """
  config = config_lib.default()
  config.steps = steps
  config.log_every = 500
  config.checkpoint.update(every=0, keep=1)
  config.data = dict(data)
  config.data.update(binarize='', flip=False, classes=(), labels_per_class=())
  config.objective = dict(
    name='classifier.Classifier',
    network=dict(
      name='classifier.ConvClassifier',
      classes=classes,
      channels=(32, 64, 128),
      kernel=5,
      features=128,
      dropout=0.4,
    ),
    noise='deformation',
    amount=_DEFORMED.get(data.get('dataset', data['name']), 1.0),
  )
  config.optim.model = dict(
    name='adam', learning_rate=1e-3, schedule='cosine', warmup=0, clip_norm=0.0
  )
  config.ema.model = max(1 - 10 / steps, 0.0)  # over a tenth of the steps
  config.evals = dict(classification=dict(name='classification.Error', every=0))
  return config


@dataclasses.dataclass(frozen=True)
class Yardstick:
  """A trained classifier.

  Attributes:
    hash: of its parameters, 12 hexadecimal digits.
    error: on the test split, in percent.
    players: of its objective.
    predict: its compiled functions.
  """

  hash: str
  error: float
  players: Any
  predict: Any

  def look(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits [N, K] and features [N, F] of images in [0, 1]."""
    logits, features = [], []
    for part, count in filled(images, _BATCH):
      batch = {'image': part}
      for name, into in (('classify', logits), ('features', features)):
        into.append(np.asarray(self.predict(name)(self.players, batch))[:count])
    return np.concatenate(logits), np.concatenate(features)


def load(data: Mapping[str, Any], classes: int) -> Yardstick:
  """Returns the classifier of a data set, and trains it if there is none."""
  config = make_config(data, classes)
  divide(config)
  return _load(config_lib.to_json(config), identity(config))


def divide(config: ConfigDict) -> None:
  """Makes its batch one that the devices divide which train it."""
  if process_group.count() == 1:  # else it is trained apart, on one
    config.batch_size = parallel.divisible(config.batch_size)


def identity(config: ConfigDict) -> str:
  """Returns a digest of what a config trains, and of the data it trains on."""
  experiment = Experiment(stages.plan(config)[0])
  data = [
    experiment.source(split).fingerprint
    for split in (config.data.train, config.data.test)
  ]
  # The other fields are those of the data set, whose content is known by now.
  own = config_lib.default().data
  rest = config.copy_and_resolve_references()
  rest.data = {k: v for k, v in config.data.items() if k in own}
  text = '\n'.join([config_lib.to_json(rest), *data])
  return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.lru_cache(maxsize=2)
def _load(text: str, name: str) -> Yardstick:
  trained = open_trained(text, name, 'classifiers')
  return Yardstick(
    hash=trained.hash,
    error=trained.latest['classification/error_percent'],
    players=trained.players,
    predict=trained.predict,
  )


class Trained(NamedTuple):
  """What was trained on first use.

  Attributes:
    hash: of its parameters, 12 hexadecimal digits.
    latest: the last value of each metric.
    players: of its objective, averaged.
    predict: its compiled functions, by name.
  """

  hash: str
  latest: dict[str, Any]
  players: Any
  predict: Any


def open_trained(text: str, name: str, kind: str) -> Trained:
  """Returns what a config describes, and trains it if there is none.

  Args:
    text: the config, as JSON.
    name: its `identity`.
    kind: 'classifiers' or 'scorers', the folder of the cache.
  """
  # Late, for the loop imports the evaluators.
  from gen_jax.training import trained
  from gen_jax.training.tasks import make_task

  config = config_lib.from_json(text)
  folder = settings.cache_folder() / kind / f'{config.data.name}-{name}'
  print(f'the {kind[:-1]} of {config.data.name} is {folder}', flush=True)
  if process_group.count() > 1:
    latest = apart.train(config, folder)
    players, experiment = apart.trained(config, folder)
  else:
    with turn(folder):
      latest = train_whole(config, folder)
      state, experiment = trained.open_trained(folder)
    players = averaged(state)
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(players):
    digest.update(np.asarray(leaf).tobytes())
  return Trained(
    hash=digest.hexdigest()[:12],
    latest=latest,
    players=players,
    predict=make_task(experiment).predict,
  )


@contextlib.contextmanager
def turn(folder: pathlib.Path) -> Iterator[None]:
  """Keeps other processes out of a folder; they wait, and find it trained."""

  def busy(owner):
    print(f'{owner} has {folder}: waiting for it', flush=True)

  with contextlib.ExitStack() as stack:
    try:
      folder.parent.mkdir(parents=True, exist_ok=True)
      file = folder.parent / f'{folder.name}.lock'
      stack.enter_context(file_lock.locked(file, busy))
    except OSError as error:
      raise InputError(
        f'{folder.parent} cannot be written: {error.strerror}; XDG_CACHE_HOME '
        'may name another folder.'
      ) from error
    yield


def train_whole(config: ConfigDict, folder: pathlib.Path) -> dict[str, Any]:
  """Trains to the end, within an evaluator, and returns the last metrics."""
  from gen_jax.training.loop import train

  if process_group.count() > 1:
    return apart.train(config, folder)
  _find_data(config, folder)
  with Stopper() as stopper:
    _, latest = train(config, folder, stopper)
  if stopper.requested:  # the signal was for the run around this one
    signal.raise_signal(signal.SIGTERM)
  return latest


def _find_data(config: ConfigDict, folder: pathlib.Path) -> None:
  """Writes where the data are now into the config of a folder in the cache.

  The name of the folder says that they are the same.
  """
  from gen_jax.training import trained

  file = folder / 'config.json'
  if not file.exists():
    return
  kept = trained.read_config(folder)
  kept.data = config.data
  partial = folder / 'config.partial'
  partial.write_text(config_lib.to_json(kept))
  partial.replace(file)
