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


def test_a_deformation_is_smooth_and_as_large_as_it_says():
  # The value of a pixel says where it comes from, as 100 + its place.
  half, inner, amount = 20, slice(13, 28), 1.5
  place = np.arange(41) - half
  grid = np.stack(np.meshgrid(place, place, indexing='ij'), axis=-1) + 100.0
  images = jnp.broadcast_to(jnp.float32(grid), (500, 41, 41, 2))
  out = np.asarray(corruption.deformation(images, amount, KEY))
  moved = (out - grid)[:, inner, inner]  # [B, 15, 15, 2] pixels, y and x
  # At the centre there are the shift and the smooth field.
  expected = amount * (1 / 3 + 0.6**2) ** 0.5
  shift = moved[:, 7, 7]
  np.testing.assert_allclose(shift.std(axis=0), expected, rtol=0.1)
  np.testing.assert_allclose(shift.mean(axis=0), 0, atol=0.2)
  # The mean slope of x along y is the slant's, beside some of the field's.
  slope = (moved[:, -1, :, 1] - moved[:, 0, :, 1]).mean(axis=1) / 14
  slant = 2 * amount / half / 3**0.5
  assert slant < slope.std() < 1.3 * slant
  bend = np.abs(np.diff(moved, 2, axis=1))
  assert 0 < bend.max() < 0.2 * amount


def test_a_deformation_of_nothing_is_the_image():
  out = corruption.deformation(IMAGES, 0.0, KEY)
  np.testing.assert_allclose(out, IMAGES, atol=1e-6)
