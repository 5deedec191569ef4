"""GANs: which player an update changes, and its losses."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawn import drawn
from jax.sharding import Mesh

from gen_jax.distributed import mesh
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES
from gen_jax.models import dcgan, dense
from gen_jax.objectives.gan import GAN
from gen_jax.objectives.parts import adversarial
from gen_jax.objectives.parts.conditioning import Embedding
from gen_jax.objectives.parts.latents import Normal
from gen_jax.objectives.parts.regularizers import R1, GradientPenalty
from gen_jax.training.step import init_state, make_train_chunk, make_train_step

KEY = jax.random.key(0)
POINT = (1, 1, 2)


def points(num=64, center=(0.0, 0.0), seed=0, scale=1.0):
  noise = np.random.default_rng(seed).normal(size=(num, 2))
  values = scale * noise + np.array(center)
  return values.astype(np.float32).reshape(num, *POINT)


def gan(**fields):
  fields = {
    'gen': dense.Generator(POINT, (16,), output='linear'),
    'disc': dense.Discriminator((16,)),
    'latents': Normal(size=2),
    **fields,
  }
  return GAN(**fields)


def train(objective, optimizers, x, steps, batch=64, form=None, players=None):
  """Trains on batches drawn from x [N, ...]; returns state and metrics."""
  form = form or mesh.Jit(Mesh(np.asarray(jax.devices()[:1]), ('data',)))
  players = players or jax.jit(objective.init)(KEY, {'image': x})
  state = form.replicate(init_state(players, optimizers, {}))
  step = make_train_step(objective, optimizers, key=KEY)
  chunk = form.compile(make_train_chunk(step, steps))
  rows = np.random.default_rng(1).integers(0, len(x), (steps, batch))
  state, metrics = chunk(
    state,
    form.replicate({'image': x}),
    form.shard({'image': rows.astype(np.int32)}),
    np.int32(steps),
  )
  return jax.device_get(form.unreplicate(state)), jax.device_get(metrics)


# The losses.


def test_the_equilibrium_costs_what_the_paper_says():
  class Zero(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
      w = self.param('w', nn.initializers.zeros, (2,))
      return x.reshape(len(x), 2) @ w

  objective, batch = gan(disc=Zero()), {'image': points()}

  @jax.jit
  def compute(batch):
    players = objective.init(KEY, batch)
    return [
      loss(players, batch, key=KEY, step=0)
      for loss in (objective.disc_loss, objective.gen_loss)
    ]

  (loss, aux), (gen_loss, _) = compute(batch)
  assert float(loss) == pytest.approx(2 * np.log(2))
  assert aux.metrics['fake_accuracy'] == 1 and aux.metrics['real_accuracy'] == 0
  assert float(gen_loss) == pytest.approx(np.log(2))


def test_packed_images_are_neighbors_side_by_side():
  objective = gan(pack=3)
  images = np.arange(6 * 4 * 2.0, dtype=np.float32).reshape(6, 2, 2, 2)
  out = np.asarray(adversarial.packed(images, 3))
  assert out.shape == (2, 2, 2, 6)
  np.testing.assert_array_equal(
    out[1], np.concatenate([images[3], images[4], images[5]], axis=-1)
  )
  batch = {'image': points(6)}
  players = jax.eval_shape(objective.init, KEY, batch)
  assert players['disc']['params']['Dense_0']['kernel'].shape == (6, 16)
  discriminate = objective.predict_fns()['discriminate']
  assert jax.eval_shape(discriminate, players, batch).shape == (2,)
  with pytest.raises(InputError, match='pack=3 does not divide a batch of 4'):
    objective.updates()[0].check_batch(8, 4)


@pytest.mark.parametrize(
  'make,match',
  [
    (lambda: gan(loss='hinge', real_label=0.9), 'has no labels'),
    (
      lambda: gan(conditioning=Embedding(classes=3), pack=2),
      'pack=2: with conditioning.Embedding',
    ),
  ],
)
def test_senseless_fields_are_named(make, match):
  with pytest.raises(InputError, match=match):
    make()


def test_a_generator_of_another_shape_is_named():
  objective = gan(gen=dense.Generator((1, 1, 3), (4,)))
  with pytest.raises(InputError, match=r'\(1, 1, 3\).*\(1, 1, 2\)'):
    jax.eval_shape(objective.init, KEY, {'image': points()})


# Statistics of batches.


def convolutional(**fields):
  return GAN(
    gen=dcgan.Generator((4, 4, 1), (4,), kernel=3),
    disc=dcgan.Discriminator((3, 4), kernel=3),
    latents=Normal(size=5),
    **fields,
  )


def images(num=32):
  x = np.random.default_rng(2).normal(size=(num, 4, 4, 1))
  return np.tanh(x).astype(np.float32)


def test_data_and_images_are_normalized_apart():
  """The logits of the data do not depend on what the generator makes."""
  objective, batch = convolutional(), {'image': images()}
  loss = jax.jit(objective.disc_loss)
  players, means = drawn(objective.init, KEY, batch), []
  for factor in (1, 2):
    scaled = functools.partial(np.multiply, np.float32(factor))
    params = jax.tree.map(scaled, players['gen']['params'])
    gen = {**players['gen'], 'params': params}
    _, aux = loss({**players, 'gen': gen}, batch, key=KEY, step=0)
    means.append((aux.metrics['real_logits'], aux.metrics['fake_logits']))
  assert means[0][0] == means[1][0]
  assert means[0][1] != means[1][1]


def test_statistics_move_in_their_players_own_update():
  objective, batch = convolutional(), {'image': images()}
  players = drawn(objective.init, KEY, batch)

  @jax.jit
  def states(players, batch):
    return {
      player: loss(players, batch, key=KEY, step=0)[1].state
      for loss, player in (
        (objective.disc_loss, 'disc'),
        (objective.gen_loss, 'gen'),
      )
    }

  for player, state in jax.device_get(states(players, batch)).items():
    assert set(state) == {player}
    old, new = players[player]['batch_stats'], state[player]['batch_stats']
    assert jax.tree.structure(old) == jax.tree.structure(new)
    assert all(
      jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), old, new))
    )


def test_eight_devices_equal_one():
  objective = convolutional()
  optimizers = {k: optax.sgd(0.05) for k in ('gen', 'disc')}
  players = drawn(objective.init, KEY, {'image': images()})
  args = objective, optimizers, images(), 3, 16
  one, metrics_one = train(*args, players=players)
  form = mesh.make('jit', 16)
  assert jax.device_count() == 8
  eight, metrics_eight = train(*args, form, players)

  def near(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)

  jax.tree.map(near, one.players, eight.players)
  for name in metrics_one:
    near(metrics_one[name], metrics_eight[name])


# What becomes of the players.


def test_the_minimax_generator_is_stuck_where_the_other_escapes():
  """Data far from the first images, and a discriminator that learns fast."""
  x, moved, gradients = points(512, (8, 0), scale=0.1), {}, {}
  optimizers = {'disc': optax.adam(0.02), 'gen': optax.sgd(0.02)}
  for loss in ('minimax', 'non_saturating'):
    state, metrics = train(gan(loss=loss, disc_steps=5), optimizers, x, 200)
    made = gan().sample(state.players, key=KEY, num=200)
    moved[loss] = float(made[..., 0].mean())
    gradients[loss] = metrics['gen/grad_norm'][99::5].mean()
    if loss == 'minimax':
      assert metrics['disc/fake_accuracy'][-1] == 1
  assert abs(moved['minimax']) < 1 < 4 < moved['non_saturating']
  assert gradients['minimax'] < 0.1 * gradients['non_saturating']


class Shift(nn.Module):
  """Makes N(0, 1) of normal codes, and can only move it."""

  @nn.compact
  def __call__(self, codes, train=False):
    offset = self.param('offset', nn.initializers.zeros, (2,))
    return (codes + offset).reshape(-1, *POINT)


def test_the_critic_with_a_penalty_measures_how_far_two_gaussians_are_apart():
  """Of a shift the earth mover's distance is its length."""
  objective = gan(
    gen=Shift(),
    disc=dense.Discriminator((32, 32)),
    loss='wasserstein',
    disc_steps=10_000,
    regularizers=(GradientPenalty(),),
  )
  optimizers = {k: optax.adam(3e-3, b1=0.5, b2=0.9) for k in ('gen', 'disc')}
  x = points(20_000, (0.6, 0.8))
  _, metrics = train(objective, optimizers, x, 500, 256)
  # A price of 10 lets the slope be 1.05 here.
  assert metrics['disc/wasserstein_distance'][-200:].mean() == pytest.approx(
    1, rel=0.1
  )
  assert metrics['disc/gradient_penalty'][-200:].mean() < 0.02


def test_the_clipped_critic_leads_the_generator_to_the_data():
  from gen_jax.training import optimizers

  objective = gan(
    gen=Shift(),
    disc=dense.Discriminator((32,)),
    loss='wasserstein',
    disc_steps=2,
    clip_weights=0.1,
  )
  spec = dict(name='rmsprop', learning_rate=0.01)
  optimizers = {k: optimizers.make(spec, 400) for k in ('gen', 'disc')}
  state, _ = train(objective, optimizers, points(2000, (0.6, 0.8)), 400)
  offset = state.players['gen']['params']['offset']
  np.testing.assert_allclose(offset, (0.6, 0.8), atol=0.25)


def test_the_critics_first_gradient_is_that_of_clipped_weights():
  class Origin(nn.Module):
    @nn.compact
    def __call__(self, codes, train=False):
      scale = self.param('scale', nn.initializers.zeros, ())
      return (scale * codes).reshape(-1, *POINT)

  class Square(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
      w = self.param('w', nn.initializers.constant(3.0), (2,))
      return jnp.square(x.reshape(-1, 2) @ w)

  objective = gan(
    gen=Origin(), disc=Square(), loss='wasserstein', clip_weights=0.01
  )
  players = jax.jit(objective.init)(KEY, {'image': jnp.zeros((2, *POINT))})
  optimizers = {k: optax.sgd(0.001) for k in ('gen', 'disc')}
  step = jax.jit(make_train_step(objective, optimizers, key=KEY))
  state, metrics = step(
    init_state(players, optimizers, {}),
    {'image': points(4, (5, 0), scale=0)},
  )
  # Of -(5 w_0)^2: -50 w_0, and 150 at the initial weights.
  assert float(metrics['disc/grad_norm']) == pytest.approx(0.5)
  np.testing.assert_allclose(
    state.players['disc']['params']['w'], [0.0105, 0.01], rtol=1e-5
  )


def test_a_penalty_refuses_batch_normalization():
  objective = convolutional(
    loss='wasserstein', regularizers=(GradientPenalty(),)
  )
  with pytest.raises(InputError, match='disc.normalize'):
    jax.eval_shape(objective.init, KEY, {'image': images()})


def test_packs_are_penalized_as_one_input():
  objective = gan(
    gen=Shift(),
    disc=dense.Discriminator((8,)),
    loss='wasserstein',
    regularizers=(GradientPenalty(),),
    pack=2,
  )
  batch = {'image': points(8)}
  players = drawn(objective.init, KEY, batch)
  loss, aux = jax.jit(objective.disc_loss)(players, batch, key=KEY, step=0)
  assert np.isfinite(loss)
  assert float(loss) == pytest.approx(
    float(
      -aux.metrics['wasserstein_distance']
      + 10 * aux.metrics['gradient_penalty']
    ),
    rel=1e-5,
  )


def test_any_adversarial_loss_may_have_any_regularizers():
  """WGAN with R1 and a gradient penalty, one of them as an own update."""
  objective = gan(
    loss='wasserstein',
    regularizers=(GradientPenalty(weight=2.0), R1(weight=3.0, every=4)),
  )
  disc, lazy, gen_update = objective.updates()
  assert (disc.name, lazy.name, gen_update.name) == ('disc', 'disc_r1', 'gen')
  assert (lazy.wrt, lazy.every) == (('disc',), 4)
  batch = {'image': points(8)}
  players = drawn(objective.init, KEY, batch)

  @jax.jit
  def compute(players):
    return [u.loss(players, batch, key=KEY, step=0) for u in (disc, lazy)]

  (loss, aux), (penalty, lazy_aux) = compute(players)
  metrics = aux.metrics
  expected = -metrics['wasserstein_distance'] + 2 * metrics['gradient_penalty']
  assert float(loss) == pytest.approx(float(expected), rel=1e-5)
  assert float(penalty) == pytest.approx(
    12 * float(lazy_aux.metrics['penalty']), rel=1e-5
  )


def test_a_relativistic_generator_compares_with_the_data():
  objective = gan(loss='relativistic')
  batch = {'image': points(8)}
  players = drawn(objective.init, KEY, batch)
  shifted = {**players, 'disc': jax.tree.map(jnp.copy, players['disc'])}
  shifted['disc']['params']['Dense_1']['bias'] += 5.0

  @jax.jit
  def compute(players):
    return [
      loss(players, batch, key=KEY, step=0)[0]
      for loss in (objective.disc_loss, objective.gen_loss)
    ]

  np.testing.assert_allclose(compute(players), compute(shifted), rtol=1e-4)


def test_accuracies_without_a_fixed_threshold_use_the_midpoint():
  loss = ADVERSARIAL_LOSSES['wasserstein']
  real, fake = jnp.array([110.0, 112.0]), jnp.array([100.0, 111.5])
  found = adversarial.accuracies(loss, real, fake)
  assert found['real_accuracy'] == 1.0  # the midpoint is 108.4
  assert found['fake_accuracy'] == 0.5
