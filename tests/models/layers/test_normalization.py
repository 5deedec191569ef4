"""Statistics of batches, images and groups, where rounding could hide them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.models.layers.batches import join, split
from gen_jax.models.layers.normalization import (
  BatchNorm,
  Normalized,
  instance_norm,
)
from gen_jax.models.progressive import minibatch_stddev

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(30, 0.1, (8, 16, 16, 2))


def batch_norm(**fields):
  return BatchNorm(train=True, momentum=0.0, epsilon=0.0, **fields)


def test_batch_normalization_is_exact_far_from_zero():
  x = jnp.asarray(X, jnp.float32)
  norm = batch_norm()
  # The first batch moves the running mean to where the second one is.
  variables = norm.init(KEY, x)
  for _ in range(2):
    out, state = norm.apply(variables, x, mutable=['batch_stats'])
    variables |= state
  x = X.astype(np.float32).astype(np.float64)
  mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
  np.testing.assert_allclose(out, (x - mean) / variance**0.5, atol=2e-4)
  np.testing.assert_allclose(state['batch_stats']['var'], variance, rtol=1e-4)
  np.testing.assert_allclose(state['batch_stats']['mean'], mean, rtol=1e-6)


def test_batch_normalization_is_that_of_flax():
  x = jnp.asarray(X[..., :1] - 29, jnp.float32)
  ours = BatchNorm(train=True, scale_std=0.1)
  theirs = nn.BatchNorm(
    use_running_average=False, momentum=0.9, use_fast_variance=False
  )
  variables = ours.init(KEY, x)

  def values(norm):
    def loss(params, x):
      out, state = norm.apply(
        {**variables, 'params': params}, x, mutable=['batch_stats']
      )
      return jnp.sum(jnp.sin(out)), (out, state)

    grads = jax.grad(loss, argnums=(0, 1), has_aux=True)
    return grads(variables['params'], x)

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-3),
    values(ours),
    values(theirs),
  )


def test_batch_normalization_needs_one_collective_forward_and_one_backward():
  mesh = Mesh(np.asarray(jax.devices()[:2]), 'd')
  batch = NamedSharding(mesh, PartitionSpec('d'))
  x = jnp.asarray(X, jnp.float32)
  norm = batch_norm()
  variables = norm.init(KEY, x)

  def loss(x):
    out, _ = norm.apply(variables, x, mutable=['batch_stats'])
    return jnp.sin(out)

  def both(x):
    out, pullback = jax.vjp(loss, x)
    return pullback(jnp.cos(out))

  program = jax.jit(both, in_shardings=batch, out_shardings=batch)
  assert program.lower(x).compile().as_text().count(' all-reduce(') == 2


def test_joined_batches_are_split_again_and_normalized_alone():
  first, second = jnp.float32(X[:4] - 30), jnp.float32(X[4:] * 2 - 61)
  joined = join([first, second])
  np.testing.assert_array_equal(joined[::2], first)
  np.testing.assert_array_equal(split(joined, 2), [first, second])
  network = Normalized(lambda x: x, 'batch', parts=2)
  variables = network.init(KEY, joined)
  out, _ = network.apply(variables, joined, True, mutable=['batch_stats'])
  for part in split(out, 2):
    np.testing.assert_allclose(jnp.mean(part, (0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(jnp.std(part, (0, 1, 2)), 1, rtol=2e-3)


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
