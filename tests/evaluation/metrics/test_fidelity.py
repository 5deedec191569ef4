"""Fidelity of samples to real images."""

import jax
import numpy as np
import pytest
from drawn import drawn

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.features import reference_classifier
from gen_jax.evaluation.metrics.fidelity import Fidelity

KEY = jax.random.key(0)


class Uniform:
  """Draws images of the same distribution as the data, or brighter ones."""

  pixels = 'symmetric'

  def __init__(self, shift=0.0):
    self.shift = shift

  def predict_fns(self):
    def sample(players, *, key, num):
      return jax.random.uniform(key, (num, 2, 3, 1)) + self.shift - 0.5

    return {'sample': sample}


class Pixels:
  """A classifier whose features are the pixels themselves."""

  hash, accuracy = 'abc', 0.9

  def extract(self, images):
    flat = images.reshape(len(images), -1)
    return flat[:, :3], flat


def task(shift, classes=('a', 'b', 'c'), count=600):
  """Data uniform in [64, 191], as samples in [-.5, .5] are on that scale."""
  rng = np.random.default_rng(0)
  image = rng.integers(64, 192, (count, 2, 3, 1), np.uint8)
  source = array_source('toy', 'train', {'image': image}, classes)
  return Task(Uniform(shift), lambda split: source, Preprocess('symmetric'))


def test_samples_of_the_same_distribution_are_close(
  monkeypatch,
):
  monkeypatch.setattr(
    reference_classifier, 'load', lambda task, workdir: Pixels()
  )
  same, brighter = (
    dict(Fidelity(task(x), num=500, features='classifier').run({}, KEY))
    for x in (0.0, 0.4)
  )
  assert same['frechet'] < 0.002
  assert same['coverage'] > 0.9
  # Every one of 6 pixels is .2 brighter on the scale of [0, 1].
  assert brighter['frechet'] == pytest.approx(6 * 0.2**2, rel=0.1)
  assert brighter['kid'] > 10 * abs(same['kid'])
  assert brighter['coverage'] < 0.5
  assert same['classifier_hash'] == 'abc'
  assert same['classifier_accuracy'] == 0.9
  assert same['features_identity'] == 'classifier abc'
  assert same['real_images'] == 600


def test_data_without_labels_are_measured_by_other_features():
  same, brighter = (
    dict(Fidelity(task(s, (), 2000), num=300).run({}, KEY)) for s in (0.0, 0.4)
  )
  assert same['frechet'] < 0.3 * brighter['frechet']
  assert same['frechet'] == pytest.approx(same['frechet_train'], rel=1)
  assert same['features_identity'].startswith('random ')
  assert not {'classifier_hash', 'inception_score'} & set(same)
  with pytest.raises(InputError, match="needs labels.*'random'"):
    Fidelity(task(0.0, ()), features='classifier')


def test_a_distance_of_few_images_carries_a_warning():
  few = dict(Fidelity(task(0.0, ()), num=64, features='random').run({}, KEY))
  assert '64 examples with 64 features' in few['warning']
  more = dict(Fidelity(task(0.0, ()), num=65, features='random').run({}, KEY))
  assert 'warning' not in more


def test_features_are_what_the_logits_are_linear_in():
  from gen_jax.models.classifier import ConvClassifier
  from gen_jax.objectives.classifier import Classifier

  objective = Classifier(ConvClassifier(classes=3, channels=(4,), features=5))
  batch = {
    'image': np.random.default_rng(0).uniform(size=(6, 8, 8, 1)),
    'label': np.array([0, 1, 2, 0, 1, 2], np.int32),
  }
  batch['image'] = batch['image'].astype(np.float32)
  players = drawn(objective.init, KEY, batch)
  dense = players['model']['params']['Dense_1']

  @jax.jit
  def compute(players):
    return objective.features(players, batch), objective.classify(
      players, batch
    )

  features, logits = compute(players)
  np.testing.assert_allclose(
    logits,
    features @ dense['kernel'] + dense['bias'],
    rtol=1e-5,
  )
  # Dropout is for training alone.
  loss = jax.jit(objective.loss)
  losses = [
    float(loss(players, batch, key=jax.random.key(i), step=0)[0])
    for i in (0, 1)
  ]
  assert losses[0] != losses[1]
