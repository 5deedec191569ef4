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
