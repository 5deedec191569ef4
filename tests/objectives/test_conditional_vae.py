"""The conditional VAE against one Gaussian per class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gen_jax.models.autoencoder import (
  ConvDecoder,
  ConvEncoder,
  DenseDecoder,
  DenseEncoder,
)
from gen_jax.objectives.vae import VAE

KEY = jax.random.key(0)
LABELS = jnp.array([0, 1, 2, 1, 0, 2, 2])


def linear():
  return VAE(
    encoder=DenseEncoder(features=4, hidden=()),
    decoder=DenseDecoder(shape=(2, 3, 1), hidden=()),
    likelihood='gaussian',
    classes=3,
  )


@pytest.fixture
def conditional(pca):
  """The known model with a mean of its own for each class."""
  players, images, _ = pca
  params = players['model']['params']
  shift = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)
  encoder = params['encoder']['Dense_0']  # [6, 4]
  decoder = params['decoder']['Dense_0']  # [2, 6]
  w, b = np.asarray(decoder['kernel']).T, np.asarray(decoder['bias'])
  exact = scipy.stats.multivariate_normal(np.zeros(6), w @ w.T + np.eye(6))
  x = images.reshape(7, 6) / 255
  encoder['kernel'] = jnp.concatenate(
    [encoder['kernel'], -shift @ encoder['kernel']]
  )
  decoder['kernel'] = jnp.concatenate([decoder['kernel'], shift])
  batch = {'image': jnp.asarray(images / 255, jnp.float32), 'label': LABELS}
  return players, batch, exact.logpdf(x - b - shift[LABELS]), shift


def test_the_likelihood_is_that_of_the_class(conditional):
  players, batch, exact, _ = conditional
  weights = linear().model.log_weights(players, batch, key=KEY, num=3)
  np.testing.assert_allclose(weights, np.broadcast_to(exact, (3, 7)), rtol=1e-4)


def test_another_label_changes_the_class_and_keeps_the_style(conditional):
  players, batch, _, shift = conditional
  model = linear().model
  same = model.relabel(players, batch, LABELS)
  other = model.relabel(players, batch, (LABELS + 1) % 3)
  expected = (shift[(LABELS + 1) % 3] - shift[LABELS]).reshape(same.shape)
  np.testing.assert_allclose(other - same, expected, atol=1e-5)


def test_samples_have_the_requested_classes(conditional):
  players, _, _, shift = conditional
  model = linear().model
  asked = [
    model.sample_classes(players, jnp.full(4, label), key=KEY)
    for label in (0, 2)
  ]
  difference = (asked[1] - asked[0]).reshape(4, 6)
  np.testing.assert_allclose(
    difference, np.tile(shift[2] - shift[0], (4, 1)), atol=1e-5
  )
  in_turn = model.sample_classes(players, jnp.array([0, 1, 2, 0, 1]), key=KEY)
  np.testing.assert_array_equal(model.sample(players, key=KEY, num=5), in_turn)


def test_latents_of_samples_are_of_the_prior(conditional):
  players, _, _, shift = conditional
  labels = jnp.full(4000, 2)
  drawn = linear().model.sample_classes(players, labels, key=KEY)
  drawn = np.asarray(drawn).reshape(4000, 6)
  decoder = players['model']['params']['decoder']['Dense_0']
  w, mean = decoder['kernel'][:2], decoder['bias'] + shift[2]
  np.testing.assert_allclose(drawn.mean(0), mean, atol=0.1)
  np.testing.assert_allclose(np.cov(drawn.T), w.T @ w, atol=0.15)


def test_convolutions_see_the_class_as_well():
  objective = VAE(
    encoder=ConvEncoder(features=4, channels=(4,)),
    decoder=ConvDecoder(shape=(4, 4, 1), channels=(4,), base=4),
    classes=3,
  )
  batch = {'image': jnp.ones((7, 4, 4, 1)), 'label': LABELS}
  players = jax.jit(objective.init)(KEY, batch)
  latents = jax.jit(objective.model.encode)(players, batch)
  np.testing.assert_allclose(latents[0], latents[4], atol=1e-6)
  assert np.abs(latents[0] - latents[1]).max() > 1e-3
