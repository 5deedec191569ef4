"""The judge of whether a picture fits a caption.

It is a reader and a looker trained on the training captions and images alone,
by itself: with other networks, another seed and other hashes of words than the
encoder with which a model was trained. It is made on first use and kept, as the
classifier of `yardstick.py`.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.errors import InputError
from gen_jax.evaluation.context import filled
from gen_jax.evaluation.features import reference_classifier

_BATCH = 100


def make_config(data: Mapping[str, Any], steps: int = 2000) -> ConfigDict:
  """Returns the config of the scorer of a data set.

  Args:
    data: the group `data` of a config, with words.
    steps: of training.
  """
  if not data.get('words'):
    raise InputError(
      'config.evals: a score of captions needs their words: set data.words.'
    )
  config = config_lib.default()
  config.seed = 1000
  config.steps = steps
  config.batch_size = 128
  config.log_every = 500
  config.checkpoint.update(every=0, keep=1)
  # It has a reader of its own, the same beside any model of sentences.
  config.data = {k: v for k, v in data.items() if k != 'sentence_model'}
  config.data.update(binarize='', flip=False, classes=(), labels_per_class=())
  config.objective = dict(
    name='contrastive.Contrastive',
    text=dict(
      name='text.Encoder',
      features=64,
      buckets=10_007,
      width=64,
      hidden=128,
      dropout=0.3,
    ),
    image=dict(
      name='classifier.ConvClassifier',
      classes=64,
      channels=(32, 64, 96, 128),
      kernel=3,
      features=128,
      dropout=0.4,
    ),
    temperature=0.1,
    noise='deformation',
    amount=3.0,
  )
  for player in ('text', 'image'):
    config.optim[player] = dict(
      name='adamw', learning_rate=1e-3, schedule='cosine', weight_decay=1e-2
    )
    config.ema[player] = max(1 - 10 / steps, 0.0)
  config.evals = dict(retrieval=dict(name='retrieval.Reals', every=0))
  return config


@dataclasses.dataclass(frozen=True)
class Scorer:
  """A trained scorer.

  Attributes:
    hash: of its parameters, 12 hexadecimal digits.
    players: of its objective.
    predict: its compiled functions.
  """

  hash: str
  players: Any
  predict: Any

  def look(self, images: np.ndarray) -> np.ndarray:
    """Returns vectors [N, E] of images in [0, 1]."""
    return self._run('encode_image', 'image', images)

  def read(self, captions: np.ndarray) -> np.ndarray:
    """Returns vectors [N, E] of the first of captions [N, K, words, P]."""
    return self._run('encode_text', 'text', captions)

  def _run(self, name, field, x):
    predict, out = self.predict(name), []
    for part, count in filled(x, _BATCH):
      out.append(np.asarray(predict(self.players, {field: part}))[:count])
    return np.concatenate(out)


def load(data: Mapping[str, Any], steps: int = 2000) -> Scorer:
  """Returns the scorer of a data set, and trains it if there is none."""
  config = make_config(data, steps)
  reference_classifier.divide(config)
  return _load(
    config_lib.to_json(config), reference_classifier.identity(config)
  )


@functools.lru_cache(maxsize=2)
def _load(text: str, name: str) -> Scorer:
  trained = reference_classifier.open_trained(text, name, 'scorers')
  return Scorer(trained.hash, trained.players, trained.predict)
