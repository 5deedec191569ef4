"""Noise has the moments that it promises, by image and by key."""

import jax
import numpy as np
import pytest

from gen_jax.losses import corruption

KEY = jax.random.key(1)
IMAGES = np.random.default_rng(0).uniform(0.2, 1, (50, 20, 20, 3))
IMAGES = IMAGES.astype(np.float32)


def corrupt(name, images, level, key=KEY):
  """As one program."""
  return np.asarray(jax.jit(corruption.CORRUPTIONS[name])(images, level, key))


def test_gaussian_noise_has_its_deviation():
  noise = corrupt('gaussian', IMAGES, 0.3) - IMAGES
  assert float(noise.std()) == pytest.approx(0.3, rel=0.02)
  assert abs(float(noise.mean())) < 0.01


@pytest.mark.parametrize('name', ['masking', 'salt_and_pepper'])
def test_a_pixel_is_hit_in_all_channels_or_none(name):
  out = corrupt(name, IMAGES, 0.4)
  hit = np.any(out != IMAGES, axis=-1)
  assert hit.mean() == pytest.approx(0.4, abs=0.02)
  values = out[hit]  # [N, 3]
  assert np.all(values == values[:, :1])
  assert set(np.unique(values)) == ({0.0} if name == 'masking' else {0.0, 1.0})
  np.testing.assert_array_equal(out[~hit], IMAGES[~hit])


def test_salt_and_pepper_are_even():
  gray = np.full((50, 40, 40, 1), 0.5, np.float32)
  out = corrupt('salt_and_pepper', gray, 1.0)
  assert float(out.mean()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize('name', corruption.CORRUPTIONS)
def test_every_image_and_key_has_noise_of_its_own(name):
  fn = jax.jit(corruption.CORRUPTIONS[name])
  same = np.full((2, 20, 20, 1), 0.5, np.float32)
  out = np.asarray(fn(same, 0.4, KEY))
  assert np.any(out[0] != out[1])
  assert np.any(out != fn(same, 0.4, jax.random.key(2)))


def test_a_deformation_is_smooth_and_as_large_as_it_says():
  # The value of a pixel says where it comes from, as 100 + its place.
  half, inner, level = 20, slice(13, 28), 1.5
  place = np.arange(41) - half
  grid = np.stack(np.meshgrid(place, place, indexing='ij'), axis=-1) + 100.0
  images = np.broadcast_to(np.float32(grid), (500, 41, 41, 2))
  out = corrupt('deformation', images, level)
  moved = (out - grid)[:, inner, inner]  # [B, 15, 15, 2] pixels, y and x
  # At the center there are the shift and the smooth field.
  expected = level * (1 / 3 + 0.6**2) ** 0.5
  shift = moved[:, 7, 7]
  np.testing.assert_allclose(shift.std(axis=0), expected, rtol=0.1)
  np.testing.assert_allclose(shift.mean(axis=0), 0, atol=0.2)
  # The mean slope of x along y is the slant's, beside some of the field's.
  slope = (moved[:, -1, :, 1] - moved[:, 0, :, 1]).mean(axis=1) / 14
  slant = 2 * level / half / 3**0.5
  assert slant < slope.std() < 1.3 * slant
  bend = np.abs(np.diff(moved, 2, axis=1))
  assert 0 < bend.max() < 0.2 * level
  # Along a row nothing but the field changes how far pixels move up. It is a
  # sum of Gaussians of width 1/6, so that its correlation has root(2) of that.
  apart = (moved[:, :, -1, 0] - moved[:, :, 0, 0]) / (0.6 * level)
  correlation = np.exp(-((14 / 40) ** 2) / 4 * 6**2)
  variance = np.square(apart).mean()
  assert variance == pytest.approx(2 * (1 - correlation), rel=0.08)


def test_a_deformation_without_its_field_is_affine(monkeypatch):
  draws = np.random.default_rng(0).uniform(-1, 1, (5, 3, 1, 1))
  monkeypatch.setattr(jax.random, 'uniform', lambda *_, **__: draws)
  monkeypatch.setattr(jax.random, 'normal', lambda _, shape: np.zeros(shape))
  half, level = 10, 1.5
  y, x = np.meshgrid(*2 * [np.arange(-half, half + 1)], indexing='ij')
  grid = np.stack([y, x], axis=-1) + 100.0
  images = np.broadcast_to(np.float32(grid), (3, 21, 21, 2))
  out = corruption.deformation(images, level, KEY)
  shift_y, shift_x, stretch_y, stretch_x, slant = level * draws
  moved = np.stack(
    [
      shift_y + 2 / 3 * stretch_y * y / half,
      shift_x + 2 / 3 * stretch_x * x / half + 2 * slant * y / half,
    ],
    axis=-1,
  )
  inner = np.s_[:, 6:-6, 6:-6]  # whose pixels come from inside
  np.testing.assert_allclose(
    (out - grid)[inner], moved[inner], rtol=1e-3, atol=1e-4
  )


def test_a_deformation_of_nothing_is_the_image():
  out = corrupt('deformation', IMAGES, 0.0)
  np.testing.assert_allclose(out, IMAGES, atol=1e-6)
