"""What evaluators are computed with."""

import jax
import jax.numpy as jnp
import optax
import pytest
from jaxprs import equations

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.features import extractors
from gen_jax.evaluation.metrics.likelihood import NLL
from gen_jax.models.autoencoder import ConvDecoder, ConvEncoder
from gen_jax.objectives.vae import VAE
from gen_jax.training.step import init_state, make_train_step

KEY = jax.random.key(0)
BATCH = {'image': jnp.zeros((4, 8, 8, 1))}
HIGHEST = (jax.lax.Precision.HIGHEST,) * 2


@pytest.fixture
def task():
  objective = VAE(
    encoder=ConvEncoder(4, channels=(2, 2)),
    decoder=ConvDecoder((8, 8, 1), channels=(2, 2), base=2),
  )
  images = {'image': jnp.zeros((4, 8, 8, 1), 'uint8')}
  source = array_source('toy', 'test', images)
  return Task(objective, lambda split: source, Preprocess('unit'))


def precisions(fn, *args):
  """The precision of every convolution and matrix product of a program."""
  found = {'conv_general_dilated': [], 'dot_general': []}
  for eqn in equations(jax.make_jaxpr(fn)(*args)):
    if eqn.primitive.name in found:
      found[eqn.primitive.name].append(eqn.params['precision'])
  convolutions, products = found.values()
  assert convolutions and products
  return {*convolutions, *products}


def test_evaluators_compute_in_full_float32(task):
  players = task.objective.init(KEY, BATCH)
  elbo = task.predict('elbo')
  nll = NLL(task, samples=4, chunk=2)._log_likelihood

  def both(players, batch):
    return elbo(players, batch, key=KEY), nll(players, batch, KEY)

  assert precisions(both, players, BATCH) == {HIGHEST}


def test_features_are_computed_in_full_float32(task):
  apply = extractors.RandomFeatures((8, 8, 1)).apply
  assert precisions(apply, BATCH['image']) == {HIGHEST}


def test_a_function_of_the_users_is_computed_in_full_float32(monkeypatch):
  seen = []

  def function(images):
    seen.append(jax.config.jax_default_matmul_precision)
    return images.reshape(len(images), -1)

  monkeypatch.setattr(extractors, '_find', lambda name: function)
  extractors.load('module.function', (2, 2, 1)).extract(jnp.zeros((3, 2, 2, 1)))
  assert set(seen) == {'highest'}


def test_training_keeps_the_precision_of_the_platform(task):
  objective = task.objective
  optimizers = {'model': optax.sgd(0.1)}
  players = objective.init(KEY, BATCH)
  state = init_state(players, optimizers, {})
  step = make_train_step(objective, optimizers, key=KEY)
  assert None in precisions(step, state, BATCH)
