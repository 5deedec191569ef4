"""Penalties on codes, against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from gen_jax.losses import sparsity


def test_l1_sums_over_the_code_and_keeps_the_batch():
  codes = jnp.array([[1.0, -2.0, 0.0], [0.5, 0.5, 0.5]])
  np.testing.assert_allclose(sparsity.l1(codes), [3.0, 1.5])


def test_kl_is_that_of_scipy():
  rho = np.array([0.03, 0.1, 0.5, 0.9])
  expected = sum(scipy.stats.entropy([0.1, 0.9], [r, 1 - r]) for r in rho)
  out = sparsity.kl_bernoulli(jnp.asarray(rho, jnp.float32), 0.1)
  np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_kl_is_least_at_the_target_and_finite_at_its_ends():
  grad = jax.grad(sparsity.kl_bernoulli)(jnp.array([0.05, 0.1, 0.3]), 0.1)
  assert grad[0] < 0
  assert abs(grad[1]) < 1e-5
  assert grad[2] > 0
  assert np.isfinite(sparsity.kl_bernoulli(jnp.array([0.0, 1.0]), 0.1))
