"""The importance weighted bound and both of its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses.estimators import scale_gradient
from gen_jax.models.autoencoder import DenseDecoder, DenseEncoder
from gen_jax.objectives.iwae import ESTIMATORS, IWAE

KEY = jax.random.key(0)


def linear(estimator='iwae', **fields):
  return IWAE(
    encoder=DenseEncoder(features=4, hidden=()),
    decoder=DenseDecoder(shape=(2, 3, 1), hidden=()),
    likelihood='gaussian',
    estimator=estimator,
    **fields,
  )


def loss_and_gradients(objective, players, images, keys):
  """Losses [K] and gradients [K, ...] of one batch, a row per key."""
  batch = {'image': jnp.asarray(images / 255, jnp.float32)}

  def one(key):
    return jax.value_and_grad(
      lambda p: objective.loss(p, batch, key=key, step=0)[0]
    )(players)

  losses, grads = jax.jit(jax.vmap(one))(keys)
  return losses, grads['model']['params']


@pytest.fixture
def inexact(pca):
  """The known model with an encoder that is off."""
  players, images, exact = pca
  encoder = players['model']['params']['encoder']['Dense_0']
  encoder['bias'] = encoder['bias'] + jnp.array([0.3, -0.2, 0.3, 0.4])
  return players, images, exact


@pytest.mark.parametrize('estimator', ESTIMATORS)
def test_with_the_exact_posterior_the_bound_is_the_likelihood(pca, estimator):
  players, images, exact = pca
  for k in (1, 5):
    objective = linear(estimator, samples=k)
    losses, _ = loss_and_gradients(objective, players, images, KEY[None])
    np.testing.assert_allclose(losses, -exact.mean(), rtol=1e-5)


def test_with_the_exact_posterior_all_latents_share_the_weight(pca):
  players, images, _ = pca
  batch = {'image': jnp.asarray(images / 255, jnp.float32)}
  loss = jax.jit(linear(samples=5).loss)
  _, aux = loss(players, batch, key=KEY, step=0)
  assert float(aux.metrics['effective_samples']) == pytest.approx(5, rel=1e-4)


def test_the_bound_grows_with_the_latents_toward_the_likelihood(inexact):
  players, images, exact = inexact
  keys = jax.random.split(KEY, 500)
  batch = {'image': jnp.asarray(images / 255, jnp.float32)}

  def bound(k):
    def loss(key):
      return linear(samples=k).loss(players, batch, key=key, step=0)[0]

    return -jax.jit(jax.vmap(loss))(keys).mean()

  bounds = [bound(k) for k in (1, 5, 50)]
  assert bounds[0] + 0.1 < bounds[1] < bounds[2] - 0.005
  assert bounds[2] == pytest.approx(exact.mean(), abs=0.02)


def test_both_gradients_have_one_expectation(inexact):
  players, images, _ = inexact
  keys = jax.random.split(KEY, 4000)
  (plain_loss, plain), (dreg_loss, dreg) = (
    loss_and_gradients(linear(estimator, samples=5), players, images, keys)
    for estimator in ('iwae', 'dreg')
  )
  np.testing.assert_allclose(plain_loss, dreg_loss, rtol=1e-5)
  # The decoder's is the same draw by draw, the encoder's in the mean.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
    plain['decoder'],
    dreg['decoder'],
  )
  for name in ('kernel', 'bias'):
    a, b = (g['encoder']['Dense_0'][name] for g in (plain, dreg))
    spread = np.sqrt((a.var(0) + b.var(0)) / len(keys))
    assert np.all(np.abs(a.mean(0) - b.mean(0)) < 4.5 * spread)
    assert np.any(np.abs(a.mean(0)) > 10 * spread)  # there is one to compare


def test_only_the_doubly_reparameterized_gradient_rests_at_the_optimum(pca):
  players, images, _ = pca
  for estimator, at_rest in (('iwae', False), ('dreg', True)):
    objective = linear(estimator, samples=5)
    _, grads = loss_and_gradients(objective, players, images, KEY[None])
    size = max(np.abs(g).max() for g in jax.tree.leaves(grads['encoder']))
    assert (size < 1e-5) == at_rest


def test_scaling_changes_the_gradient_alone():
  x, scale = jnp.array([1.0, 2.0]), jnp.array([3.0, 0.5])
  np.testing.assert_array_equal(scale_gradient(x, scale), x)
  grad = jax.grad(lambda x: jnp.sum(scale_gradient(x, scale) ** 2))(x)
  np.testing.assert_allclose(grad, 2 * x * scale)
