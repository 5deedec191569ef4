"""Whether a collapse of the samples is seen, and said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.diversity import Diversity, distances

KEY = jax.random.key(0)


class Collapsed:
  """Draws uniform images, of which there are only so many."""

  pixels = 'unit'

  def __init__(self, modes, blur=1.0):
    self.modes, self.blur = modes, blur

  def predict_fns(self):
    def sample(players, *, key, num):
      images = jax.random.uniform(key, (self.modes, 3, 4, 1))
      return images[jnp.arange(num) % self.modes] * self.blur

    return {'sample': sample}


def run(modes, **fields):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (300, 3, 4, 1), np.uint8)
  source = array_source('toy', 'test', {'image': image}, ())
  task = Task(Collapsed(modes), lambda split: source, Preprocess('unit'))
  return dict(Diversity(task, **fields).run({}, KEY))


def test_samples_of_the_datas_distribution_are_as_diverse():
  values = run(500)
  assert set(values) == {'pairwise_distance_ratio', 'nearest_neighbor_ratio'}
  assert values['pairwise_distance_ratio'] == pytest.approx(1, abs=0.02)
  assert values['nearest_neighbor_ratio'] == pytest.approx(1, abs=0.05)


def test_one_image_for_all_latents_gives_a_warning():
  values = run(1)
  assert (
    values['pairwise_distance_ratio'] == values['nearest_neighbor_ratio'] == 0
  )
  assert '0% as far apart' in values['warning']
  assert 'objective.pack=2' in values['warning']


def test_few_distant_images_give_a_warning_too():
  values = run(8)
  assert values['pairwise_distance_ratio'] == pytest.approx(7 / 8, abs=0.1)
  assert values['nearest_neighbor_ratio'] == 0
  assert 'nearest other' in values['warning']
  assert 'warning' not in run(8, least=0.0)


def test_one_sample_has_no_distance_to_another():
  with pytest.raises(InputError, match='num=1: expected 2 or more'):
    run(8, num=1)


def test_distances_are_of_pairs_and_of_nearest_others():
  mean, nearest = distances(np.array([0.0, 1.0, 4.0]))
  assert mean == pytest.approx((1 + 4 + 3) / 3)
  assert nearest == pytest.approx((1 + 1 + 3) / 3)
