"""Likelihoods: means over images, and over those of each class."""

import jax
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.likelihood import ELBO

IMAGES = np.array([0, 51, 102, 153, 204], np.uint8).reshape(5, 1, 1, 1)


class Fake:
  """The bound is minus the pixel, and a constant divergence its half."""

  pixels = 'unit'

  def predict_fns(self):
    return {
      'elbo': lambda _, batch, key: {
        'elbo': -batch['image'].sum((1, 2, 3)),
        'kl': 0 * batch['image'].sum((1, 2, 3)) + 0.5,
      }
    }


def task(**arrays):
  source = array_source('toy', 'test', {'image': IMAGES, **arrays}, ('a', 'b'))
  return Task(Fake(), lambda split: source, Preprocess('unit'))


def test_means_over_all_images_and_over_those_of_a_class():
  labels = np.array([0, 1, 0, 1, 1], np.int32)
  evaluator = ELBO(task(label=labels), by_class=True, batch_size=2)
  values = dict(evaluator.run({}, jax.random.key(0)))
  assert values == pytest.approx(
    {
      'elbo': -0.4,
      'kl': 0.5,
      'elbo_a': -0.2,
      'kl_a': 0.5,
      'elbo_b': -1.6 / 3,
      'kl_b': 0.5,
    }
  )


def test_classes_need_labels():
  assert set(dict(ELBO(task()).run({}, jax.random.key(0)))) == {'elbo', 'kl'}
  with pytest.raises(InputError, match='by_class=True needs labeled'):
    ELBO(task(), by_class=True)
