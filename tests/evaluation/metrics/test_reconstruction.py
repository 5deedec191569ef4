"""Evaluators of autoencoders, against their definitions."""

import jax
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.denoising import Denoising, psnr
from gen_jax.evaluation.metrics.probe import Probe
from gen_jax.evaluation.metrics.reconstruction import Error

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


class Fake:
  """A model whose code is the upper half of the image."""

  pixels = 'unit'

  def predict_fns(self):
    return {
      'encode': lambda _, batch: batch['image'][:, :4].reshape(
        len(batch['image']), -1
      ),
      'reconstruct': lambda _, batch, key: batch['image'].at[:, 4:].set(0),
      'corrupt': lambda _, batch, key: batch['image'] + 0.1,
    }


def task(arrays):
  source = array_source('toy', 'test', arrays)
  return Task(Fake(), lambda split: source, Preprocess('unit'))


def test_psnr_is_that_of_scikit_image():
  clean, noisy = RNG.uniform(size=(2, 5, 8, 8, 1))
  expected = [
    peak_signal_noise_ratio(a, b, data_range=1)
    for a, b in zip(clean, noisy, strict=True)
  ]
  np.testing.assert_allclose(psnr(clean, noisy), expected)


def test_errors_are_means_over_all_pixels_of_all_images():
  x = RNG.integers(0, 256, (25, 8, 8, 1), np.uint8)
  values = dict(Error(task({'image': x}), batch_size=10).run({}, KEY))
  expected = np.square(x[:, 4:] / 255).sum() / x.size
  assert values['mse'] == pytest.approx(expected, rel=1e-5)
  # As many components as images: PCA loses nothing.
  assert values['pca_mse'] == pytest.approx(0, abs=1e-8)


def test_the_probe_finds_what_the_code_holds_and_no_more():
  labels = RNG.integers(0, 2, 400).astype(np.int32)
  x = np.full((400, 8, 8, 1), 100, np.uint8)
  x += RNG.integers(0, 20, x.shape, np.uint8)
  upper, lower = x.copy(), x.copy()
  upper[:, 0, 0, 0] += 60 * labels.astype(np.uint8)
  lower[:, 7, 7, 0] += 60 * labels.astype(np.uint8)
  for images, low, high in ((upper, 0.95, 1.0), (lower, 0.3, 0.75)):
    arrays = {'image': images, 'label': labels}
    values = dict(Probe(task(arrays), num=400).run({}, KEY))
    assert low <= values['linear_accuracy'] <= high


def test_denoising_compares_with_the_noisy_image_and_draws_both():
  x = RNG.integers(50, 200, (12, 8, 8, 1), np.uint8)
  values = dict(
    Denoising(task({'image': x}), num=12, windows=(3,), shown=4).run({}, KEY)
  )
  assert values['noisy_psnr'] == pytest.approx(20, abs=0.01)
  assert values['denoised_psnr'] < values['noisy_psnr']
  assert values['denoising'].dtype == np.uint8
  assert values['noisy_ssim'] <= 1
