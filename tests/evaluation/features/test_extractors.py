"""Features by name: what they are, and that they tell images apart."""

import re

import jax
import numpy as np
import pytest
from drawn import drawn
from ml_collections import ConfigDict

from gen_jax.data.datasets import emoji
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task, TrainedModel
from gen_jax.evaluation.features import extractors
from gen_jax.evaluation.metrics import statistics
from gen_jax.models.classifier import ConvClassifier
from gen_jax.objectives.classifier import Classifier

SHAPE = (16, 16, 3)


def pixels(images):
  """A function of the user's."""
  return images.reshape(len(images), -1)


def brighter(images):
  return pixels(images) + 1


def maps(images):
  return images


def broken(images):
  return np.full((len(images), 2), np.nan)


def test_random_features_are_the_same_on_every_machine():
  first, again, other = (
    extractors.RandomFeatures(SHAPE, seed=seed) for seed in (0, 0, 1)
  )
  assert first.identity == again.identity == 'random f6940cf178d1'
  assert other.identity != first.identity
  weights = [np.asarray(w, np.float64) for w in first._weights]
  assert [w.shape for w in weights] == [
    (5, 5, 3, 32),
    (5, 5, 32, 64),
    (4 * 4 * 64, 64),
  ]
  for w in weights:  # the variance 2 / fan-in, of a uniform distribution
    fan_in = np.prod(w.shape[:-1])
    assert w.var() * fan_in == pytest.approx(2, rel=0.05)
    assert np.abs(w).max() <= np.sqrt(6 / fan_in)


@pytest.mark.parametrize('shape', [(28, 28, 1), (3, 5, 4), (1, 1, 1)])
def test_random_features_are_of_any_shape(shape):
  images = np.random.default_rng(0).uniform(size=(3, *shape))
  seen = extractors.load('random', shape).extract(images)
  assert seen.shape == (3, 64)
  assert np.all(np.isfinite(seen))


def test_random_features_by_their_definition():
  extractor = extractors.RandomFeatures((8, 8, 1), width=3, features=2)
  kernel, last = extractor._weights
  images = np.random.default_rng(0).uniform(size=(2, 8, 8, 1))
  x = jax.lax.conv_general_dilated(
    2 * images.astype(np.float32) - 1,
    kernel,
    (2, 2),
    'SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )
  expected = np.maximum(x, 0).reshape(2, -1) @ last
  np.testing.assert_allclose(
    extractor.extract(images), expected, rtol=1e-4, atol=1e-5
  )


def test_what_is_worse_is_farther():
  """Emoji are nearer to others than to the same ones damaged ever more."""
  real, other = (
    emoji.load(split, shape=SHAPE).arrays['image'][:200] / 255
    for split in ('train', 'test')
  )
  extractor = extractors.load('random', SHAPE)
  rng = np.random.default_rng(0)
  noise = rng.normal(size=other.shape)
  coarse = [
    other.reshape(-1, n, 16 // n, n, 16 // n, 3)
    .mean(axis=(2, 4), keepdims=True)
    .repeat(16 // n, axis=2)
    .repeat(16 // n, axis=4)
    .reshape(other.shape)
    for n in (8, 4, 2)
  ]
  noisy = [np.clip(other + s * noise, 0, 1) for s in (0.1, 0.3, 0.6)]
  few = [other[np.arange(len(other)) % n] for n in (50, 10, 2)]
  moments = statistics.moments(extractor.extract(real))
  for worse in (coarse, noisy, few):
    series = [
      statistics.frechet(statistics.moments(extractor.extract(x)), moments)
      for x in (other, *worse)
    ]
    assert series == sorted(series), series
    assert series[-1] > 2 * series[0]


def test_a_function_of_the_user():
  images = np.random.default_rng(0).uniform(size=(250, *SHAPE))
  name = f'{__name__}.pixels'
  extractor = extractors.load(name, SHAPE)
  expected = images.astype(np.float32).reshape(250, -1)
  np.testing.assert_array_equal(extractor.extract(images), expected)
  assert extractor.identity.startswith(f'{name} ')
  # Its hash is of what it makes of images, as a change of its weights shows.
  digests = [
    extractors.load(f'{__name__}.{f}', SHAPE).identity.split()[1]
    for f in ('pixels', 'brighter')
  ]
  assert digests[0] != digests[1]
  assert extractor.identity.split()[1] == digests[0]


def test_the_features_of_a_classifier_in_a_file():
  objective = Classifier(ConvClassifier(classes=3, channels=(4,), features=5))
  batch = {'image': np.zeros((1, *SHAPE)), 'label': np.zeros(1, np.int32)}
  players = drawn(objective.init, jax.random.key(0), batch)
  opened = []

  def open_trained(path):
    opened.append(path)
    return TrainedModel(objective, players, SHAPE, ('a', 'b', 'c'), {})

  task = Task(objective, None, None, open_trained=open_trained)
  extractor = extractors.load('some/inception.safetensors', SHAPE, task)
  images = np.random.default_rng(0).uniform(size=(7, *SHAPE)).astype('f4')
  expected = objective.features(players, {'image': images})
  np.testing.assert_allclose(extractor.extract(images), expected, atol=1e-5)
  assert re.fullmatch(r'inception [0-9a-f]{12}', extractor.identity)
  assert opened == ['some/inception.safetensors']
  with pytest.raises(InputError, match=r'of the shape \(8, 8, 3\)'):
    extractors.load('some/inception.safetensors', (8, 8, 3), task)
  # It is no code, so the config of a workdir may name it.
  config = ConfigDict({'evals': {'f': {'features': 'x.safetensors'}}})
  extractors.check_code(config, ['f'], ())


@pytest.mark.parametrize(
  'name,match',
  [
    ('randm', "'randm': expected 'auto', 'classifier', 'random', 'NAME"),
    ('no_such_module.f', "No module named 'no_such_module'"),
    (f'{__name__}.no_such', "no attribute 'no_such'"),
    (f'{__name__}.SHAPE', 'cannot be called'),
    (f'{__name__}.maps', r'returned \(4, 16, 16, 3\) for 4 images'),
    (f'{__name__}.broken', 'expected finite numbers'),
    ('classifier', "cannot compare these images. Use 'random'"),
  ],
)
def test_unknown_features_are_refused_with_a_reason(name, match):
  with pytest.raises(InputError, match=match):
    extractors.load(name, SHAPE)
