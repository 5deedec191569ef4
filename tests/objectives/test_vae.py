"""The VAE's bound and likelihood, against a model that is known exactly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax.core import averaged
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.likelihood import ELBO, NLL
from gen_jax.models.autoencoder import DenseDecoder, DenseEncoder
from gen_jax.objectives.parts.variational import Posterior
from gen_jax.objectives.vae import VAE
from gen_jax.training.step import init_state

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
  log_weights = jax.jit(linear_vae().model.log_weights, static_argnames='num')(
    players, {'image': np.float32(images / 255)}, key=KEY, num=5
  )
  assert log_weights.shape == (5, 7)
  np.testing.assert_allclose(
    log_weights, np.broadcast_to(exact, (5, 7)), rtol=1e-4
  )


def task(images, objective):
  source = array_source('toy', 'test', {'image': images})
  return Task(objective, lambda split: source, Preprocess('unit'))


def test_importance_sampling_corrects_an_inexact_posterior(pca):
  players, images, exact = pca
  encoder = players['model']['params']['encoder']['Dense_0']
  encoder['bias'] = encoder['bias'] + np.float32([0.3, -0.2, 0.3, 0.4])
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
  x = np.float32(images / 255)
  objective = linear_vae()

  @jax.jit
  def compute(players, batch):
    loss = objective.loss(players, batch, key=KEY, step=0)
    return *loss, objective.model.elbo(players, batch, key=KEY)

  loss, aux, parts = jax.device_get(compute(players, {'image': x}))
  assert float(loss) == pytest.approx(-float(parts['elbo'].mean()), rel=1e-5)
  for name in ('elbo', 'kl', 'reconstruction'):
    assert float(aux.metrics[name]) == pytest.approx(
      float(parts[name].mean()), rel=1e-5
    )


def kl_and_costs(players, images, cases):
  """The KL, and what it costs in each case, `(step, fields)`."""

  @jax.jit  # one program for all
  def compute(players, batch):
    costs = []
    for step, fields in cases:
      loss, aux = linear_vae(**fields).loss(players, batch, key=KEY, step=step)
      costs.append(loss - aux.metrics['reconstruction'])
    return aux.metrics['kl'], costs

  return jax.device_get(compute(players, {'image': np.float32(images / 255)}))


def test_beta_warmup_and_free_bits_weigh_the_kl(pca):
  players, images, _ = pca
  kl, costs = kl_and_costs(
    players,
    images,
    [
      (0, {}),
      (0, dict(beta=4.0)),
      (4, dict(kl_warmup=10)),
      (50, dict(kl_warmup=10)),
      (0, dict(free_bits=50.0)),
    ],
  )
  expected = kl, 4 * kl, kl / 2, kl, 100
  np.testing.assert_allclose(costs, expected, rtol=1e-4)


def test_a_capacity_grows_and_draws_the_kl_to_it(pca):
  players, images, _ = pca
  fields = dict(beta=3.0, capacity=10.0, capacity_steps=100)
  steps = 0, 49, 500
  kl, costs = kl_and_costs(players, images, [(step, fields) for step in steps])
  expected = 3 * np.abs(kl - [0.1, 5.0, 10.0])
  np.testing.assert_allclose(costs, expected, rtol=1e-4)


def test_more_samples_estimate_the_same_loss(pca):
  players, images, _ = pca
  batch = {'image': np.float32(images / 255)}

  def loss(key, **fields):
    return linear_vae(**fields).loss(players, batch, key=key, step=0)[0]

  @jax.jit
  def compute():
    single = jax.vmap(loss)(jax.random.split(KEY, 4000))
    return loss(KEY, samples=4000), jnp.mean(single)

  many, single = compute()
  assert float(many) == pytest.approx(float(single), abs=0.02)


def test_reparameterized_latents_have_their_moments_and_gradients():
  mean, log_variance = np.float32([[1.0, -2.0]]), np.float32([[0.0, 1.5]])

  @jax.jit
  def compute(log_variance):
    def square(v):
      latents = Posterior(mean, v).sample(KEY, 20_000)  # [L, B, Z]
      return jnp.mean(jnp.square(latents)), latents

    return jax.grad(square, has_aux=True)(log_variance)

  grad, latents = jax.device_get(compute(log_variance))
  np.testing.assert_allclose(latents.mean(0), mean, atol=0.05)
  np.testing.assert_allclose(latents.var(0), np.exp(log_variance), rtol=0.05)
  # d E[z^2] / d log s^2 = s^2, over two dimensions.
  np.testing.assert_allclose(grad, np.exp(log_variance) / 2, rtol=0.05)


def test_a_learned_variance_finds_that_of_the_noise():
  objective = linear_vae(learn_variance=True)
  noise = np.random.default_rng(0).normal(0, 0.1, (4000, *SHAPE))
  batch = {'image': np.float32(0.5 + noise)}
  players = drawn(objective.init, KEY, batch)
  start = jax.jit(objective.init)(KEY, batch)['model']['params']
  assert float(start['log_variance']) == 0
  players = jax.tree.map(np.zeros_like, players)
  params = players['model']['params']
  params['decoder']['Dense_0']['bias'] += 0.5
  grad = jax.jit(
    jax.grad(lambda p: objective.loss(p, batch, key=KEY, step=0)[0])
  )
  for log_variance, sign in ((np.log(0.02), 1), (np.log(0.005), -1)):
    params['log_variance'] = np.float32(log_variance)
    slope = grad(players)['model']['params']['log_variance']
    assert np.sign(slope) == sign


@pytest.mark.parametrize(
  'likelihood', ['bernoulli', 'gaussian', 'continuous_bernoulli']
)
def test_predictions_have_their_shapes_and_stay_in_range(likelihood):
  objective = linear_vae(likelihood=likelihood)
  batch = {'image': np.zeros((5, *SHAPE), np.float32)}
  players = drawn(objective.init, KEY, batch)

  def predict(players, batch):
    return (
      objective.model.sample(players, key=KEY, num=3),
      objective.model.reconstruct(players, batch, key=KEY),
      objective.model.encode(players, batch),
    )

  shapes = jax.tree.map(jnp.shape, jax.eval_shape(predict, players, batch))
  assert shapes == ((3, *SHAPE), (5, *SHAPE), (5, 2))
  if likelihood != 'gaussian':
    out = jax.jit(objective.model.decode)(
      players, 50 * np.ones((1, 2), np.float32)
    )
    assert np.all((out >= 0) & (out <= 1))


def test_averaged_parameters_are_those_that_predict():
  objective = linear_vae()
  batch = {'image': np.zeros((1, *SHAPE), np.float32)}
  players = drawn(objective.init, KEY, batch)
  state = init_state(players, {}, {'model': 0.9})
  ones = jax.tree.map(np.ones_like, players['model'])
  state = dataclasses.replace(state, ema={'model': ones})
  latents = np.zeros((1, 2), np.float32)
  out = jax.jit(objective.model.decode)(averaged(state), latents)
  np.testing.assert_allclose(out, 1)
