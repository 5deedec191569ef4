"""Losses of classifiers, against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from gen_jax.losses import classification

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('target', [0.0, 1e-6, 0.3, 1.0])
def test_sigmoid_cross_entropy_and_its_gradient_keep_their_digits(target):
  logits = np.array([-100.0, -15.0, -2.0, 0.0, 0.5, 15.0, 60.0, 100.0])
  sure, expit = scipy.special.log_expit, scipy.special.expit
  value, grad = jax.vmap(
    jax.value_and_grad(classification.sigmoid_cross_entropy), (0, None)
  )(jnp.asarray(logits, jnp.float32), target)
  np.testing.assert_allclose(
    value,
    -target * sure(logits) - (1 - target) * sure(-logits),
    rtol=1e-6,
    atol=1e-37,
  )
  np.testing.assert_allclose(
    grad,
    (1 - target) * expit(logits) - target * expit(-logits),
    rtol=1e-6,
    atol=1e-37,
  )


def test_softmax_cross_entropy_is_minus_the_log_of_the_labels_share():
  logits, labels = RNG.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
  shares = scipy.special.softmax(logits, axis=-1)
  out = classification.softmax_cross_entropy(
    jnp.asarray(logits), jnp.asarray(labels)
  )
  np.testing.assert_allclose(
    out, -np.log(shares[np.arange(5), labels]), rtol=1e-5
  )


def test_it_is_exact_and_its_gradient_finite_at_large_logits():
  logits = jnp.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0]])
  labels = jnp.array([0, 1])
  np.testing.assert_array_equal(
    classification.softmax_cross_entropy(logits, labels), [0, 2e4]
  )
  grad = jax.grad(
    lambda x: classification.softmax_cross_entropy(x, labels).sum()
  )(logits)
  np.testing.assert_array_equal(grad, [[0, 0, 0], [1, -1, 0]])
