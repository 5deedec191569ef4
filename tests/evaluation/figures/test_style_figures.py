"""Figures of styles and noise, on a generator whose images are plain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.figures.style_figures import (
  Mixing,
  Noise,
  Truncation,
  Walk,
)

KEY = jax.random.key(0)


class Plain:
  """An image of a pixel for each layer, its gray value the style's number."""

  pixels = 'unit'

  def __init__(self, layers=4, noise=0.0):
    self.layers, self.noise = layers, noise

  def predict_fns(self):
    def synthesize(_, styles, *, key):
      images = styles.reshape(-1, 1, self.layers, 1)
      noise = jax.random.normal(key, (1, 1, self.layers, 1))
      return images + self.noise * noise

    def map_(_, codes):
      return jnp.repeat(codes[:, None], self.layers, axis=1)

    return {
      'sample_latents': lambda _, *, key, num: (
        0.5 + jnp.arange(num)[:, None] / 20
      ),
      'map_latents': map_,
      'synthesize': synthesize,
      'w_avg': lambda _: jnp.asarray([0.5]),
    }


def task(**fields):
  image = np.zeros((1, 1, 4, 1), np.uint8)
  source = array_source('toy', 'train', {'image': image})
  return Task(Plain(**fields), lambda split: source, Preprocess('unit'))


def tiles(sheet, columns, width):
  """The images of a grid in [0, 1], [rows, columns, width]."""
  rows = (sheet.shape[0] - 2) // 3
  return np.array(
    [
      [
        sheet[2 + 3 * r, 2 + (width + 2) * c : 2 + (width + 2) * c + width, 0]
        for c in range(columns)
      ]
      for r in range(rows)
    ]
  ) / np.float32(255)


def test_truncation_goes_to_the_mean_and_beyond():
  figure = Truncation(task(), rows=3, psis=(1.0, 0.5, 0.0, -1.0))
  sheet = dict(figure.run({}, KEY))['truncation']
  row = tiles(sheet, 4, 4)[2, :, 0]  # of the code .6
  np.testing.assert_allclose(row, [0.6, 0.55, 0.5, 0.4], atol=0.003)


@pytest.mark.parametrize(
  'layers,given',
  [
    (8, {'coarse': [0, 1], 'middle': [2, 3], 'fine': [4, 5, 6, 7]}),
    (10, {'coarse': [0, 1, 2, 3], 'middle': [4, 5, 6, 7], 'fine': [8, 9]}),
    (4, {'coarse': [0, 1], 'middle': [2, 3]}),
  ],
)
def test_mixing_gives_layers_of_the_top_to_the_left(layers, given):
  figure = Mixing(task(layers=layers), rows=1, columns=2)
  sheets = dict(figure.run({}, KEY))
  assert set(sheets) == set(given)
  for name, indices in given.items():
    grid = tiles(sheets[name], 3, layers)
    np.testing.assert_allclose(grid[0, 1:, 0], [0.55, 0.6], atol=0.003)
    np.testing.assert_allclose(grid[1, 0], 0.5, atol=0.003)
    expected = np.full((2, layers), 0.5)
    expected[0, indices], expected[1, indices] = 0.55, 0.6
    np.testing.assert_allclose(grid[1, 1:], expected, atol=0.003)


def test_noise_is_averaged_and_its_deviation_measured():
  figure = Noise(task(noise=0.05), rows=1, shown=2, draws=400)
  out = dict(figure.run({}, KEY))
  assert out['deviation'] == pytest.approx(0.05, rel=0.1)
  row = tiles(out['noise'], 4, 4)[0]
  np.testing.assert_allclose(row[2], 0.5, atol=0.01)
  assert row[3].max() == 1


def test_a_walk_returns_to_its_start():
  figure = Walk(task(), tiles=1, stops=2, frames=4, psi=1.0)
  frames = dict(figure.run({}, KEY))['walk']
  values = frames[:, 2, 2, 0] / np.float32(255)
  expected = 0.5 + np.array([0, 1, 2, 3, 4, 3, 2, 1]) / 80
  np.testing.assert_allclose(values, expected, atol=0.003)
