"""Optimizers from a config."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax import optim
from gen_jax.errors import InputError


@pytest.mark.parametrize('name', ['rmsprop', 'adam', 'sgd'])
def test_clipped_weights_stay_within_their_bound(name):
  spec = dict(name=name, learning_rate=0.05, clip_weights=0.1, clip_norm=1.0)
  tx = optim.make(spec, 10)
  params = {'a': jnp.linspace(-3, 3, 301), 'b': {'c': jnp.zeros(())}}
  state = tx.init(params)
  for step in range(10):
    grads = jax.tree.map(lambda p, s=step: jnp.sin(7 * p + s) + 0.1, params)
    updates, state = tx.update(grads, state, params)
    params = optax.apply_updates(params, updates)
    most = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(params))
    assert most <= 0.1 * (1 + 1e-6)


def test_a_bound_that_is_not_reached_changes_nothing():
  plain, wide = (
    optim.make(dict(name='adam', learning_rate=0.1, clip_weights=c), 10)
    for c in (0.0, 50.0)
  )
  params, grads = jnp.array([1.0, -2.0]), jnp.array([0.3, 5.0])
  steps = [tx.update(grads, tx.init(params), params)[0] for tx in (plain, wide)]
  np.testing.assert_allclose(*steps, rtol=1e-5)


def test_a_negative_bound_is_refused():
  with pytest.raises(InputError, match='clip_weights=-1'):
    optim.make(dict(clip_weights=-1), 10)
