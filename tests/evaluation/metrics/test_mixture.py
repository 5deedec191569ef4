"""A mixture over the latents: its draws and likelihoods."""

import jax
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task, stratified_rows
from gen_jax.evaluation.metrics import mixture
from gen_jax.evaluation.metrics.mixture import Samples

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def latents(num=4000):
  """Two clouds, one of them three times as frequent, with a tilt."""
  tilt = np.array([[1.0, 0.0], [0.9, 0.1]])
  one, two = RNG.normal(size=(2, num, 2)) @ tilt.T
  first = RNG.uniform(size=(num, 1)) < 0.25
  return np.where(first, one - 10, two + 10).astype(np.float32)


def test_draws_have_the_moments_of_the_latents():
  x = latents()
  draws = np.asarray(mixture.fit(x, 2, '').sample(KEY, 8000))
  assert np.mean(draws[:, 0] < 0) == pytest.approx(0.25, abs=0.02)
  for side in (-1, 1):
    a, b = (c[side * c[:, 0] > 0] for c in (x, draws))
    np.testing.assert_allclose(a.mean(0), b.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(a.T), np.cov(b.T), atol=0.08)


def test_the_same_latents_give_the_same_mixture():
  x = latents(500)
  a, b = (np.asarray(mixture.fit(x, 3, '').sample(KEY, 5)) for _ in range(2))
  np.testing.assert_array_equal(a, b)


class Pixels:
  """The code is the image."""

  pixels = 'unit'

  def predict_fns(self):
    return {
      'encode': lambda _, batch: batch['image'].reshape(-1, 4),
      'decode': lambda _, latents: latents.reshape(-1, 2, 2, 1),
    }


def test_log_likelihoods_are_means_over_latents():
  x = RNG.integers(0, 256, (300, 2, 2, 1), np.uint8)
  source = array_source('toy', 'test', {'image': x})
  task = Task(Pixels(), lambda split: source, Preprocess('unit'))
  out = dict(Samples(task, components=1, train=200, shown=9).run({}, KEY))
  flat = x.reshape(300, 4) / 255
  train = flat[stratified_rows(300, 200)]
  one = GaussianMixture(1).fit(train)
  assert out['train_log_likelihood'] == pytest.approx(one.score(train))
  assert out['test_log_likelihood'] == pytest.approx(one.score(flat), rel=1e-3)
  assert out['samples'].shape == (14, 14, 1)
  with pytest.raises(InputError, match='components=301: expected 1 to 300'):
    dict(Samples(task, components=301).run({}, KEY))
