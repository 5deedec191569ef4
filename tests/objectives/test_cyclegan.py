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
from gen_jax.distributed import parallel
from gen_jax.errors import InputError
from gen_jax.models.translation import PatchDiscriminator, ResidualTranslator
from gen_jax.objectives import pool
from gen_jax.objectives.cyclegan import CycleGAN
from gen_jax.objectives.translation import PairedRegression
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


class Judge(nn.Module):
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
      'disc_a': Judge(0.7),
      'disc_b': Judge(-0.2),
      **fields,
    }
  )


def batch(count=4, size=8, channels=(1, 1), seed=0):
  rng = np.random.default_rng(seed)
  return {
    name: rng.uniform(-1, 1, (count, size, size, c)).astype(np.float32)
    for name, c in zip('ab', channels, strict=True)
  }


def gens_by_hand(a, b, adversarial=1.0, cycle=10.0, identity=5.0):
  """Equation 3 for the linear players, in float64."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  fake_b, fake_a = 0.5 * a, 3.0 * b
  fooled = np.mean((-0.2 * fake_b - 1) ** 2) + np.mean((0.7 * fake_a - 1) ** 2)
  back = np.mean(abs(3 * fake_b - a)) + np.mean(abs(0.5 * fake_a - b))
  same = np.mean(abs(0.5 * b - b)) + np.mean(abs(3 * a - a))
  return adversarial * fooled + cycle * back + identity * same


@pytest.mark.parametrize('fields', [{}, dict(cycle=2.0, identity=0.0)])
def test_the_generators_loss_is_that_of_the_paper(fields):
  objective, data = linear(**fields), batch()
  players = objective.init(KEY, data)
  loss, aux = jax.jit(objective.gens_loss)(players, data, key=KEY, step=0)
  assert float(loss) == pytest.approx(gens_by_hand(**data, **fields), rel=1e-5)
  shown = aux.memory['disc_b']['pool']['shown']  # the pool is empty yet
  np.testing.assert_array_equal(shown, 0.5 * data['a'])


def test_the_judges_loss_is_half_the_squares_of_what_is_shown():
  objective, data = linear(), batch()
  players = objective.init(KEY, data)
  shown = {k: np.random.default_rng(3).normal(size=x.shape) for k, x in
           data.items()}  # fmt: skip
  for name in 'ab':
    players[f'disc_{name}']['pool']['shown'] = jnp.asarray(shown[name])
  loss, aux = jax.jit(objective.discs_loss)(players, data, key=KEY, step=0)
  want = 0.0
  for name, w in (('a', 0.7), ('b', -0.2)):
    want += np.mean((w * data[name] - 1) ** 2) / 2
    want += np.mean((w * shown[name]) ** 2) / 2
  assert float(loss) == pytest.approx(want, rel=1e-5)
  assert aux.metrics['real_accuracy_b'] == 0


def test_the_judges_see_what_was_made_before_the_generators_moved():
  objective, data = linear(pool=0), batch()
  optimizers = dict.fromkeys(PLAYERS, optax.sgd(0.1))
  state = init_state(objective.init(KEY, data), optimizers, {})
  step = jax.jit(make_train_step(objective, optimizers, key=KEY))
  after, _ = step(state, data)
  shown = after.players['disc_b']['pool']['shown']
  np.testing.assert_allclose(shown, 0.5 * data['a'], rtol=1e-6)
  assert float(after.players['gen_ab']['params']['w']) != 0.5


# The pool.


def test_a_pool_fills_then_swaps_half_of_what_comes():
  empty = pool.empty(6, jnp.zeros((4, 1, 1, 1)))
  state, swaps = empty, []
  exchange = jax.jit(pool.exchange)
  for step in range(100):
    new = 4 * step + jnp.arange(4.0).reshape(4, 1, 1, 1)
    before = set(np.ravel(state['images'])[: int(state['count'])].tolist())
    state = exchange(state, new, jax.random.fold_in(KEY, step))
    shown = np.ravel(state['shown'])
    kept = set(np.ravel(state['images'])[: int(state['count'])].tolist())
    if step == 0:
      assert kept == {0, 1, 2, 3} and int(state['count']) == 4
      assert shown.tolist() == [0, 1, 2, 3]
    else:
      assert int(state['count']) == len(kept) == 6
    # Nothing is lost or made up: what was shown or kept is what there was.
    assert before | set(np.ravel(new).tolist()) == kept | set(shown.tolist())
    swaps.append(np.mean(shown < 4 * step))
  assert np.mean(swaps[2:]) == pytest.approx(0.5, abs=0.08)


def test_a_pool_of_none_shows_what_is_new():
  state = pool.empty(0, jnp.zeros((2, 1, 1, 1)))
  new = jnp.ones((2, 1, 1, 1))
  assert set(state) == {'shown'}
  np.testing.assert_array_equal(pool.exchange(state, new, KEY)['shown'], new)


# Many devices.


def run(form, steps=6):
  """Trains; returns the state and the metrics."""
  data = [batch(8, 4, seed=seed) for seed in range(steps)]
  objective = linear(pool=12)
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
    parallel.Jit(Mesh(np.asarray(jax.devices()[:1]), ('data',)))
  )
  return jax.device_get(form.unreplicate(state)), metrics


@pytest.mark.parametrize('name', ['jit', 'pmap'])
def test_eight_devices_equal_one_the_pools_included(one, name):
  assert jax.device_count() == 8
  state, form, metrics = run(parallel.make(name, 8))
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


def test_a_resume_is_exact_the_pools_included(tmp_path, one_device):
  config = config_lib.load('configs/cyclegan.py:test')
  for player in PLAYERS:
    config.objective[player].update(channels=2, levels=0)
  for player in PLAYERS[:2]:
    config.objective[player].blocks = 0
  config.objective.identity = 0.0
  config.evals = {}
  config.checkpoint.every = 3
  train(config, tmp_path)
  whole, _ = trained.open_trained(tmp_path)
  assert int(whole.players['disc_a']['pool']['count']) == 12
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
    **{'identity': 0.0, 'pool': 12, **fields},
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
  assert float(aux.metrics['ba']) == pytest.approx(ba, rel=1e-5)
  assert set(players) == {'gen_ab', 'gen_ba'}


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
      lambda: shapes(small(identity=5.0), batch(1, 8, (1, 2))),
      'identity=5.0: images of 1 channels .* take 0',
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
