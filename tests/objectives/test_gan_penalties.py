"""Penalties of the judge's slope, as a part of its update and apart from it."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.errors import InputError
from gen_jax.losses.penalties import PENALTIES
from gen_jax.models import dcgan, dense
from gen_jax.objectives.acgan import ACGAN
from gen_jax.objectives.cgan import CGAN
from gen_jax.objectives.gan import GAN
from gen_jax.step import init_state, make_train_step

KEY = jax.random.key(0)
SHAPE = (2, 2, 1)
BATCH = {
  'image': jax.random.uniform(KEY, (12, *SHAPE), minval=-1),
  'label': jnp.arange(12) % 3,
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
  fields = {'disc': Linear(extra), 'latent': 4, **fields}
  return cls(gen=gen, **fields)


def slope(players, shape):
  """Of the pixels alone, in every image of a pack: [pack]."""
  w = np.asarray(players['disc']['params']['w']).reshape(*SHAPE[:2], -1)
  return np.sum(w.reshape(4, *shape)[..., 0] ** 2)


@pytest.mark.parametrize('kind', PENALTIES)
@pytest.mark.parametrize(
  'cls,fields,shape',
  [
    (GAN, {}, (1, 1)),
    (GAN, dict(pack=3), (3, 1)),
    (CGAN, dict(classes=3), (1, 4)),
    (CGAN, dict(classes=3, pack=2), (2, 4)),
    (ACGAN, dict(classes=3, extra=3), (1, 1)),
  ],
)
def test_a_linear_judge_pays_for_its_slope_in_the_image(
  kind, cls, fields, shape
):
  objective = make(cls, penalty=kind, penalty_weight=7.0, **fields)
  players = objective.init(KEY, BATCH)
  squares = slope(players, shape)
  centred = kind in ('r1', 'r2')
  expected = squares / 2 if centred else (np.sqrt(squares) - 1) ** 2
  loss, aux = objective.penalty_loss(players, BATCH, key=KEY, step=0)
  assert float(aux.metrics['penalty']) == pytest.approx(expected, rel=1e-4)
  assert float(loss) == pytest.approx(7 * expected, rel=1e-4)
  assert aux.state == {}


def test_it_is_added_to_the_judges_loss_or_stands_apart():
  objective = make(penalty='r1')
  players = objective.init(KEY, BATCH)
  disc, gen = objective.updates()
  total, aux = disc.loss(players, BATCH, key=KEY, step=0)
  key_game, _ = jax.random.split(KEY)
  plain, _ = objective.disc_loss(players, BATCH, key=key_game, step=0)
  assert float(total - plain) == pytest.approx(
    10 * float(aux.metrics['penalty']), rel=1e-4
  )
  assert 'real_accuracy' in aux.metrics

  lazy = dataclasses.replace(objective, penalty_every=16)
  disc, penalty, gen = lazy.updates()
  assert (penalty.wrt, penalty.every, penalty.name) == (
    ('disc',),
    16,
    'penalty',
  )
  assert gen.wrt == ('gen',)
  each, _ = objective.penalty_loss(players, BATCH, key=KEY, step=0)
  rare, _ = penalty.loss(players, BATCH, key=KEY, step=0)
  assert float(rare) == pytest.approx(16 * float(each), rel=1e-5)
  assert [u.wrt for u in make().updates()] == [('disc',), ('gen',)]


def test_senseless_penalties_are_named():
  with pytest.raises(InputError, match="penalty='r3' is unknown"):
    make(penalty='r3')
  with pytest.raises(InputError, match='penalty_every=0'):
    make(penalty='r1', penalty_every=0)
  objective = GAN(
    gen=dcgan.Generator((4, 4, 1), (4,), kernel=3),
    disc=dcgan.Discriminator((3, 4), kernel=3),
    penalty='r1',
  )
  with pytest.raises(InputError, match="normalise=''"):
    jax.eval_shape(objective.init, KEY, {'image': jnp.zeros((2, 4, 4, 1))})


# One point at 0, a generator that makes one point, and a judge that is a slope:
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


def play(**fields):
  """How far it is from the equilibrium, (0, 0), after each of 600 steps."""
  objective = GAN(gen=Point(), disc=Slope(), latent=1, **fields)
  batch = {'image': jnp.zeros((4, 1, 1, 1))}
  optimizers = {name: optax.sgd(0.1) for name in ('gen', 'disc')}
  state = init_state(objective.init(KEY, batch), optimizers, {})
  step = make_train_step(objective, optimizers, key=KEY)

  def body(state, _):
    state, _ = step(state, batch)
    where = jnp.stack(
      [
        state.players['gen']['params']['place'][0],
        state.players['disc']['params']['slope'],
      ]
    )
    return state, jnp.linalg.norm(where)

  return np.asarray(
    jax.jit(lambda s: jax.lax.scan(body, s, None, 600))(state)[1]
  )


# Without a penalty the one keeps its distance, and the other, whose field has
# the same rotation at the equilibrium, nears it slower than any geometric rate.
@pytest.mark.parametrize(
  'loss,least', [('minimax', 0.8), ('non_saturating', 0.3)]
)
@pytest.mark.parametrize(
  'penalty',
  [dict(penalty='r1'), dict(penalty='r2'), dict(penalty='r1', penalty_every=4)],
)
def test_the_dirac_gan_comes_to_rest_with_a_penalty_alone(loss, least, penalty):
  assert play(loss=loss)[-200:].min() > least
  assert play(loss=loss, penalty_weight=1.0, **penalty)[-1] < 1e-3
