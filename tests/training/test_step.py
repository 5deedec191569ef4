"""The interpreter of updates: order, cadence, averaging, and many devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from gen_jax.core import Aux, Update
from gen_jax.distributed import collectives, mesh
from gen_jax.training.step import init_state, make_train_chunk, make_train_step

KEY = jax.random.key(7)


@dataclasses.dataclass(frozen=True)
class Duel:
  """Two players of one number each, and a counter of calls."""

  every: int = 1

  pixels = 'unit'

  def init(self, key, batch):
    return {
      'a': {'params': {'w': jnp.float32(1)}, 'counts': {'n': jnp.float32(0)}},
      'b': {'params': {'w': jnp.float32(2)}},
    }

  def updates(self):
    return (
      Update(('a',), self.loss_a),
      Update(('b',), self.loss_b, every=self.every),
    )

  def loss_a(self, players, batch, *, key, step):
    a, b = (players[k]['params']['w'] for k in 'ab')
    count = {'n': players['a']['counts']['n'] + 1}
    loss = jnp.mean(batch['x']) * a * b
    return loss, Aux({'seen_b': b}, {'a': {'counts': count}})

  def loss_b(self, players, batch, *, key, step):
    a, b = (players[k]['params']['w'] for k in 'ab')
    return a * b, Aux({'seen_a': a})

  def predict_fns(self):
    return {}


@dataclasses.dataclass(frozen=True)
class Regression:
  """Least squares with a term of the mean over the whole batch."""

  noise: float = 0.0

  pixels = 'unit'

  def init(self, key, batch):
    return {'model': {'params': {'w': jnp.linspace(-1, 1, 3)}}}

  def updates(self):
    return (Update(('model',), self.loss),)

  def loss(self, players, batch, *, key, step):
    w = players['model']['params']['w']
    x = batch['x'] + self.noise * jax.random.normal(key, batch['x'].shape)
    out = jnp.tanh(x @ w)  # [B]
    mean = collectives.batch_mean(out)
    return jnp.mean(jnp.square(out - 0.3)) + jnp.log(1.5 + mean) ** 2, Aux()

  def predict_fns(self):
    return {}


SGD = {'a': optax.sgd(0.1), 'b': optax.sgd(0.1)}


def run(
  objective, optimizers, xs, *, ema=None, form=None, length=None, **kwargs
):
  """Trains on the batches xs [T, B, ...]; returns state and metrics."""
  form = form or mesh.Jit(Mesh(np.asarray(jax.devices()[:1]), ('data',)))
  players = objective.init(KEY, None)
  state = init_state(players, optimizers, ema or {})
  step = make_train_step(objective, optimizers, key=KEY, ema=ema, **kwargs)
  length = length or len(xs)
  chunk = form.compile(make_train_chunk(step, length))
  state, history = form.replicate(state), []
  for start in range(0, len(xs), length):
    part = xs[start : start + length]
    padded = np.concatenate(
      [part, np.zeros((length - len(part), *xs.shape[1:]))]
    )
    inputs = form.shard({'x': padded.astype(np.float32)})
    state, metrics = chunk(state, None, inputs, np.int32(len(part)))
    history.append({k: np.asarray(v)[: len(part)] for k, v in metrics.items()})
  return jax.device_get(form.unreplicate(state)), {
    k: np.concatenate([h[k] for h in history]) for k in history[0]
  }


def test_updates_run_in_order_each_on_the_outcome_of_the_one_before():
  state, metrics = run(Duel(), SGD, np.ones((1, 2)))
  # a: 1 - .1 * 2 = .8; b sees the new a: 2 - .1 * .8 = 1.92.
  assert float(state.players['a']['params']['w']) == pytest.approx(0.8)
  assert float(state.players['b']['params']['w']) == pytest.approx(1.92)
  assert metrics['b/seen_a'][0] == pytest.approx(0.8)
  assert metrics['a/seen_b'][0] == pytest.approx(2.0)
  assert metrics['a/grad_norm'][0] == pytest.approx(2.0)


def test_the_gradient_is_taken_at_projected_parameters():
  class Projected(Duel):
    def updates(self):
      def project(params):
        return jax.tree.map(lambda w: jnp.clip(w, -0.5, 0.5), params)

      a, b = super().updates()
      return a, dataclasses.replace(b, project=project)

    def loss_b(self, players, batch, *, key, step):
      return players['b']['params']['w'] ** 2, Aux()

  state, metrics = run(Projected(), SGD, np.ones((1, 2)))
  # b is 2, and .5 when its loss is evaluated; a sees it before that.
  assert metrics['b/loss'][0] == pytest.approx(0.25)
  assert metrics['b/grad_norm'][0] == pytest.approx(1.0)
  assert float(state.players['b']['params']['w']) == pytest.approx(0.4)
  assert float(state.players['a']['params']['w']) == pytest.approx(0.8)


def test_every_runs_at_the_end_of_its_cycle_and_across_dispatches():
  whole, metrics = run(Duel(every=3), SGD, np.ones((7, 2)))
  np.testing.assert_array_equal(metrics['b/loss'] != 0, [0, 0, 1, 0, 0, 1, 0])
  parts, _ = run(Duel(every=3), SGD, np.ones((7, 2)), length=2)
  jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_collections_that_a_loss_returns_are_kept():
  state, _ = run(Duel(), SGD, np.ones((5, 2)))
  assert float(state.players['a']['counts']['n']) == 5


def test_ema_follows_the_player_when_it_moves():
  state, _ = run(Duel(every=2), SGD, np.ones((2, 2)), ema={'b': 0.05})
  moved = float(state.players['b']['params']['w'])
  average = float(state.ema['b']['params']['w'])
  assert average == pytest.approx(0.05 * 2 + 0.95 * moved)


def test_ema_forgets_the_start_faster():
  state, _ = run(Duel(), SGD, np.ones((3, 2)), ema={'a': 0.999})
  # The count goes 1, 2, 3, and the decay 1 / 10, 2 / 11, 3 / 12.
  first = 0.9
  second = 2 / 11 * first + 9 / 11 * 2
  third = 3 / 12 * second + 9 / 12 * 3
  assert float(state.ema['a']['counts']['n']) == pytest.approx(third)


def test_ema_counts_the_updates_of_its_own_stage():
  def average(first):
    players = Duel().init(KEY, None)
    state = init_state(players, SGD, {'a': 0.999}, step=first)
    step = make_train_step(Duel(), SGD, key=KEY, ema={'a': 0.999}, start=first)
    for _ in range(3):
      state, _ = jax.jit(step)(state, {'x': jnp.ones(2)})
    return float(state.ema['a']['counts']['n'])

  assert average(1000) == pytest.approx(average(0))


def test_ema_averages_the_statistics_beside_the_parameters():
  state, _ = run(Duel(), SGD, np.ones((2, 2)), ema={'a': 0.1})
  # The count goes 0, 1, 2, and its average 0, .9, 1.89.
  assert float(state.ema['a']['counts']['n']) == pytest.approx(1.89)


def test_the_step_counts_from_the_start_of_its_stage():
  late = dataclasses.replace(Duel(every=3))
  players = late.init(KEY, None)
  state = init_state(players, SGD, {}, step=4)
  step = make_train_step(late, SGD, key=KEY, start=4)
  ran = []
  for _ in range(6):
    state, metrics = jax.jit(step)(state, {'x': jnp.ones(2)})
    ran.append(float(metrics['b/loss']) != 0)
  assert ran == [False, False, True] * 2


def test_accumulated_parts_equal_one_batch():
  xs = np.random.default_rng(0).normal(size=(4, 16, 3))
  # Not Adam, whose steps do not depend on the size of a gradient.
  sgd = {'model': optax.sgd(0.1)}

  @dataclasses.dataclass(frozen=True)
  class Plain(Regression):
    def loss(self, players, batch, *, key, step):
      out = jnp.tanh(batch['x'] @ players['model']['params']['w'])
      return jnp.mean(jnp.square(out - 0.3)), Aux()

  whole, _ = run(Plain(), sgd, xs)
  parts, _ = run(Plain(), sgd, xs, accumulate=2)
  np.testing.assert_allclose(
    whole.players['model']['params']['w'],
    parts.players['model']['params']['w'],
    rtol=1e-5,
  )


@pytest.mark.parametrize('form,noise', [('jit', 0.5), ('jit', 0), ('pmap', 0)])
def test_eight_devices_equal_one(form, noise):
  xs = np.random.default_rng(1).normal(size=(6, 16, 3))
  optimizers = {'model': optax.adam(0.05)}
  one, metrics_one = run(Regression(noise), optimizers, xs)
  many = mesh.make(form, 16)
  assert jax.device_count() == 8
  eight, metrics_eight = run(Regression(noise), optimizers, xs, form=many)
  np.testing.assert_allclose(
    one.players['model']['params']['w'],
    eight.players['model']['params']['w'],
    rtol=2e-5,
  )
  for name, values in metrics_one.items():
    np.testing.assert_allclose(values, metrics_eight[name], rtol=2e-5)


def test_pmapped_devices_draw_noise_of_their_own():
  @dataclasses.dataclass(frozen=True)
  class Spread(Regression):
    def loss(self, players, batch, *, key, step):
      draw = jax.random.normal(key)
      mean = collectives.mean(draw)
      spread = jnp.square(draw - mean)
      return 0 * players['model']['params']['w'].sum(), Aux({'spread': spread})

  _, metrics = run(
    Spread(),
    {'model': optax.sgd(1.0)},
    np.zeros((3, 8)),
    form=mesh.make('pmap', 8),
  )
  assert np.all(metrics['model/spread'] > 0.1)


def test_the_gradient_norm_is_over_all_parameters():
  @dataclasses.dataclass(frozen=True)
  class Linear(Regression):
    def init(self, key, batch):
      shapes = {'scalar': (), 'vector': (5,), 'kernel': (2, 3, 4)}
      params = {k: jnp.zeros(v) for k, v in shapes.items()}
      return {'model': {'params': params}}

    def loss(self, players, batch, *, key, step):
      leaves = jax.tree.leaves(players['model']['params'])
      return sum(2 * jnp.sum(leaf) for leaf in leaves), Aux()

  _, metrics = run(Linear(), {'model': optax.sgd(1.0)}, np.zeros((1, 2)))
  # 30 parameters, each with a gradient of 2.
  assert metrics['model/grad_norm'][0] == pytest.approx(2 * 30**0.5)


def test_the_length_of_a_dispatch_does_not_change_the_outcome():
  xs = np.random.default_rng(2).normal(size=(11, 8, 3))
  optimizers = {'model': optax.adam(0.05)}
  whole, _ = run(Regression(0.5), optimizers, xs)
  for length in (1, 3, 4):
    parts, _ = run(Regression(0.5), optimizers, xs, length=length)
    jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_losses_are_traced_once_for_dispatches_of_any_length():
  traces = []

  class Counted(Duel):
    def loss_a(self, *args, **kwargs):
      traces.append('a')
      return super().loss_a(*args, **kwargs)

    def loss_b(self, *args, **kwargs):
      traces.append('b')
      return super().loss_b(*args, **kwargs)

  duel = Counted(every=3)
  chunk = jax.jit(make_train_chunk(make_train_step(duel, SGD, key=KEY), 4))
  state = init_state(duel.init(KEY, None), SGD, {})
  inputs = {'x': np.ones((4, 2), np.float32)}
  state, _ = chunk(state, None, inputs, np.int32(4))
  state, _ = chunk(state, None, inputs, np.int32(1))
  assert traces == ['a', 'b']
  assert int(state.step) == 5
