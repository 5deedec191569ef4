"""The error of a classifier, against a count by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.classification import Error

KEY = jax.random.key(0)


class Reader:
  """Takes an image for the class that its first pixel names."""

  pixels = 'unit'

  def predict_fns(self):
    return {
      'classify': lambda _, batch: jax.nn.one_hot(
        jnp.round(batch['image'][:, 0, 0, 0] * 255).astype(int), 3
      )
    }


def task(**arrays):
  source = array_source('toy', 'test', arrays, ('a', 'b', 'c'))
  return Task(Reader(), lambda split: source, Preprocess('unit'))


def test_the_error_counts_each_image_once():
  labels = np.arange(25, dtype=np.int32) % 3
  seen = labels.copy()
  seen[[0, 7]] = (labels[[0, 7]] + 1) % 3
  images = np.broadcast_to(seen[:, None, None, None], (25, 4, 4, 1))
  evaluator = Error(task(image=images.astype('uint8'), label=labels))
  # 25 is no multiple of the batch: what fills up the last one is not counted.
  for batch_size in (10, 25):
    evaluator = Error(evaluator.task, batch_size=batch_size)
    values = dict(evaluator.run({}, KEY))
    assert values['error'] == pytest.approx(0.08)
    expected = (0.08 * 0.92) ** 0.5 / 5
    assert values['standard_error'] == pytest.approx(expected)
    assert values['images'] == 25
    assert values['confusion'].dtype == np.uint8


def test_a_split_without_labels_is_refused():
  images = np.zeros((5, 4, 4, 1), np.uint8)
  with pytest.raises(InputError, match='labels'):
    dict(Error(task(image=images)).run({}, KEY))
