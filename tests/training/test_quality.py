"""That the models learn: short trainings of the shipped configs, at length."""

import pathlib

import pytest

from gen_jax import config as config_lib
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
  'variant,steps,elbo', [('dense', 6000, -100.0), ('', 1000, -95.0)]
)
def test_the_vae_reaches_its_bound_on_held_out_digits(
  variant, steps, elbo, tmp_path
):
  config = config_lib.load(f'{ROOT}/configs/vae.py:{variant}')
  config.steps = steps
  config.evals = {'elbo': {'name': 'likelihood.ELBO', 'every': 0}}
  _, metrics = train(config, tmp_path)
  assert metrics['elbo'] > elbo


def test_an_autoencoder_of_one_digit_detects_the_others(tmp_path):
  config = config_lib.load(f'{ROOT}/configs/autoencoder.py:one_class')
  config.data.classes, config.steps = (3,), 1000
  _, metrics = train(config, tmp_path)
  assert metrics['anomaly/error_auroc'] > 0.95
  assert metrics['anomaly/scaled_error_auroc'] > 0.97


def test_the_gan_covers_the_ring(tmp_path):
  config = config_lib.load(f'{ROOT}/configs/gan.py:ring')
  config.steps = 15_000
  _, metrics = train(config, tmp_path)
  assert metrics['modes/modes_covered'] == 8
  assert metrics['modes/high_quality'] > 0.9
  assert metrics['modes/reverse_kl'] < 0.03
