"""What holds for each objective: many devices, and keys used once."""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import (
  APART,
  KEY,
  OBJECTIVES,
  Heads,
  implemented,
  make_batch,
  players,
  without_noise,
)
from drawn import drawn
from jax.sharding import Mesh

from gen_jax.core import TrainState
from gen_jax.distributed import collectives, mesh
from gen_jax.errors import InputError
from gen_jax.losses.contrastive import symmetric
from gen_jax.objectives.contrastive import Contrastive
from gen_jax.training.step import make_train_step

pytestmark = pytest.mark.usefixtures('fast_compilation')


def test_every_objective_has_a_case():
  tested = {type(objective) for objective in OBJECTIVES.values()}
  assert tested | APART == set(implemented())


def with_a_draw(batch, key):
  """Preprocessing that uses its key, and leaves the batch as it is."""
  jax.random.bernoulli(key)
  return batch


def train_once(name, form, **recorder):
  """One step of gradient descent: the metrics, and the players after it."""
  objective = OBJECTIVES[name]
  wrt = {player for u in objective.updates() for player in u.wrt}
  optimizers = dict.fromkeys(wrt, optax.sgd(0.1))
  train_step = make_train_step(
    objective,
    optimizers,
    key=KEY,
    preprocess=with_a_draw,
  )

  def chunk(state, data, inputs, count):
    return train_step(state, jax.tree.map(lambda x: x[0], inputs))

  opt = {k: tx.init(players(name)[k]) for k, tx in optimizers.items()}
  state = form.place(TrainState(np.int32(0), players(name), opt, {}))
  inputs = form.shard({k: x[None] for k, x in make_batch(name).items()})
  with without_noise(**recorder):
    state, metrics = form.compile(chunk)(state, None, inputs, np.int32(1))
  made = jax.device_get(form.unreplicate(state.players))
  return jax.device_get(metrics), made


def jit(count):
  return mesh.Jit(Mesh(np.asarray(jax.devices()[:count]), ('data',)))


@functools.cache
def on_one_device(name):
  """The outcome of `train_once`, and the keys that were used."""
  keys = []
  outcome = train_once(name, jit(1), record=keys.append)
  return outcome, keys


DIVIDED = ('vae/free_bits', 'gan', 'stylegan', 'cyclegan')


# Under jit a loss does not know of the devices; a few are enough.
@pytest.mark.parametrize(
  'name,form',
  [
    *((name, 'pmap') for name in OBJECTIVES),
    *((name, 'jit') for name in ('contrastive', 'cgan', 'debiasing_vae')),
    *((name, 'fsdp') for name in DIVIDED),
  ],
)
def test_four_devices_give_what_one_gives(name, form):
  one, _ = on_one_device(name)
  devices = tuple(jax.devices()[:4])
  forms = {
    'jit': jit(4),
    'pmap': mesh.Pmap(devices),
    'fsdp': mesh.Fsdp(jit(4), least=8),
  }
  four = train_once(name, forms[form])
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
    four,
    one,
  )


@pytest.mark.parametrize('name', OBJECTIVES)
def test_no_two_draws_of_a_step_share_a_key(name):
  _, keys = on_one_device(name)
  assert keys
  assert len(keys) == len(set(keys))


@pytest.mark.parametrize('name', ['cyclegan', 'regression'])
def test_networks_of_one_form_start_apart(name):
  objective = OBJECTIVES[name]
  made = jax.jit(objective.init)(KEY, make_batch(name))
  for a, b in itertools.combinations(made, 2):
    first, second = (jax.tree.leaves(made[k]['params']) for k in (a, b))
    for x, y in zip(first, second, strict=True):
      if x.shape == y.shape and x.std() > 0:  # no biases of zero
        assert np.abs(x - y).max() > 0.01, (a, b)


def test_contrastive_networks_know_whether_they_train():
  known = []

  class Tells(Heads):
    field = 'embedding'

    def __call__(self, x, train=False):
      known.append(train)
      return super().__call__(x, train)

  objective = Contrastive(text=Tells((3,)), image=Tells((3, 2)))
  batch = make_batch('contrastive')
  made = jax.eval_shape(objective.init, KEY, batch)
  for fn in (objective.encode_text, objective.encode_image, objective.features):
    jax.eval_shape(fn, made, batch)
  assert not any(known)
  known.clear()
  jax.eval_shape(
    functools.partial(objective.loss, key=KEY, step=0), made, batch
  )
  assert known and all(known)


def test_the_temperature_divides_the_products_of_vectors():
  class Linear(nn.Module):
    outputs: int
    field = 'embedding'

    @nn.compact
    def __call__(self, x, train=False):
      vectors = nn.Dense(3)(x.reshape(len(x), -1))
      return vectors if self.outputs == 1 else (vectors, vectors)

  objective = Contrastive(text=Linear(1), image=Linear(2), temperature=0.5)
  batch = make_batch('contrastive')
  batch['embedding'] = batch['embedding'][:, :1]  # one caption of each image
  made = drawn(objective.init, KEY, batch)

  @jax.jit
  def compute(made, batch):
    loss, _ = objective.loss(made, batch, key=KEY, step=0)
    return (
      loss,
      objective.encode_image(made, batch),
      objective.encode_text(made, batch),
    )

  loss, images, texts = compute(made, batch)
  logits = images @ texts.T / 3 / 0.5
  assert float(loss) == pytest.approx(float(symmetric(logits).mean()), rel=1e-5)


def test_a_contrastive_model_gives_vectors_and_what_they_are_linear_in():
  objective, made = OBJECTIVES['contrastive'], players('contrastive')
  batch = make_batch('contrastive')
  vectors, features = objective.image.apply(made['image'], batch['image'])
  looked = objective.encode_image(made, batch)
  np.testing.assert_allclose(jnp.mean(looked**2, axis=-1), 1, rtol=1e-5)
  direction = vectors / jnp.linalg.norm(vectors, axis=-1, keepdims=True)
  np.testing.assert_allclose(looked, direction * 3**0.5, rtol=1e-4)
  np.testing.assert_array_equal(objective.features(made, batch), features)
  assert objective.encode_text(made, batch).shape == looked.shape


def test_the_negatives_of_a_pair_are_on_all_devices():
  class Same(nn.Module):
    """Equal vectors for all captions, or images and their features."""

    outputs: int
    field = 'embedding'

    @nn.compact
    def __call__(self, x, train=False):
      vectors = jnp.ones((len(x), 3))
      return vectors if self.outputs == 1 else (vectors, vectors)

  objective = Contrastive(text=Same(1), image=Same(2))
  form = mesh.Pmap(tuple(jax.devices()[:4]))

  def chunk(state, data, inputs, count):
    batch = {k: x[0] for k, x in inputs.items()}
    players = {'text': {}, 'image': {}}
    loss, _ = objective.loss(players, batch, key=KEY, step=0)
    return state, {'loss': collectives.mean(loss)}

  batch = make_batch('contrastive', 32)
  inputs = form.shard({k: x[None] for k, x in batch.items()})
  run = form.compile(chunk)
  _, metrics = run(form.replicate({}), None, inputs, np.int32(1))
  # And not log 8 = 2.079, of the eight pairs on a device.
  assert float(metrics['loss']) == pytest.approx(np.log(32), rel=1e-5)


# The objectives whose loss is not a mean over examples, and a word of the why.
COMPARING = {
  'cgan': 'matching_aware_weight',
  'contrastive': 'negatives',
  'cyclegan': 'pools',
  'debiasing_vae': 'density',
  'gan/dragan': 'Dragan',
  'sparse_kl': 'mean activation',
  'stackgan/1': 'matching_aware_weight',
  'stackgan/2': 'matching_aware_weight',
  'stackgan/relativistic': 'matching_aware_weight',
  'vae/capacity': 'capacity',
  'vae/free_bits': 'free_bits',
}


@pytest.mark.parametrize('name', OBJECTIVES)
def test_gradients_accumulate_unless_a_loss_compares_the_examples(name):
  def make():
    make_train_step(OBJECTIVES[name], {}, key=KEY, accumulate=2)

  if name not in COMPARING:
    return make()
  with pytest.raises(InputError, match=rf'accumulate=2.*{COMPARING[name]}.*1'):
    make()
