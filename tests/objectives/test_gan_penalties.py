"""Gradient penalties, inside the discriminator's update and as their own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawn import drawn

from gen_jax.errors import InputError
from gen_jax.models import dcgan, dense
from gen_jax.objectives.acgan import ACGAN
from gen_jax.objectives.gan import GAN
from gen_jax.objectives.parts.conditioning import OneHot
from gen_jax.objectives.parts.latents import Normal
from gen_jax.objectives.parts.regularizers import (
  R1,
  R2,
  Dragan,
  Drift,
  GradientPenalty,
)
from gen_jax.training.step import init_state, make_train_step

KEY = jax.random.key(0)
CLASSES = OneHot(classes=3)
GRADIENTS = (R1, R2, Dragan, GradientPenalty)
SHAPE = (2, 2, 1)
BATCH = {
  'image': np.linspace(-1, 1, 48, dtype=np.float32).reshape(12, *SHAPE),
  'label': np.arange(12, dtype=np.int32) % 3,
}


class Linear(nn.Module):
  """A slope that is the same everywhere; a second head with `extra`."""

  extra: int = 0

  @nn.compact
  def __call__(self, x, train=False):
    x = x.reshape(len(x), -1)
    w = self.param('w', nn.initializers.normal(1.0), (x.shape[-1],))
    logits = x @ w
    return (logits, nn.Dense(self.extra)(x)) if self.extra else logits


def make(cls=GAN, extra=0, **fields):
  gen = dense.Generator(SHAPE, (8,))
  fields = {'disc': Linear(extra), 'latents': Normal(size=4), **fields}
  return cls(gen=gen, **fields)


def slope(players, shape):
  """Of the pixels alone, in every image of a pack: [pack]."""
  w = np.asarray(players['disc']['params']['w']).reshape(*SHAPE[:2], -1)
  return np.sum(w.reshape(4, *shape)[..., 0] ** 2)


@pytest.mark.parametrize(
  'cls,fields,shape',
  [
    (GAN, {}, (1, 1)),
    (GAN, dict(pack=3), (3, 1)),
    (GAN, dict(conditioning=CLASSES), (1, 4)),
    (GAN, dict(conditioning=CLASSES, pack=2), (2, 4)),
    (ACGAN, dict(classes=3, extra=3), (1, 1)),
  ],
)
def test_the_penalty_of_a_linear_discriminator_is_that_of_its_gradient(
  cls, fields, shape
):
  objectives = {
    kind: make(cls, regularizers=(kind(weight=7.0, every=2),), **fields)
    for kind in GRADIENTS
  }

  @jax.jit  # one program for all kinds
  def compute(players):
    return {
      kind.__name__: objective.updates()[1].loss(
        players, BATCH, key=KEY, step=0
      )
      for kind, objective in objectives.items()
    }

  players = drawn(objectives[R1].init, KEY, BATCH)
  # As large as the discriminator lets it be.
  players['disc']['params']['w'] *= 10
  squares = slope(players, shape)
  for kind, (loss, aux) in compute(players).items():
    centered = kind in ('R1', 'R2')
    expected = squares / 2 if centered else (np.sqrt(squares) - 1) ** 2
    assert float(aux.metrics['penalty']) == pytest.approx(expected, rel=1e-4)
    assert float(loss) == pytest.approx(14 * expected, rel=1e-4)
    assert aux.state == {}


def test_a_regularizer_is_part_of_the_loss_or_an_update_of_its_own():
  objective = make(regularizers=(R1(),))
  lazy = make(regularizers=(R1(every=16),))
  disc, gen = objective.updates()
  lazy_disc, penalty, lazy_gen = lazy.updates()

  @jax.jit
  def compute(players):
    key_game, key_penalty = jax.random.split(KEY)
    total, aux = disc.loss(players, BATCH, key=KEY, step=0)
    plain, _ = make().disc_loss(players, BATCH, key=key_game, step=0)
    rare, _ = penalty.loss(players, BATCH, key=key_penalty, step=0)
    alone, _ = lazy_disc.loss(players, BATCH, key=key_game, step=0)
    return total, plain, rare, alone, aux.metrics

  players = drawn(objective.init, KEY, BATCH)
  *values, metrics = compute(players)
  total, plain, rare, alone = map(float, values)
  assert total - plain == pytest.approx(10 * float(metrics['r1']), rel=1e-4)
  assert 'real_accuracy' in metrics
  assert (penalty.wrt, penalty.every) == (('disc',), 16)
  assert penalty.name == 'disc_r1'
  assert gen.wrt == lazy_gen.wrt == ('gen',)
  assert rare == pytest.approx(16 * (total - plain), rel=1e-4)
  assert alone == pytest.approx(plain, rel=1e-6)
  assert [u.wrt for u in make().updates()] == [('disc',), ('gen',)]


def test_several_regularizers_are_summed_with_keys_of_their_own():
  kinds = (Drift(weight=2.0), GradientPenalty(weight=3.0), R2(weight=4.0))
  objective = make(regularizers=kinds)

  @jax.jit
  def compute(players):
    total, aux = objective.disc_loss(players, BATCH, key=KEY, step=0)
    key, _ = jax.random.split(KEY)
    plain, _ = make().disc_loss(players, BATCH, key=key, step=0)
    return total - plain, aux.metrics

  sum_, metrics = compute(drawn(objective.init, KEY, BATCH))
  expected = (
    2 * metrics['drift'] + 3 * metrics['gradient_penalty'] + 4 * metrics['r2']
  )
  assert float(sum_) == pytest.approx(float(expected), rel=1e-4)


def test_a_lone_regularizer_may_use_the_whole_batch():
  for every in (1, 4):
    updates = make(regularizers=(Dragan(every=every),)).updates()
    assert any('standard deviation' in u.whole_batch for u in updates)
  assert not any(u.whole_batch for u in make(regularizers=(R1(),)).updates())


def test_a_gradient_penalty_with_batch_normalization_is_refused():
  objective = GAN(
    gen=dcgan.Generator((4, 4, 1), (4,), kernel=3),
    disc=dcgan.Discriminator((3, 4), kernel=3),
    regularizers=(R1(),),
  )
  with pytest.raises(InputError, match='disc.normalize'):
    jax.eval_shape(objective.init, KEY, {'image': jnp.zeros((2, 4, 4, 1))})


# One point at 0, a generator that makes one point, and a linear discriminator:
# the Dirac-GAN of Mescheder et al. 2018, section 2.


class Point(nn.Module):
  @nn.compact
  def __call__(self, codes, train=False):
    place = self.param('place', nn.initializers.ones, (1,))
    return jnp.broadcast_to(place, (len(codes), 1, 1, 1))


class Slope(nn.Module):
  @nn.compact
  def __call__(self, x, train=False):
    return self.param('slope', nn.initializers.zeros, ()) * x[:, 0, 0, 0]


def train_all(*objectives):
  """Returns the distance from the equilibrium, (0, 0), after each of 600 steps.

  Returns:
    [600, G], of objectives that are given by their fields.
  """
  batch = {'image': np.zeros((4, 1, 1, 1), np.float32)}
  optimizers = {name: optax.sgd(0.1) for name in ('gen', 'disc')}
  players = {
    'gen': {'params': {'place': jnp.ones(1)}},
    'disc': {'params': {'slope': jnp.zeros(())}},
  }
  steps = [
    make_train_step(
      GAN(gen=Point(), disc=Slope(), latents=Normal(size=1), **fields),
      optimizers,
      key=KEY,
    )
    for fields in objectives
  ]

  def body(states, _):
    states = [
      step(state, batch)[0] for step, state in zip(steps, states, strict=True)
    ]
    where = [jax.tree.leaves(state.players) for state in states]
    return states, jnp.stack(
      [jnp.hypot(slope, place[0]) for slope, place in where]
    )

  states = [init_state(players, optimizers, {}) for _ in objectives]
  run = jax.jit(lambda states: jax.lax.scan(body, states, None, 600))
  return np.asarray(run(states)[1])


# Without a penalty the one keeps its distance, and the other, whose field has
# the same rotation at the equilibrium, nears it slower than any geometric rate.
@pytest.mark.parametrize(
  'loss,least', [('minimax', 0.8), ('non_saturating', 0.3)]
)
def test_the_dirac_gan_comes_to_rest_with_a_penalty_alone(loss, least):
  penalties = (
    R1(weight=1.0),
    R2(weight=1.0),
    R1(weight=1.0, every=4),
  )
  penalized = [dict(loss=loss, regularizers=(x,)) for x in penalties]
  free, *others = train_all(dict(loss=loss), *penalized).T
  assert free[-200:].min() > least
  for distances in others:
    assert distances[-1] < 1e-3
