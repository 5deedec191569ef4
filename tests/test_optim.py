"""Optimizers from a config."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import optim
from gen_jax.errors import InputError


def rmsprop_of_pytorch(grads, rate, alpha=0.99, eps=1e-8):
  """Steps of torch.optim.RMSprop in float64, for gradients [T, ...]."""
  square, steps = np.zeros_like(grads[0]), []
  for grad in grads:
    square = alpha * square + (1 - alpha) * grad**2
    steps.append(-rate * grad / (np.sqrt(square) + eps))
  return np.stack(steps)


def steps_of(spec, grads):
  """Steps of the optimizer, for gradients [T, ...]."""
  tx = optim.make(spec, len(grads))

  def body(state, grad):
    step, state = tx.update(grad, state)
    return state, step

  grads = jnp.asarray(grads, jnp.float32)
  return jax.lax.scan(body, tx.init(grads[0]), grads)[1]


def test_rmsprop_takes_the_steps_of_pytorch():
  spec = dict(name='rmsprop', learning_rate=1.0, decay=0.99)
  grads = np.tile([1e-4, 1e-5, 1e-6], (200, 1))
  steps = steps_of(spec, grads)
  # With eps inside the root the last would be .732, .0996 and .0100.
  np.testing.assert_allclose(-steps[-1], [1.074, 1.073, 1.063], atol=1e-3)
  np.testing.assert_allclose(steps, rmsprop_of_pytorch(grads, 1.0), rtol=1e-4)
  noise = np.random.default_rng(0).normal(size=(30, 5))
  noise *= 10.0 ** np.arange(-9, 1, 2)
  np.testing.assert_allclose(
    steps_of({**spec, 'learning_rate': 5e-5}, noise),
    rmsprop_of_pytorch(noise, 5e-5),
    rtol=1e-4,
  )


def test_an_unknown_field_is_refused():
  with pytest.raises(InputError, match='clip_weight'):
    optim.make(dict(name='rmsprop', clip_weight=0.1), 10)
