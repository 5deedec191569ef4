"""Translation without pairs: its losses, its pools, and many devices."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import Mesh

from gen_jax import config as config_lib
from gen_jax.distributed import mesh
from gen_jax.errors import InputError
from gen_jax.models.translation import PatchDiscriminator, ResidualTranslator
from gen_jax.objectives.cyclegan import CycleGAN
from gen_jax.objectives.parts import image_pool
from gen_jax.objectives.parts.regularizers import R1, R2
from gen_jax.objectives.regression import PairedRegression
from gen_jax.training import trained
from gen_jax.training.loop import train
from gen_jax.training.step import init_state, make_train_chunk, make_train_step

KEY = jax.random.key(0)
PLAYERS = ('gen_ab', 'gen_ba', 'disc_a', 'disc_b')


class Scale(nn.Module):
  """x -> w x."""

  start: float
  stride: int = 2

  @nn.compact
  def __call__(self, x, train=False):
    return x * self.param('w', nn.initializers.constant(self.start), ())


class Discriminator(nn.Module):
  """Each pixel times w."""

  start: float

  @nn.compact
  def __call__(self, x, train=False):
    w = self.param('w', nn.initializers.constant(self.start), ())
    return w * x[..., 0]


def linear(**fields):
  return CycleGAN(
    **{
      'gen_ab': Scale(0.5),
      'gen_ba': Scale(3.0),
      'disc_a': Discriminator(0.7),
      'disc_b': Discriminator(-0.2),
      **fields,
    }
  )


def batch(count=4, size=8, channels=(1, 1), seed=0):
  rng = np.random.default_rng(seed)
  return {
    name: rng.uniform(-1, 1, (count, size, size, c)).astype(np.float32)
    for name, c in zip('ab', channels, strict=True)
  }


def gen_loss_by_hand(a, b, cycle_weight=10.0, identity_weight=5.0):
  """Equation 3 for the linear players, in float64."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  fake_b, fake_a = 0.5 * a, 3.0 * b
  adversarial = np.mean((-0.2 * fake_b - 1) ** 2)
  adversarial += np.mean((0.7 * fake_a - 1) ** 2)
  back = np.mean(abs(3 * fake_b - a)) + np.mean(abs(0.5 * fake_a - b))
  same = np.mean(abs(0.5 * b - b)) + np.mean(abs(3 * a - a))
  return adversarial + cycle_weight * back + identity_weight * same


@pytest.mark.parametrize(
  'fields', [{}, dict(cycle_weight=2.0, identity_weight=0.0)]
)
def test_the_generators_loss_is_that_of_the_paper(fields):
  objective, data = linear(**fields), batch()
  players = objective.init(KEY, data)
  loss, aux = jax.jit(objective.gen_loss)(players, data, key=KEY, step=0)
  assert float(loss) == pytest.approx(
    gen_loss_by_hand(**data, **fields), rel=1e-5
  )
  output = aux.memory['disc_b']['image_pool']['output']  # the pool is empty yet
  np.testing.assert_array_equal(output, 0.5 * data['a'])


def test_the_discriminators_loss_is_half_of_the_squares():
  objective, data = linear(), batch()
  players = objective.init(KEY, data)
  output = {k: np.random.default_rng(3).normal(size=x.shape) for k, x in
           data.items()}  # fmt: skip
  for name in 'ab':
    players[f'disc_{name}']['image_pool']['output'] = jnp.asarray(output[name])
  loss, aux = jax.jit(objective.disc_loss)(players, data, key=KEY, step=0)
  want = 0.0
  for name, w in (('a', 0.7), ('b', -0.2)):
    want += np.mean((w * data[name] - 1) ** 2) / 2
    want += np.mean((w * output[name]) ** 2) / 2
  assert float(loss) == pytest.approx(want, rel=1e-5)
  assert aux.metrics['real_accuracy_b'] == 0


def test_the_discriminators_get_images_from_before_the_generators_moved():
  objective, data = linear(pool_size=0), batch()
  optimizers = dict.fromkeys(PLAYERS, optax.sgd(0.1))
  state = init_state(objective.init(KEY, data), optimizers, {})
  step = jax.jit(make_train_step(objective, optimizers, key=KEY))
  after, _ = step(state, data)
  output = after.players['disc_b']['image_pool']['output']
  np.testing.assert_allclose(output, 0.5 * data['a'], rtol=1e-6)
  assert float(after.players['gen_ab']['params']['w']) != 0.5


def test_a_relativistic_loss_compares_real_and_generated_patches():
  fields = dict(loss='relativistic', cycle_weight=0.0, identity_weight=0.0)
  objective = linear(**fields, adversarial_weight=1.0, pool_size=0)
  data = batch()
  players = objective.init(KEY, data)
  fake = {'a': 3.0 * data['b'], 'b': 0.5 * data['a']}
  differences = {
    k: w * (data[k].astype(np.float64) - fake[k])
    for k, w in (('a', 0.7), ('b', -0.2))
  }
  for name in 'ab':
    players[f'disc_{name}']['image_pool']['output'] = jnp.asarray(fake[name])
  for loss, sign in ((objective.gen_loss, 1), (objective.disc_loss, -1)):
    total, _ = loss(players, data, key=KEY, step=0)
    terms = [np.log1p(np.exp(sign * d)).mean() for d in differences.values()]
    assert float(total) == pytest.approx(sum(terms), rel=1e-5)


# The pool.


def test_a_pool_fills_then_swaps_half_of_what_comes():
  empty = image_pool.init(6, jnp.zeros((4, 1, 1, 1)))
  state, swaps = empty, []
  exchange = jax.jit(image_pool.exchange)
  for step in range(100):
    new = 4 * step + jnp.arange(4.0).reshape(4, 1, 1, 1)
    before = set(np.ravel(state['images'])[: int(state['count'])].tolist())
    state = exchange(state, new, jax.random.fold_in(KEY, step))
    output = np.ravel(state['output'])
    stored = set(np.ravel(state['images'])[: int(state['count'])].tolist())
    if step == 0:
      assert stored == {0, 1, 2, 3} and int(state['count']) == 4
      assert output.tolist() == [0, 1, 2, 3]
    else:
      assert int(state['count']) == len(stored) == 6
    # Nothing is lost or made up: what is stored or put out is what there was.
    assert before | set(np.ravel(new).tolist()) == stored | set(output.tolist())
    swaps.append(np.mean(output < 4 * step))
  assert np.mean(swaps[2:]) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize('size,batch_size', [(3, 7), (5, 4), (50, 1)])
def test_a_pool_gets_the_images_one_by_one(size, batch_size):
  state = image_pool.init(size, jnp.zeros((batch_size, 1, 1, 1)))
  exchange, stored = jax.jit(image_pool.exchange), []
  for step in range(70 // batch_size):
    new = np.arange(1.0, 1 + batch_size) + batch_size * step
    key = jax.random.fold_in(KEY, step)
    state = exchange(state, jnp.asarray(new).reshape(-1, 1, 1, 1), key)
    key_coin, key_place = jax.random.split(key)
    swaps = jax.random.bernoulli(key_coin, shape=(batch_size,))
    places = jax.random.randint(key_place, (batch_size,), 0, size)
    output = []
    for image, swap, place in zip(new, swaps, places, strict=True):
      if len(stored) < size:
        stored.append(image)
        output.append(image)
      elif swap:
        output.append(stored[place])
        stored[place] = image
      else:
        output.append(image)
    assert np.ravel(state['output']).tolist() == output
    assert np.ravel(state['images'])[: len(stored)].tolist() == stored


def test_a_pool_of_size_0_puts_out_what_is_new():
  state = image_pool.init(0, jnp.zeros((2, 1, 1, 1)))
  new = jnp.ones((2, 1, 1, 1))
  assert set(state) == {'output'}
  np.testing.assert_array_equal(
    image_pool.exchange(state, new, KEY)['output'], new
  )


# Many devices.


def run(form, steps=6):
  """Trains; returns the state and the metrics."""
  data = [batch(8, 4, seed=seed) for seed in range(steps)]
  objective = linear(pool_size=12)
  optimizers = dict.fromkeys(PLAYERS, optax.sgd(0.005))
  players = jax.jit(objective.init)(KEY, data[0])
  state = form.replicate(init_state(players, optimizers, {}))
  step = make_train_step(objective, optimizers, key=KEY)
  chunk = form.compile(make_train_chunk(step, 2))
  history = []
  for start in range(0, steps, 2):
    inputs = {k: np.stack([x[k] for x in data[start:][:2]]) for k in 'ab'}
    state, metrics = chunk(state, None, form.shard(inputs), np.int32(2))
    history.append(jax.device_get(metrics))
  metrics = {k: np.concatenate([h[k] for h in history]) for k in history[0]}
  return state, form, metrics


@pytest.fixture(scope='module')
def one():
  state, form, metrics = run(
    mesh.Jit(Mesh(np.asarray(jax.devices()[:1]), ('data',)))
  )
  return jax.device_get(form.unreplicate(state)), metrics


@pytest.mark.parametrize('name', ['jit', 'pmap'])
def test_eight_devices_equal_one_the_pools_included(one, name):
  assert jax.device_count() == 8
  state, form, metrics = run(mesh.make(name, 8))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    one[0].players,
    jax.device_get(form.unreplicate(state)).players,
  )
  for key, values in one[1].items():
    np.testing.assert_allclose(values, metrics[key], rtol=1e-4, atol=1e-6)
  # Every device has the whole state, and the same.
  for leaf in jax.tree.leaves(state):
    parts = [np.asarray(x.data) for x in leaf.addressable_shards]
    assert len(parts) == 8
    for part in parts[1:]:
      np.testing.assert_array_equal(part, parts[0])


def test_parts_of_a_batch_are_refused():
  optimizers = dict.fromkeys(PLAYERS, optax.sgd(0.02))
  with pytest.raises(InputError, match='accumulate=2.*pools'):
    make_train_step(linear(), optimizers, key=KEY, accumulate=2)


@pytest.mark.slow('trains three times')
def test_a_resume_is_exact_the_pools_included(tmp_path, one_device):
  config = config_lib.load('configs/cyclegan.py:test')
  for player in PLAYERS:
    config.objective[player].update(channels=2, levels=0)
  for player in PLAYERS[:2]:
    config.objective[player].blocks = 0
  config.objective.identity_weight = 0.0
  config.evals = {}
  config.checkpoint.every = 3
  train(config, tmp_path)
  whole, _ = trained.open_trained(tmp_path)
  assert int(whole.players['disc_a']['image_pool']['count']) == 12
  os.rename(tmp_path / 'checkpoints' / '6', tmp_path / 'gone')
  again, _ = train(config, tmp_path)
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(again), whole)


# What it can do, and what it refuses.


def small(**fields):
  """Convolutional players, for domains of one channel and of two."""
  gen = dict(channels=2, blocks=1)
  return CycleGAN(
    gen_ab=ResidualTranslator(out=2, **gen),
    gen_ba=ResidualTranslator(out=1, **gen),
    disc_a=PatchDiscriminator(channels=2, levels=1),
    disc_b=PatchDiscriminator(channels=2, levels=1),
    **{'identity_weight': 0.0, 'pool_size': 12, **fields},
  )


class Spread(nn.Module):
  """x + its mean, over what a stride of 4 divides."""

  stride: int = 4

  @nn.compact
  def __call__(self, x, train=False):
    assert x.shape[1] % 4 == x.shape[2] % 4 == 0
    w = self.param('w', nn.initializers.constant(1.0), ())
    return x + w * jnp.mean(x, axis=(1, 2), keepdims=True)


def test_images_of_any_size_are_translated():
  objective = linear(gen_ab=Spread(), gen_ba=Spread())
  players = objective.init(KEY, batch())
  odd = np.random.default_rng(0).normal(size=(2, 9, 14, 1))
  out = objective.predict_fns()['translate_ab'](players, {'a': odd})
  # Mirrored at the far edges, up to 12x16, and cut again.
  whole = np.pad(odd, ((0, 0), (0, 3), (0, 2), (0, 0)), mode='symmetric')
  want = odd + whole.mean(axis=(1, 2), keepdims=True)
  np.testing.assert_allclose(out, want, atol=1e-5)
  back = objective.predict_fns()['translate_ba'](players, {'b': odd})
  np.testing.assert_allclose(back, want, atol=1e-5)


def test_regression_is_the_mean_absolute_error_of_both():
  objective = PairedRegression(gen_ab=Scale(0.5), gen_ba=Scale(3.0))
  data = batch()
  players = objective.init(KEY, data)
  loss, aux = objective.loss(players, data, key=KEY, step=0)
  ab = np.mean(np.abs(0.5 * data['a'] - data['b']))
  ba = np.mean(np.abs(3.0 * data['b'] - data['a']))
  assert float(loss) == pytest.approx(ab + ba, rel=1e-5)
  assert float(aux.metrics['l1_ba']) == pytest.approx(ba, rel=1e-5)
  assert set(players) == {'gen_ab', 'gen_ba'}


def test_a_warning_when_a_discriminator_is_always_right():
  warnings = linear().updates()[1].warnings
  names = [f'disc/{k}_accuracy_{d}' for k in ('real', 'fake') for d in 'ab']
  metrics = {**dict.fromkeys(names, 1.0), 'gen/grad_norm': 1.0}
  metrics['disc/fake_accuracy_a'] = 0.8
  found = warnings(metrics)
  assert set(found) == {'no_convergence_b'}
  assert 'optim.disc_b.learning_rate' in found['no_convergence_b']
  found = warnings({**metrics, 'gen/grad_norm': 1e-3})
  assert set(found) == {'vanishing_gradient_b'}
  assert not warnings({})


def test_each_discriminator_takes_several_regularizers():
  """With D(x) = w x for each pixel the gradient of its mean is w / pixels."""
  plain, data = linear(), batch()
  players = plain.init(KEY, data)
  both = (R1(weight=3.0), R2(weight=5.0), R1(weight=7.0, every=4, key='lazy'))
  objective = linear(regularizers=both)
  pixels = data['a'][0].size
  penalty = sum(
    np.square(float(players[f'disc_{d}']['params']['w'])) / (2 * pixels)
    for d in 'ab'
  )
  _, aux = plain.gen_loss(players, data, key=KEY, step=0)
  players = {**players}
  for name, state in aux.memory.items():
    players[name] = {**players[name], **state}
  expected, _ = plain.disc_loss(players, data, key=KEY, step=0)
  found, aux = objective.disc_loss(players, data, key=KEY, step=0)
  assert float(found - expected) == pytest.approx(8 * penalty, rel=1e-4)
  assert {'r1_a', 'r2_b'} <= set(aux.metrics)
  lazy = objective.updates()[2:]
  assert [u.name for u in lazy] == ['disc_a_lazy', 'disc_b_lazy']
  total = sum(u.loss(players, data, key=KEY, step=0)[0] for u in lazy)
  assert float(total) == pytest.approx(4 * 7 * penalty, rel=1e-4)


def shapes(objective, data):
  return jax.eval_shape(objective.init, KEY, data)


@pytest.mark.parametrize(
  'make,match',
  [
    (lambda: shapes(linear(), {'image': jnp.zeros(1)}), "'domains'"),
    (
      lambda: shapes(linear(), batch(1, 8, (1, 2))),
      r'gen_ab.out: the network makes images of .*, and the images of the',
    ),
    (
      lambda: shapes(small(identity_weight=5.0), batch(1, 8, (1, 2))),
      'identity_weight=5.0: images of 1 channels .* take 0',
    ),
    (
      lambda: shapes(
        linear(
          disc_a=PatchDiscriminator(channels=2, levels=1, normalize='spectral')
        ),
        batch(),
      ),
      "disc_a.normalize: .*spectral: take 'instance'",
    ),
  ],
)
def test_what_is_refused(make, match):
  with pytest.raises(InputError, match=match):
    make()
