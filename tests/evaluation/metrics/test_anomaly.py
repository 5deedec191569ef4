"""Anomaly detection: the area under the ROC curve, and what is normal."""

import jax
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.data.subset import select
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.anomaly import Anomaly

KEY = jax.random.key(0)
NAMES = ('ant', 'bee', 'cat')
# Brightness is the score. Of the 4 x 3 pairs of an anomaly (bee, cat) and an
# ant, 8 are in the right order.
LABELS = np.array([0, 0, 0, 1, 1, 2, 2], np.int32)
LEVELS = np.array([10, 20, 90, 60, 15, 95, 30], np.uint8)


class Fake:
  pixels = 'unit'

  def predict_fns(self):
    return {
      'anomaly_scores': lambda _, batch, key: {
        'light': batch['image'].mean((1, 2, 3)),
        'noise': jax.random.normal(key, batch['label'].shape)
        + (batch['label'] > 0),
      },
      'reconstruct': lambda _, batch, key: 1 - batch['image'],
    }


def task(classes=(0,), labels=LABELS):
  images = np.broadcast_to(LEVELS[:, None, None, None], (7, 4, 4, 1))
  arrays = {'image': images}
  if labels is not None:
    arrays['label'] = labels
  whole = array_source('toy', 'test', arrays, NAMES)
  train = select(whole, classes=classes) if classes else whole
  return Task(Fake(), {'train': train, 'test': whole}.get, Preprocess('unit'))


def test_the_area_is_the_share_of_pairs_in_order():
  values = dict(Anomaly(task(), by_class=True, batch_size=3).run({}, KEY))
  assert values['normal'] == 'ant'
  assert values['light_auroc'] == pytest.approx(8 / 12)
  assert values['light_auroc_bee'] == pytest.approx(3 / 6)
  assert values['light_auroc_cat'] == pytest.approx(5 / 6)
  # The recall rises at ranks 1, 3, 4 and 6.
  assert values['light_average_precision'] == pytest.approx(
    (1 / 1 + 2 / 3 + 3 / 4 + 4 / 6) / 4
  )


def test_the_training_classes_are_normal_unless_others_are_named():
  both = dict(Anomaly(task(classes=(0, 1))).run({}, KEY))
  named = dict(Anomaly(task(()), normal=('ant', 1)).run({}, KEY))
  assert both['normal'] == named['normal'] == 'ant,bee'
  assert both['light_auroc'] == named['light_auroc'] == pytest.approx(8 / 10)


def test_draws_of_a_random_score_are_averaged():
  one, many = (
    dict(Anomaly(task(), draws=n).run({}, KEY))['noise_auroc'] for n in (1, 200)
  )
  assert many == 1.0
  assert one < 1.0


def test_the_figure_shows_extremes_and_mistakes_above_their_reconstruction():
  sheet = dict(Anomaly(task(), shown=2).run({}, KEY))['anomalies'][..., 0]
  cells = sheet[4::6, 4::6]  # [8, 2]
  np.testing.assert_array_equal(
    cells[::2], [[95, 90], [10, 15], [15, 30], [90, 20]]
  )
  np.testing.assert_array_equal(cells[1::2], 255 - cells[::2])


@pytest.mark.parametrize(
  'make,match',
  [
    (lambda: Anomaly(task(())), r'all of the split.*data\.classes=3'),
    (lambda: Anomaly(task(), normal=('dog',)), "normal: .*'dog'"),
    (lambda: Anomaly(task(), num=1), 'of the split'),
    (lambda: Anomaly(task((), labels=None)), 'labeled'),
    (lambda: Anomaly(task(), draws=0), 'draws=0'),
  ],
)
def test_splits_without_both_kinds_are_refused_before_training(make, match):
  with pytest.raises(InputError, match=match):
    make()
