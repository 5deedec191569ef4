"""Densities of latents, against closed forms and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.spatial import KDTree

from gen_jax.losses.densities import (
  DENSITIES,
  histogram,
  log_normal,
  neighbors,
)

LATENTS = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)


def test_log_normal_is_that_of_scipy():
  x, mean = np.array([[0.3, -1.0]]), np.array([[1.0, 2.0]])
  expected = scipy.stats.norm.logpdf(x, mean, np.exp(0.25))
  out = log_normal(jnp.asarray(x), jnp.asarray(mean), 0.5)
  np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_neighbors_are_those_of_a_tree():
  for k in (1, 4):
    distance = KDTree(LATENTS).query(LATENTS, k + 1)[0][:, k]
    np.testing.assert_allclose(
      neighbors(jnp.asarray(LATENTS), k), -3 * np.log(distance), atol=1e-3
    )


def test_equal_latents_are_as_dense_as_those_a_thousandth_of_their_size_apart():
  latents = jnp.asarray(LATENTS).at[8].set(LATENTS[9])
  size = np.mean(np.sum(np.square(latents - latents.mean(0)), axis=-1)) ** 0.5
  out = neighbors(latents)
  np.testing.assert_allclose(out[8:10], -3 * np.log(1e-3 * size), rtol=1e-4)


def test_neighbors_do_not_depend_on_the_mean_of_the_latents():
  latents = jnp.asarray(LATENTS, jnp.float32)
  np.testing.assert_allclose(
    neighbors(latents + 100), neighbors(latents), atol=0.02
  )


def test_the_histogram_is_the_product_over_dimensions():
  expected = np.zeros(200)
  for j in range(3):
    counts, edges = np.histogram(LATENTS[:, j], bins=10)
    place = np.clip(np.searchsorted(edges, LATENTS[:, j], 'right') - 1, 0, 9)
    expected += np.log(counts[place] / 200 + 0.01)
  out = np.asarray(histogram(jnp.asarray(LATENTS)))
  assert np.mean(np.abs(out - expected) < 1e-5) > 0.98  # but for ties at edges


@pytest.mark.parametrize('name', DENSITIES)
def test_a_code_apart_is_rare_and_equal_latents_are_finite(name):
  latents = jnp.asarray(LATENTS).at[7].set(9.0).at[8].set(LATENTS[9])
  out = DENSITIES[name](latents)
  assert int(jnp.argmin(out)) == 7
  assert np.all(np.isfinite(out))
  order = jax.random.permutation(jax.random.key(0), 200)
  np.testing.assert_allclose(
    DENSITIES[name](latents[order]), out[order], atol=1e-3
  )
