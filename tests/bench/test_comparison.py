"""The comparison of a VAE, a GAN and a conditional GAN."""

import json

import numpy as np
import pytest
from PIL import Image

from bench import comparison
from gen_jax.config import stages
from gen_jax.training.experiment import Experiment, resolve


@pytest.fixture
def runs(tmp_path):
  """Workdirs with two logs and samples at two times."""
  for _, variant, losses in comparison.MODELS:
    images = tmp_path / variant / 'images' / 'samples'
    images.mkdir(parents=True)
    for step in (0, 300):
      Image.new('L', (302, 302), step % 255).save(images / f'{step}.png')
    rows = [
      {'step': step, 'time/steps_per_second': speed, **dict.fromkeys(losses, 1)}
      for step, speed in ((120, 2.0), (300, 3.0))
    ]
    lines = '\n'.join(map(json.dumps, [*rows, {'step': 300, 'other': 1}]))
    (tmp_path / variant / 'metrics.jsonl').write_text(lines)
  return tmp_path


def test_minutes_count_training_alone(runs):
  np.testing.assert_allclose(comparison.minutes(runs / 'gan'), [1.0, 2.0])


def test_the_pictures_show_all_models(runs):
  samples = comparison.draw_samples(runs)
  assert samples.width > 2 * 150 and samples.height > 3 * 150
  assert len(comparison.draw_losses(runs).axes) == 3


def test_the_table_has_a_column_for_each_model():
  results = {'VAE': {'steps': 3}, 'GAN': {'steps': 4, 'frechet': 1.5}}
  assert comparison.table(results).splitlines() == [
    '| | VAE | GAN |',
    '|---|---|---|',
    '| steps | 3 | 4 |',
    '| frechet |  | 1.500 |',
  ]


def test_the_models_have_equally_many_parameters():
  counts = []
  for _, variant, _ in comparison.MODELS:
    config = resolve(comparison.load(variant))
    experiment = Experiment(stages.plan(config)[0])
    counts.append(comparison.parameters(experiment.init_players()))
  assert max(counts) < 1.03 * min(counts)
