"""Autoencoders: PCA is their linear form; sparsity; noise."""

import jax
import numpy as np
import optax
import pytest
from sklearn.decomposition import PCA

from gen_jax.distributed import mesh
from gen_jax.errors import InputError
from gen_jax.models.autoencoder import DenseDecoder, DenseEncoder
from gen_jax.objectives.autoencoder import Autoencoder
from gen_jax.objectives.parts.sparsity import L1, KLToTarget
from gen_jax.training.step import init_state, make_train_chunk, make_train_step

KEY = jax.random.key(0)
SHAPE = (4, 2, 1)
NETWORKS = dict(
  encoder=DenseEncoder(features=3, hidden=()),
  decoder=DenseDecoder(shape=SHAPE, hidden=()),
)


def images(num=64):
  rng = np.random.default_rng(0)
  mixed = rng.normal(size=(num, 5)) @ rng.normal(size=(5, 8))
  return (mixed / 10 + 0.5).reshape(num, *SHAPE).astype(np.float32)


def init(objective):
  return jax.jit(objective.init)(KEY, {'image': images()})


def fit(objective, steps, rate=0.02, form='jit'):
  """Trains on all images at once; returns the players and metrics."""
  x, layout = images(), mesh.make(form, 64)
  optimizers = {'model': optax.adam(optax.cosine_decay_schedule(rate, steps))}
  players = init(objective)
  step = make_train_step(objective, optimizers, key=KEY)
  chunk = layout.compile(make_train_chunk(step, steps))
  state = layout.replicate(init_state(players, optimizers, {}))
  inputs = {
    'image': np.broadcast_to(np.arange(64, dtype=np.int32), (steps, 64))
  }
  data = layout.replicate({'image': x})
  state, metrics = chunk(state, data, layout.shard(inputs), np.int32(steps))
  return jax.device_get(layout.unreplicate(state).players), metrics


def sparse(**fields):
  return Autoencoder(
    **NETWORKS, latent_activation='sigmoid', sparsity=KLToTarget(**fields)
  )


def test_the_linear_autoencoder_is_pca():
  objective = Autoencoder(**NETWORKS)
  players, _ = fit(objective, 3000)
  x = images().reshape(64, -1)
  pca = PCA(3).fit(x)
  least = np.square(pca.inverse_transform(pca.transform(x)) - x).sum(1).mean()
  errors = jax.jit(objective.anomaly_scores)(players, {'image': images()})[
    'error'
  ]
  assert errors.shape == (64,)
  assert float(errors.mean()) == pytest.approx(least, rel=0.02)


def test_the_kl_penalty_reaches_its_target():
  _, metrics = fit(sparse(weight=1.0, target=0.1), 600)
  assert float(metrics['model/activity'][-1]) == pytest.approx(0.1, rel=0.2)


def test_the_l1_penalty_puts_units_to_rest():
  wide = {**NETWORKS, 'encoder': DenseEncoder(features=32, hidden=())}
  activity, size = {}, {}
  for weight in (0.0, 0.1):
    objective = Autoencoder(
      **wide, latent_activation='relu', sparsity=L1(weight=weight)
    )
    _, metrics = fit(objective, 300, rate=0.003)
    activity[weight] = float(metrics['model/activity'][-1])
    size[weight] = float(metrics['model/sparsity'][-1])
  assert activity[0.0] > 0.3
  assert activity[0.1] < 0.7 * activity[0.0]
  assert size[0.1] < 0.5 * size[0.0]


@pytest.mark.parametrize('form', ['jit', 'pmap'])
def test_mean_activations_are_those_of_the_whole_batch(form):
  objective = sparse()
  many, metrics = fit(objective, 5, form=form)
  batch = {'image': images()}
  players = init(objective)
  latents = jax.jit(objective.encode)(players, batch)
  expected, _ = objective.sparsity.penalty(latents)
  assert float(metrics['model/sparsity'][0]) == pytest.approx(
    float(expected), rel=1e-5
  )
  alone = fit(objective, 5)[0]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    many,
    alone,
  )


def test_a_denoiser_gets_a_corrupted_image_and_reconstructs_the_clean_one():
  objective = Autoencoder(**NETWORKS, corruption='gaussian', level=0.2)
  batch = {'image': images()}

  @jax.jit
  def compute(players):
    loss, _ = objective.loss(players, batch, key=KEY, step=0)
    noisy = objective.corrupt(players, batch, key=KEY)
    return loss, objective.reconstruct(players, {'image': noisy})

  loss, out = compute(init(objective))
  expected = np.square(out - batch['image']).sum((1, 2, 3)).mean()
  assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_the_kl_penalty_needs_activations_between_0_and_1():
  with pytest.raises(InputError, match="latent_activation='linear'.*sigmoid"):
    Autoencoder(**NETWORKS, sparsity=KLToTarget())


def test_only_a_denoiser_can_corrupt():
  assert 'corrupt' not in Autoencoder(**NETWORKS).predict_fns()
  denoiser = Autoencoder(**NETWORKS, corruption='masking')
  assert 'corrupt' in denoiser.predict_fns()
