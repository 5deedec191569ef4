"""The VAE's bound and likelihood, against a model that is known exactly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import averaged
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import ArraySource
from gen_jax.evals.likelihood import ELBO, NLL
from gen_jax.evals.task import Task
from gen_jax.models.autoencoder import DenseDecoder, DenseEncoder
from gen_jax.objectives.vae import VAE, reparameterise
from gen_jax.step import init_state

KEY = jax.random.key(0)
SHAPE = (2, 3, 1)


def linear_vae(**fields):
  """A VAE without hidden layers, for `pca` of conftest.py."""
  return VAE(
    encoder=DenseEncoder(features=4, hidden=()),
    decoder=DenseDecoder(shape=SHAPE, hidden=()),
    **{'likelihood': 'gaussian', **fields},
  )


def test_with_the_exact_posterior_every_weight_is_the_likelihood(pca):
  players, images, exact = pca
  log_weights = linear_vae().log_weights(
    players, {'image': jnp.asarray(images / 255, jnp.float32)}, key=KEY, num=5
  )
  assert log_weights.shape == (5, 7)
  np.testing.assert_allclose(
    log_weights, np.broadcast_to(exact, (5, 7)), rtol=1e-4
  )


def task(images, objective):
  source = ArraySource('toy', 'test', {'image': images})
  return Task(objective, lambda split: source, Preprocess('unit'))


def test_importance_sampling_corrects_an_inexact_posterior(pca):
  players, images, exact = pca
  encoder = players['model']['params']['encoder']['Dense_0']
  encoder['bias'] = encoder['bias'] + jnp.array([0.3, -0.2, 0.3, 0.4])
  objective = linear_vae()
  bound = dict(ELBO(task(images, objective)).run(players, KEY))
  nll = dict(
    NLL(task(images, objective), samples=20_000, chunk=100, batch_size=3).run(
      players, KEY
    )
  )
  assert -bound['elbo'] > -exact.mean() + 0.1
  assert nll['nll'] == pytest.approx(-exact.mean(), abs=0.01)
  spread = exact.std(ddof=1) / 7**0.5
  assert nll['standard_error'] == pytest.approx(spread, abs=0.02)


def test_the_loss_is_minus_the_bound(pca):
  players, images, _ = pca
  x = jnp.asarray(images / 255, jnp.float32)
  objective = linear_vae()
  loss, aux = objective.loss(players, {'image': x}, key=KEY, step=0)
  parts = objective.elbo(players, {'image': x}, key=KEY)
  assert float(loss) == pytest.approx(-float(parts['elbo'].mean()), rel=1e-5)
  for name in ('elbo', 'kl', 'reconstruction'):
    assert float(aux.metrics[name]) == pytest.approx(
      float(parts[name].mean()), rel=1e-5
    )


def test_beta_warmup_and_free_bits_weigh_the_kl(pca):
  players, images, _ = pca
  batch = {'image': jnp.asarray(images / 255, jnp.float32)}

  def cost(step=0, **fields):
    loss, aux = linear_vae(**fields).loss(players, batch, key=KEY, step=step)
    return float(loss - aux.metrics['reconstruction'])

  kl = cost()
  assert cost(beta=4.0) == pytest.approx(4 * kl, rel=1e-4)
  assert cost(kl_warmup=10, step=4) == pytest.approx(kl / 2, rel=1e-4)
  assert cost(kl_warmup=10, step=50) == pytest.approx(kl, rel=1e-4)
  assert cost(free_bits=50.0) == pytest.approx(100, rel=1e-4)


def test_a_capacity_grows_and_draws_the_kl_to_it(pca):
  players, images, _ = pca
  batch = {'image': jnp.asarray(images / 255, jnp.float32)}
  objective = linear_vae(beta=3.0, capacity=10.0, capacity_steps=100)
  for step, capacity in ((0, 0.1), (49, 5.0), (500, 10.0)):
    loss, aux = objective.loss(players, batch, key=KEY, step=step)
    cost = float(loss - aux.metrics['reconstruction'])
    kl = float(aux.metrics['kl'])
    assert cost == pytest.approx(3 * abs(kl - capacity), rel=1e-4)


def test_more_samples_estimate_the_same_loss(pca):
  players, images, _ = pca
  batch = {'image': jnp.asarray(images / 255, jnp.float32)}
  many, _ = linear_vae(samples=4000).loss(players, batch, key=KEY, step=0)
  single = jax.vmap(
    lambda key: linear_vae().loss(players, batch, key=key, step=0)[0]
  )(jax.random.split(KEY, 4000))
  assert float(many) == pytest.approx(float(single.mean()), abs=0.02)


def test_reparameterised_codes_have_their_moments_and_gradients():
  mean, log_variance = jnp.array([[1.0, -2.0]]), jnp.array([[0.0, 1.5]])
  codes = reparameterise(KEY, mean, log_variance, 20_000)  # [L, B, Z]
  np.testing.assert_allclose(codes.mean(0), mean, atol=0.05)
  np.testing.assert_allclose(codes.var(0), jnp.exp(log_variance), rtol=0.05)
  grad = jax.grad(
    lambda v: jnp.mean(jnp.square(reparameterise(KEY, mean, v, 20_000)))
  )(log_variance)
  # d E[z^2] / d log s^2 = s^2, over two dimensions.
  np.testing.assert_allclose(grad, jnp.exp(log_variance) / 2, rtol=0.05)


def test_a_learned_variance_finds_that_of_the_noise():
  objective = linear_vae(learn_variance=True)
  images = 0.5 + 0.1 * jax.random.normal(KEY, (4000, *SHAPE))
  players = objective.init(KEY, {'image': images})
  players = jax.tree.map(jnp.zeros_like, players)
  params = players['model']['params']
  params['decoder']['Dense_0']['bias'] += 0.5
  for log_variance, sign in ((np.log(0.02), 1), (np.log(0.005), -1)):
    params['log_variance'] = jnp.float32(log_variance)
    grad = jax.grad(
      lambda p: objective.loss(p, {'image': images}, key=KEY, step=0)[0]
    )(players)
    assert np.sign(grad['model']['params']['log_variance']) == sign


@pytest.mark.parametrize(
  'likelihood', ['bernoulli', 'gaussian', 'continuous_bernoulli']
)
def test_predictions_have_their_shapes_and_stay_in_range(likelihood):
  objective = linear_vae(likelihood=likelihood)
  images = jax.random.uniform(KEY, (5, *SHAPE))
  players = objective.init(KEY, {'image': images})
  assert objective.sample(players, key=KEY, num=3).shape == (3, *SHAPE)
  batch = {'image': images}
  assert objective.reconstruct(players, batch, key=KEY).shape == images.shape
  assert objective.encode(players, batch).shape == (5, 2)
  if likelihood != 'gaussian':
    out = objective.decode(players, 50 * jnp.ones((1, 2)))
    assert np.all((out >= 0) & (out <= 1))


def test_averaged_parameters_are_those_that_predict():
  objective = linear_vae()
  players = objective.init(KEY, {'image': jnp.zeros((1, *SHAPE))})
  state = init_state(players, {}, {'model': 0.9})
  ones = jax.tree.map(jnp.ones_like, players['model'])
  state = dataclasses.replace(state, ema={'model': ones})
  out = objective.decode(averaged(state), jnp.zeros((1, 2)))
  np.testing.assert_allclose(out, 1)
