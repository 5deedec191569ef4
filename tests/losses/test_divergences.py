"""Divergences against numerical integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from gen_jax.losses import divergences


@pytest.mark.parametrize('mean,log_variance', [(0, 0), (1.5, -2), (-0.3, 1)])
def test_kl_is_the_integral(mean, log_variance):
  q = scipy.stats.norm(mean, np.exp(log_variance / 2))

  def integrand(z):
    return q.pdf(z) * (q.logpdf(z) - scipy.stats.norm.logpdf(z))

  expected, _ = scipy.integrate.quad(integrand, -15, 15)
  out = divergences.kl_standard_normal(
    jnp.float32(mean), jnp.float32(log_variance)
  )
  assert float(out) == pytest.approx(expected, abs=1e-6)


def test_kl_keeps_its_digits_near_the_prior():
  out = divergences.kl_standard_normal(jnp.float32(0), jnp.float32(1e-3))
  expected = 0.5 * (np.expm1(1e-3) - 1e-3)
  assert float(out) == pytest.approx(expected, rel=1e-3)


def test_free_bits_hinge_each_dimension():
  kl = jnp.array([0.1, 0.5, 2.0])
  value, grad = jax.value_and_grad(divergences.free_bits)(kl, 0.3)
  assert float(value) == pytest.approx(0.3 + 0.5 + 2.0)
  np.testing.assert_array_equal(grad, [0, 1, 1])
