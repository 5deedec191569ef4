"""Samples by class: of the requested class, and not memorized."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.features import reference_classifier
from gen_jax.evaluation.metrics.conditional_accuracy import (
  LabelAccuracy,
  Neighbors,
)

KEY = jax.random.key(0)


def stripes(labels, noise):
  """Images of 16x16 with lines across, with lines down, or without any."""
  lines = np.arange(16) // 4 % 2
  across = np.broadcast_to(lines[:, None], (16, 16))
  kinds = np.stack([across, across.T, np.zeros((16, 16))]).astype(np.float32)
  kinds = kinds if isinstance(labels, np.ndarray) else jnp.asarray(kinds)
  return 0.6 * kinds[labels][..., None] + 0.3 * noise


class Stripes:
  """Draws the class asked for but for one, which it takes for another."""

  pixels = 'unit'

  def __init__(self, wrong=None):
    self.wrong = wrong

  def predict_fns(self):
    def sample(players, *, key, num):
      return sample_classes(players, jnp.arange(num) % 3, key=key)

    def sample_classes(players, labels, *, key):
      labels = jnp.asarray(labels)
      if self.wrong is not None:
        labels = jnp.where(labels == self.wrong, (labels + 1) % 3, labels)
      return stripes(labels, jax.random.uniform(key, (len(labels), 16, 16, 1)))

    return {'sample': sample, 'sample_classes': sample_classes}


class Edges:
  hash, accuracy = 'abc', 1.0

  def extract(self, images):
    down, right = (
      np.abs(np.diff(images, axis=axis)).mean((1, 2, 3)) for axis in (1, 2)
    )
    return np.stack([down - right, right - down, 0 * down + 0.05], 1), images


def task(objective):
  labels = np.arange(600, dtype=np.int32) % 3
  noise = np.random.default_rng(0).uniform(size=(600, 16, 16, 1))
  image = (stripes(labels, noise) * 255).astype(np.uint8)
  arrays = {'image': image, 'label': labels}
  source = array_source('toy', 'train', arrays, ('a', 'b', 'c'))
  data = config_lib.default().data.to_dict()
  return Task(objective, lambda split: source, Preprocess('unit'), data)


def test_a_class_that_is_drawn_as_another_is_found(monkeypatch):
  monkeypatch.setattr(
    reference_classifier, 'load', lambda task, workdir: Edges()
  )
  right, wrong = (
    dict(LabelAccuracy(task(Stripes(w)), num=999).run({}, KEY))
    for w in (None, 1)
  )
  assert right['accuracy'] == 1
  assert (right['classifier_hash'], right['classifier_accuracy']) == ('abc', 1)
  assert wrong['accuracy'] == pytest.approx(2 / 3)
  assert (wrong['accuracy_a'], wrong['accuracy_b']) == (1, 0)


def test_a_model_without_classes_is_refused():
  class Plain(Stripes):
    def predict_fns(self):
      return {
        'sample': lambda players, *, key, num: jnp.zeros((num, 16, 16, 1))
      }

  with pytest.raises(InputError, match="Plain cannot 'sample_classes'"):
    task(Plain()).predict(*LabelAccuracy.needs)


def test_an_image_that_was_remembered_is_its_own_neighbor():
  toy = task(Stripes())

  class Parrot(Stripes):
    def predict_fns(self):
      images = toy.source('train').arrays['image'][:4] / 255

      def sample(players, *, key, num):
        return jnp.asarray(images[:num], jnp.float32)

      return {'sample': sample}

  parrot = task(Parrot())
  values = dict(Neighbors(parrot, rows=4, columns=2).run({}, KEY))
  assert values['distance'] == pytest.approx(0, abs=1e-3)
  sheet = values['neighbors']
  np.testing.assert_array_equal(sheet[2:18, 2:18], sheet[2:18, 20:36])
  values = dict(Neighbors(toy, rows=4, columns=2).run({}, KEY))
  assert values['distance'] > 0.1
