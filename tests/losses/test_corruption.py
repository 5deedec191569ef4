"""Noise has the moments that it promises, by image and by key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import corruption

KEY = jax.random.key(1)
IMAGES = jax.random.uniform(jax.random.key(0), (50, 20, 20, 3), minval=0.2)


def test_gaussian_noise_has_its_deviation():
  noise = corruption.gaussian(IMAGES, 0.3, KEY) - IMAGES
  assert float(noise.std()) == pytest.approx(0.3, rel=0.02)
  assert abs(float(noise.mean())) < 0.01


@pytest.mark.parametrize('name', ['masking', 'salt_and_pepper'])
def test_a_pixel_is_hit_in_all_channels_or_none(name):
  out = np.asarray(corruption.CORRUPTIONS[name](IMAGES, 0.4, KEY))
  hit = np.any(out != IMAGES, axis=-1)
  assert hit.mean() == pytest.approx(0.4, abs=0.02)
  values = out[hit]  # [N, 3]
  assert np.all(values == values[:, :1])
  assert set(np.unique(values)) == ({0.0} if name == 'masking' else {0.0, 1.0})
  np.testing.assert_array_equal(out[~hit], IMAGES[~hit])


def test_salt_and_pepper_are_even():
  out = corruption.salt_and_pepper(jnp.full((50, 40, 40, 1), 0.5), 1.0, KEY)
  assert float(out.mean()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize('name', corruption.CORRUPTIONS)
def test_every_image_and_key_has_noise_of_its_own(name):
  fn = corruption.CORRUPTIONS[name]
  same = jnp.full((2, 20, 20, 1), 0.5)
  out = fn(same, 0.4, KEY)
  assert np.any(out[0] != out[1])
  assert np.any(out != fn(same, 0.4, jax.random.key(2)))


def test_a_deformation_is_affine_and_no_larger_than_it_says():
  # The value of a pixel says where it comes from, as 100 + its place.
  half, inner = 20, slice(12, 29)
  place = np.arange(41) - half
  grid = np.stack(np.meshgrid(place, place, indexing='ij'), axis=-1) + 100.0
  images = jnp.broadcast_to(jnp.float32(grid), (200, 41, 41, 2))
  out = np.asarray(corruption.deformation(images, 2.0, KEY))
  moved = (out - grid)[:, inner, inner]  # [B, 17, 17, 2] pixels, y and x
  for axis in (1, 2):
    np.testing.assert_allclose(np.diff(moved, 2, axis), 0, atol=1e-3)
  shift = moved[:, 8, 8]
  assert 1.8 < np.abs(shift).max() <= 2.001
  np.testing.assert_allclose(shift.mean(axis=0), 0, atol=0.25)
  # Per pixel from the centre: each stretch, and the slant of x along y.
  along_y, along_x = np.diff(moved, axis=1), np.diff(moved, axis=2)
  largest = [
    half * np.abs(part).max()
    for part in (along_y[..., 0], along_x[..., 1], along_y[..., 1])
  ]
  assert np.all(np.array(largest) <= [1.35, 1.35, 4.01])
  assert np.all(np.array(largest) > [1.2, 1.2, 3.6])
  np.testing.assert_allclose(along_x[..., 0], 0, atol=1e-3)


def test_a_deformation_of_nothing_is_the_image():
  out = corruption.deformation(IMAGES, 0.0, KEY)
  np.testing.assert_allclose(out, IMAGES, atol=1e-6)
