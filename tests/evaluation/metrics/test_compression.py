"""Compression: quantizers and code lengths against their definitions."""

import jax
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics import compression
from gen_jax.evaluation.metrics.compression import Compression

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def test_levels_are_equal_intervals_that_stand_for_their_centers():
  latents = np.linspace(0, 8, 10_001)[:, None]
  quantizer = compression.fit(latents, bits=2, outside=0.0)
  x = np.array([[-5.0], [0.1], [1.9], [2.1], [7.9], [50.0]])
  levels = quantizer.quantize(x)
  np.testing.assert_array_equal(levels.ravel(), [0, 0, 0, 1, 3, 3])
  np.testing.assert_allclose(
    quantizer.restore(levels).ravel(), [1, 1, 1, 3, 7, 7], rtol=1e-6
  )


def test_the_length_is_a_cross_entropy_in_bits():
  even = np.tile(np.arange(4.0), 25_000)[:, None]
  quantizer = compression.fit(np.hstack([even, 0 * even]), 2, 0.0)
  levels = quantizer.quantize(np.array([[0.0, 0.0], [3.0, 0.0]]))
  # Two bits of four even levels; none of a dimension that never changes.
  assert quantizer.code_bits(levels) == pytest.approx(2.0, abs=1e-3)
  # A level that no training code had: (1/2) / (N + 2).
  rare = quantizer.quantize(np.array([[0.0, 9.0]]))
  expected = 2 - np.log2(0.5 / (len(even) + 2))
  assert quantizer.code_bits(rare) == pytest.approx(expected, rel=1e-4)


class Half:
  """A code of the upper half of the image, pixel by pixel."""

  pixels = 'unit'

  def predict_fns(self):
    def decode(_, latents):
      upper = latents.reshape(-1, 2, 4, 1)
      return jax.numpy.concatenate([upper, 0 * upper], axis=1)

    return {
      'encode': lambda _, batch: batch['image'][:, :2].reshape(-1, 8),
      'decode': decode,
    }


def values(**fields):
  x = RNG.integers(0, 256, (130, 4, 4, 1), np.uint8)
  x[:, 2:] = 0
  source = array_source('toy', 'test', {'image': x})
  task = Task(Half(), lambda split: source, Preprocess('unit'))
  return dict(Compression(task, batch_size=50, shown=5, **fields).run({}, KEY))


def test_fewer_bits_cost_quality():
  out = values(outside=0.0)
  assert out['mse'] == 0
  # A uniform error of an interval's width: its square over 12, in half of the
  # pixels.
  for bits in (8, 4, 2):
    expected = (2.0**-bits) ** 2 / 12 / 2
    assert out[f'mse_{bits}bit'] == pytest.approx(expected, rel=0.1)
    assert out[f'raw_bits_{bits}bit'] == 8 * bits
    assert out[f'code_bits_{bits}bit'] <= 8 * bits * 1.01
  # PCA of eight components loses nothing here, but its quantized latents do.
  assert out['pca_mse'] == pytest.approx(0, abs=1e-8)
  assert out['pca_psnr_8bit'] > out['pca_psnr_4bit'] > out['pca_psnr_2bit']
  pad, side, rows = 2, 4, 5
  assert out['images'].shape[0] == rows * (side + pad) + pad
  assert out['psnr_by_code_bits'].dtype == np.uint8


@pytest.mark.parametrize(
  'fields,match',
  [({'bits': (0,)}, '1 to 12'), ({'outside': 1.0}, r'fraction in \[0, 1\)')],
)
def test_bad_fields_are_named(fields, match):
  with pytest.raises(InputError, match=match):
    values(**fields)
