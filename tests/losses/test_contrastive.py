"""The loss of pairs, against closed forms and PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses.contrastive import symmetric


def test_equal_logits_cost_log_b_and_sure_ones_nothing():
  np.testing.assert_allclose(symmetric(jnp.zeros((5, 5))), np.log(5), rtol=1e-6)
  assert np.abs(symmetric(1e4 * jnp.eye(5))).max() == 0


def test_it_is_both_cross_entropies_of_pytorch():
  torch = pytest.importorskip('torch')
  logits = np.random.default_rng(0).normal(size=(6, 6)) * 3
  x, target = torch.tensor(logits), torch.arange(6)
  expected = sum(
    torch.nn.functional.cross_entropy(y, target, reduction='none')
    for y in (x, x.T)
  )
  np.testing.assert_allclose(symmetric(logits), expected / 2, rtol=1e-5)


def test_another_right_pair_is_no_negative():
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))
  same = jnp.eye(3, dtype=bool).at[0, 2].set(True).at[2, 0].set(True)
  out = symmetric(logits, same)
  rest = logits[:2, :2]  # of the first only the second is another
  assert float(out[0]) == pytest.approx(float(symmetric(rest)[0]), rel=1e-5)
  grads = jax.grad(lambda x: jnp.sum(symmetric(x, same)))(logits)
  assert np.all(np.isfinite(grads)) and float(grads[0, 2]) == 0
