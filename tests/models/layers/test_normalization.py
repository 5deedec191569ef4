"""Statistics of batches, images and groups, where rounding could hide them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models.layers.normalization import Normalized, instance_norm
from gen_jax.models.progressive import minibatch_stddev

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(30, 0.1, (8, 16, 16, 2))


def batch_norm(x):
  """As in training: its output and the running statistics."""
  network = Normalized(lambda x: x, 'batch', momentum=0.0, epsilon=0.0)
  variables = network.init(KEY, x)
  out, state = network.apply(variables, x, True, mutable=['batch_stats'])
  return out, state['batch_stats']['BatchNorm_0']


def test_batch_normalization_is_exact_far_from_zero():
  out, state = batch_norm(jnp.asarray(X, jnp.float32))
  x = X.astype(np.float32).astype(np.float64)
  mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(out, (x - mean) / variance**0.5, atol=2e-4)
  np.testing.assert_allclose(state['var'], variance, rtol=1e-4)


def test_instance_normalization_is_exact_far_from_zero():
  out = instance_norm(jnp.asarray(X, jnp.float32), epsilon=0.0)
  x = X.astype(np.float32).astype(np.float64)
  mean, variance = x.mean((1, 2)), x.var((1, 2))
  want = (x - mean[:, None, None]) / variance[:, None, None] ** 0.5
  np.testing.assert_allclose(out, want, atol=5e-4)


def test_minibatch_stddev_is_exact_far_from_zero():
  x = jnp.asarray(X, jnp.float32)
  out = minibatch_stddev(x, 8)[..., -1]
  want = X.astype(np.float32).astype(np.float64).std(axis=0).mean()
  assert np.asarray(out) == pytest.approx(want, rel=1e-5)
