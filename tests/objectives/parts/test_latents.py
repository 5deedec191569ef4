"""Priors of latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.objectives.parts.latents import GaussianMixture, Normal, Uniform


def moments(latents):
  draws = latents.sample(jax.random.key(0), 20_000)
  assert draws.shape == (20_000, latents.size)
  return np.mean(draws, axis=0), np.std(draws, axis=0)


def test_the_normal_and_the_uniform_distribution_have_their_moments():
  mean, deviation = moments(Normal(size=3))
  np.testing.assert_allclose(mean, 0, atol=0.03)
  np.testing.assert_allclose(deviation, 1, atol=0.03)
  mean, deviation = moments(Uniform(size=3))
  np.testing.assert_allclose(mean, 0, atol=0.03)
  np.testing.assert_allclose(deviation, 3**-0.5, atol=0.03)


def test_a_mixture_has_one_mean_on_each_of_the_first_axes():
  latents = GaussianMixture(size=4, components=3, radius=9.0)
  draws = latents.sample(jax.random.key(0), 9000)
  axis = jnp.argmax(draws, axis=-1)
  np.testing.assert_allclose(
    jnp.bincount(axis, length=4) / 9000, [1 / 3, 1 / 3, 1 / 3, 0], atol=0.02
  )
  for k in range(3):
    mine = draws[axis == k]
    np.testing.assert_allclose(
      mine.mean(0), 9 * np.eye(4)[k], atol=0.1, err_msg=str(k)
    )
    np.testing.assert_allclose(mine.std(0), 1, atol=0.1)


def test_a_mixture_needs_an_axis_for_each_component():
  with pytest.raises(InputError, match='components=5: .* latents.size=4'):
    GaussianMixture(size=4, components=5)
