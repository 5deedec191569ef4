"""Optimizers from a config."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.training import optimizers
from gen_jax.training.experiment import Experiment

ROOT = pathlib.Path(__file__).parents[2]


def rmsprop_of_pytorch(grads, rate, alpha=0.99, eps=1e-8):
  """Steps of torch.optim.RMSprop in float64, for gradients [T, ...]."""
  square, steps = np.zeros_like(grads[0]), []
  for grad in grads:
    square = alpha * square + (1 - alpha) * grad**2
    steps.append(-rate * grad / (np.sqrt(square) + eps))
  return np.stack(steps)


def steps_of(spec, grads, main=1.0):
  """Steps of the optimizer, for gradients [T, ...]."""
  tx = optimizers.make(spec, len(grads), main)

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


@pytest.mark.parametrize(
  ('name', 'expected'),  # of 8 updates, before each and after the last
  [
    ('constant', [1] * 9),
    ('linear', [1 - n / 8 for n in range(9)]),
    ('constant_then_linear', [1] * 5 + [0.75, 0.5, 0.25, 0]),
    ('cosine', [(1 + np.cos(np.pi * n / 8)) / 2 for n in range(9)]),
  ],
)
def test_schedules_begin_at_the_rate_and_end_at_0(name, expected):
  rates = optimizers.schedule(name, 0.1, 8)(np.arange(9))
  np.testing.assert_allclose(
    np.broadcast_to(rates, 9), 0.1 * np.array(expected), atol=1e-7
  )


def test_a_schedule_begins_after_its_warm_up():
  rates = optimizers.schedule('linear', 0.1, 12, warmup=4)(np.arange(13))
  expected = [*(0.25, 0.5, 0.75, 1), *(1 - n / 8 for n in range(9))]
  np.testing.assert_allclose(rates, 0.1 * np.array(expected), atol=1e-7)


def test_lazy_regularization_rescales_the_rate_and_the_decays():
  rate, b1, b2, c = 0.002, 0.5, 0.99, 16 / 17
  spec = dict(name='adam', learning_rate=rate, b1=b1, b2=b2)
  same = dict(name='adam', learning_rate=c * rate, b1=b1**c, b2=b2**c)
  grads = np.random.default_rng(0).normal(size=(20, 3))
  # Not without `lazy_rescale`.
  np.testing.assert_array_equal(steps_of(spec, grads, c), steps_of(spec, grads))
  rescaled = steps_of({**spec, 'lazy_rescale': True}, grads, c)
  np.testing.assert_allclose(rescaled, steps_of(same, grads), rtol=1e-6)
  # The first step of Adam has the length of the rate: .0018824.
  np.testing.assert_allclose(np.abs(rescaled[0]), 0.0018824, rtol=1e-4)
  # The default decays are those of optax.
  np.testing.assert_allclose(
    steps_of(dict(name='adam', lazy_rescale=True), grads, c),
    steps_of(
      dict(name='adam', learning_rate=1e-3 * c, b1=0.9**c, b2=0.999**c), grads
    ),
    rtol=1e-6,
  )


def test_only_players_with_a_lazy_penalty_are_rescaled():
  config = config_lib.load(str(ROOT / 'configs/dcgan.py:test'))
  config.objective.regularizers.r1.every = 16
  for player in ('gen', 'disc'):
    config.optim[player].update(learning_rate=0.002, lazy_rescale=True)

  def first_steps():
    optimizers = Experiment(stages.plan(config)[0]).optimizers
    grad = jnp.float32(1)
    return {
      name: -float(tx.update(grad, tx.init(grad))[0])
      for name, tx in optimizers.items()
    }

  assert first_steps() == pytest.approx({'disc': 0.0018824, 'gen': 0.002}, 1e-4)
  config.objective.regularizers.r1.every = 1
  assert first_steps() == pytest.approx({'disc': 0.002, 'gen': 0.002}, 1e-4)


def test_an_unknown_field_is_refused():
  with pytest.raises(InputError, match='clip_weight'):
    optimizers.make(dict(name='rmsprop', clip_weight=0.1), 10)
