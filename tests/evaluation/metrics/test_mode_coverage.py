"""Coverage of modes, for samplers whose scores are known."""

import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.commands import sample
from gen_jax.config import presets
from gen_jax.data.datasets import toy
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.features import reference_classifier
from gen_jax.evaluation.metrics.mode_coverage import (
  StackedModes,
  balance,
  measure,
)
from gen_jax.storage import plot
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[3]

GRID = toy.find('grid')


def draw(num, modes=range(25), scale=1.0, seed=0):
  rng = np.random.default_rng(seed)
  mode = rng.choice(list(modes), num)
  noise = scale * GRID.deviation * rng.normal(size=(num, 2))
  return np.array(GRID.centers)[mode] + noise


def test_exact_samples():
  values = measure(draw(100_000), GRID)
  assert values['modes_covered'] == 25
  assert values['high_quality'] == pytest.approx(1 - np.exp(-4.5), abs=0.002)
  assert values['reverse_kl'] == pytest.approx(0, abs=0.001)
  assert values['spread'] == pytest.approx(1, abs=0.01)
  values = measure(draw(2500), GRID)
  assert values['reverse_kl'] == pytest.approx(24 / 5000, abs=0.004)


def test_modes_that_are_missing():
  values = measure(draw(20_000, modes=range(5)), GRID)
  assert values['modes_covered'] == 5
  assert values['reverse_kl'] == pytest.approx(np.log(5), abs=0.01)


def test_samples_that_are_too_wide_or_too_narrow():
  wide, narrow = (measure(draw(20_000, scale=s), GRID) for s in (2.0, 0.5))
  assert wide['high_quality'] == pytest.approx(1 - np.exp(-4.5 / 4), abs=0.01)
  assert narrow['high_quality'] == pytest.approx(1, abs=1e-3)
  assert narrow['spread'] == pytest.approx(0.25 / 0.9494, rel=0.02)
  assert wide['spread'] > 1.3


def test_samples_of_no_mode_count_for_nothing():
  values = measure(np.full((100, 2), 1.0), GRID)
  assert values == {
    'modes_covered': 0,
    'high_quality': 0,
    'reverse_kl': pytest.approx(np.log(25)),
  }


def test_the_figure_shows_samples_on_data():
  data = draw(200).reshape(-1, 1, 1, 2)
  picture = plot.scatter(data[:100], behind=data)
  assert picture.ndim == 3 and picture.dtype == np.uint8
  assert plot.draw(data, 'unit').shape == picture.shape


def plane():
  """A run of no length on the ring."""
  config = config_lib.load(f'{ROOT}/configs/gan.py:ring')
  config.steps, config.batch_size = 2, 8
  config.objective.gen.hidden = config.objective.disc.hidden = (4,)
  del config.evals['diversity']
  return config


def test_points_are_trained_on_drawn_and_counted(tmp_path):
  _, metrics = train(plane(), tmp_path)
  assert 0 <= metrics['modes/high_quality'] <= 1
  assert metrics['modes/num'] == 2500
  for name in ('reals', 'samples/2', 'modes/2'):
    picture = np.asarray(Image.open(tmp_path / 'images' / f'{name}.png'))
    assert picture.shape[:2] == (600, 700)
  out = tmp_path / 'points.npz'
  args = [f'--workdir={tmp_path}', f'--out={out}', '--num=3']
  assert sample.main(args) == 0
  points = np.load(out)['images']
  assert points.shape == (3, 1, 1, 2) and points.dtype == np.float32


def test_an_unknown_mixture_is_named_before_training(tmp_path):
  config = plane()
  config.data.mixture = 'rings'
  with pytest.raises(InputError, match='"ring"'):
    train(config, tmp_path)


# Stacked MNIST.


class Corner:
  """Reads the digit off one pixel, as tenths of its brightness."""

  hash, accuracy = 'abc', 0.9

  def extract(self, images):
    digit = np.minimum(np.round(images[:, 0, 0, 0] * 10).astype(int), 9)
    return np.eye(10)[digit], None


def stacks(triples):
  """Images [N, 28, 28, 3] in [0, 1] that `Corner` reads as these digits."""
  images = np.zeros((len(triples), 28, 28, 3), np.float32)
  images[:, 0, 0] = np.asarray(triples) / 10
  return images


class Cycle:
  """Draws these triples over and over."""

  pixels = 'unit'

  def __init__(self, triples):
    self.images = stacks(triples)

  def predict_fns(self):
    def draw(players, *, key, num):
      return self.images[np.arange(num) % len(self.images)]

    return {'sample': draw}


def stacked(triples, data=((1, 2, 3), (4, 5, 6)), num=40, **fields):
  image = np.round(stacks(data) * 255).astype(np.uint8)
  source = array_source('stacked_mnist', 'test', {'image': image})
  task = Task(
    Cycle(triples),
    lambda split: source,
    Preprocess('unit'),
    {'name': 'stacked_mnist', **fields},
  )
  return dict(StackedModes(task, num=num).run({}, jax.random.key(0)))


def test_triples_of_digits_are_counted(monkeypatch):
  asked = []

  def packaged(name):
    asked.append(name)
    return Corner()

  monkeypatch.setattr(reference_classifier, 'packaged', packaged)
  values = stacked([(0, 0, 7), (0, 7, 0), (7, 0, 0), (9, 9, 9)])
  assert values['modes_covered'] == 4
  assert values['reverse_kl'] == pytest.approx(np.log(1000 / 4))
  assert values['modes_covered_real'] == 2
  assert values['reverse_kl_real'] == pytest.approx(np.log(1000 / 2))
  odd = [(i // 100, i // 10 % 10, i % 10) for i in range(1, 1000, 2)]
  values = stacked(odd, num=1000)
  assert values['modes_covered'] == 500
  assert values['reverse_kl'] == pytest.approx(np.log(2))
  assert set(asked) == {'mnist'}  # each channel is a digit
  assert values['classifier_hash'] == 'abc'


def test_the_balance_of_counts_in_closed_form():
  assert balance(np.array([1, 1, 2, 0])) == {
    'modes_covered': 3,
    'reverse_kl': pytest.approx(np.log(4) - 1.5 * np.log(2)),
  }
  # 999 / (2 N) nats, chi-squared by N, for a perfect sampler.
  draws = np.random.default_rng(0).integers(0, 1000, 26_000)
  values = balance(np.bincount(draws, minlength=1000))
  assert values['modes_covered'] == 1000
  assert values['reverse_kl'] == pytest.approx(999 / 52_000, rel=0.1)


def test_stacked_modes_are_of_stacks_alone():
  with pytest.raises(InputError, match="data.name='stacked_mnist'"):
    StackedModes(Task(Cycle([(1, 2, 3)]), None, None, {'name': 'mnist'}))


def test_stacks_are_trained_on_and_measured(monkeypatch, tmp_path):
  monkeypatch.setattr(reference_classifier, 'packaged', lambda name: Corner())
  config = config_lib.load(f'{ROOT}/configs/dcgan.py:packed')
  presets.test(config)
  config.batch_size = 16
  config.objective.gen = dict(name='dense.Generator', shape=None, hidden=(4,))
  config.objective.disc = dict(name='dense.Discriminator', hidden=(4,))
  config.objective.regularizers = {}
  config.evals = {'modes': {'name': 'mode_coverage.StackedModes', 'num': 30}}
  _, metrics = train(config, tmp_path)
  assert 1 <= metrics['modes/modes_covered'] <= 30
  assert metrics['modes/modes_covered_real'] >= 1
