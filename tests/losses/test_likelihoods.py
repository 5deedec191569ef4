"""Likelihoods against SciPy and closed forms in float64."""

import functools

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from gen_jax.losses import likelihoods

LOGITS = np.array([-800.0, -30.0, -3.0, -0.05, 0.0, 0.02, 2.0, 40.0, 900.0])


def images(values):
  return np.float32(values).reshape(1, -1, 1, 1)


def test_bernoulli_is_the_log_probability_of_binary_pixels():
  logits = np.array([-3.0, -0.5, 0.0, 1.0, 4.0])
  x = np.array([0, 1, 1, 0, 1])
  expected = -scipy.stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum()
  out = jax.jit(likelihoods.bernoulli)(images(x), images(logits))
  np.testing.assert_allclose(out, [expected], rtol=1e-6)


@functools.cache
def value_and_grad(name):
  def total(logits, x):
    return getattr(likelihoods, name)(x, logits).sum()

  return jax.jit(jax.value_and_grad(total))


@pytest.mark.parametrize(('x', 'logit'), [(1.0, 15.0), (0.0, -15.0)])
def test_a_sure_right_pixel_has_a_loss_and_a_gradient(x, logit):
  value, grad = value_and_grad('bernoulli')(images([logit]), images([x]))
  assert float(value) == pytest.approx(3.059e-7, rel=1e-3)
  assert abs(float(grad.sum())) == pytest.approx(3.059e-7, rel=1e-3)


@pytest.mark.parametrize('x', [0.0, 0.3, 1.0])
@pytest.mark.parametrize('name', ['bernoulli', 'continuous_bernoulli'])
def test_losses_and_gradients_are_finite_at_any_logit(name, x):
  value, grad = value_and_grad(name)(images(LOGITS), images(x + 0 * LOGITS))
  assert np.isfinite(value)
  assert np.all(np.isfinite(grad))


def test_a_sure_wrong_pixel_costs_its_logit():
  out = jax.jit(likelihoods.bernoulli)(images([1.0]), images([-500.0]))
  np.testing.assert_allclose(out, [500.0])


def test_losses_sum_over_pixels_and_keep_the_batch():
  x = np.ones((5, 4, 3, 2), np.float32)
  out = np.zeros_like(x)
  loss = jax.jit(likelihoods.bernoulli)(x, out)
  assert loss.shape == (5,)
  np.testing.assert_allclose(loss, 24 * np.log(2), rtol=1e-6)


def test_gaussian_has_its_constant():
  x, mean = np.array([0.2, 0.9, -1.0]), np.array([0.0, 1.0, 3.0])
  expected = -scipy.stats.norm.logpdf(x, mean, np.exp(-0.7 / 2)).sum()
  out = jax.jit(likelihoods.gaussian)(images(x), images(mean), -0.7)
  np.testing.assert_allclose(out, [expected], rtol=1e-6)


@pytest.mark.parametrize('logit', [-20.0, -1.0, -0.11, -0.09, 0.05, 0.3, 8.0])
def test_continuous_bernoulli_is_a_density_with_its_mean(logit):
  loss = jax.jit(likelihoods.continuous_bernoulli)

  def density(x):
    return float(np.exp(-loss(images([x]), images([logit]))[0]))

  mass, _ = scipy.integrate.quad(density, 0, 1, epsabs=1e-6)
  mean, _ = scipy.integrate.quad(lambda x: x * density(x), 0, 1, epsabs=1e-6)
  assert mass == pytest.approx(1, abs=2e-6)
  out = jax.jit(likelihoods.continuous_bernoulli_mean)(np.float32(logit))
  assert float(out) == pytest.approx(mean, abs=1e-5)


def test_the_mean_is_that_of_float64_where_its_series_ends():
  logit = 0.0999
  expected = -1 / np.expm1(-logit) - 1 / logit
  out = jax.jit(likelihoods.continuous_bernoulli_mean)(np.float32(logit))
  assert float(out) == pytest.approx(expected, abs=2e-7)


def test_normalizer_is_smooth_where_its_series_takes_over():
  exact = np.linspace(-0.2, 0.2, 401)
  logits = exact.astype(np.float32)
  exact[200] = 1e-12
  expected = np.log(exact / np.tanh(exact / 2))
  np.testing.assert_allclose(
    jax.jit(likelihoods.log_normalizer)(logits), expected, rtol=3e-6
  )
  near = np.abs(logits) < 0.1
  np.testing.assert_allclose(
    jax.jit(likelihoods.log_normalizer)(logits[near]), expected[near], rtol=3e-7
  )
  slope = jax.jit(jax.vmap(jax.grad(likelihoods.log_normalizer)))(logits)
  np.testing.assert_allclose(slope, logits / 6, atol=2e-4)
