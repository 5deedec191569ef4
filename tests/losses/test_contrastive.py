"""The loss of pairs, against closed forms and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from gen_jax.losses.contrastive import symmetric


def test_equal_logits_cost_log_b_and_sure_ones_nothing():
  cost = jax.jit(symmetric)
  equal, sure = np.zeros((5, 5), np.float32), 1e4 * np.eye(5, dtype=np.float32)
  np.testing.assert_allclose(cost(equal), np.log(5), rtol=1e-6)
  assert np.abs(cost(sure)).max() == 0


def test_it_is_the_mean_of_both_cross_entropies():
  logits = np.random.default_rng(0).normal(size=(6, 6)) * 3
  expected = -sum(
    np.diagonal(scipy.special.log_softmax(logits, axis)) for axis in (0, 1)
  )
  np.testing.assert_allclose(
    jax.jit(symmetric)(logits), expected / 2, rtol=1e-5
  )


def test_another_right_pair_is_no_negative():
  logits = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
  same = np.eye(3, dtype=bool)
  same[0, 2] = same[2, 0] = True

  @jax.jit
  def compute(logits):
    grads = jax.grad(lambda x: jnp.sum(symmetric(x, same)))(logits)
    rest = logits[:2, :2]  # of the first only the second is another
    return symmetric(logits, same)[0], symmetric(rest)[0], grads

  out, rest, grads = compute(logits)
  assert float(out) == pytest.approx(float(rest), rel=1e-5)
  assert np.all(np.isfinite(grads)) and float(grads[0, 2]) == 0
