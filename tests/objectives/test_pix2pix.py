"""Pix2Pix: its losses, its noise and its directions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.errors import InputError
from gen_jax.models.translation import PatchDiscriminator, UNetTranslator
from gen_jax.objectives.parts.regularizers import R1, R2
from gen_jax.objectives.pix2pix import Pix2Pix

KEY = jax.random.key(0)


class Scale(nn.Module):
  """x -> w x."""

  start: float
  stride: int = 2

  @nn.compact
  def __call__(self, x, train=False):
    return x * self.param('w', nn.initializers.constant(self.start), ())


class Discriminator(nn.Module):
  """0.7 x - 0.2 y for each pixel of source x and target y."""

  @nn.compact
  def __call__(self, images, train=False):
    start = nn.initializers.constant(jnp.array([0.7, -0.2]))
    return images @ self.param('w', start, (2,))


def linear(**fields):
  return Pix2Pix(**{'gen': Scale(0.5), 'disc': Discriminator(), **fields})


def batch(count=3, size=8):
  rng = np.random.default_rng(0)
  shape = (count, size, size, 1)
  return {k: rng.uniform(-1, 1, shape).astype(np.float32) for k in 'ab'}


def softplus(x):
  return np.mean(np.log1p(np.exp(np.asarray(x, np.float64))))


@pytest.mark.parametrize('direction', ['ab', 'ba'])
@pytest.mark.parametrize(
  'weights', [{}, dict(l1_weight=0.0), dict(adversarial_weight=0.0)]
)
def test_the_losses_are_those_of_the_paper(direction, weights):
  objective, data = linear(direction=direction, **weights), batch()
  x, y = (data[k] for k in direction)
  players = objective.init(KEY, data)
  fake = 0.7 * x - 0.2 * 0.5 * x
  loss, aux = objective.gen_loss(players, data, key=KEY, step=0)
  weights = {'adversarial_weight': 1.0, 'l1_weight': 100.0, **weights}
  error = np.mean(np.abs(y - 0.5 * x))
  want = weights['adversarial_weight'] * softplus(-fake)
  want += weights['l1_weight'] * error
  assert float(loss) == pytest.approx(want, rel=1e-5)
  assert float(aux.metrics['l1']) == pytest.approx(error, rel=1e-5)
  loss, aux = objective.disc_loss(players, data, key=KEY, step=0)
  real = 0.7 * x - 0.2 * y
  want = (softplus(-real) + softplus(fake)) / 2
  assert float(loss) == pytest.approx(want, rel=1e-5)
  accuracy = float(aux.metrics['real_accuracy'])
  assert accuracy == pytest.approx(np.mean(real > 0), rel=1e-6)
  names = [update.name for update in objective.updates()]
  assert names == (
    ['disc', 'gen'] if weights['adversarial_weight'] else ['gen']
  )


@pytest.mark.parametrize('direction', ['ab', 'ba'])
def test_it_translates_in_its_direction_at_any_size(direction):
  objective, data = linear(direction=direction), batch(2, 7)
  fns = objective.predict_fns()
  assert set(fns) == {f'translate_{direction}'}
  source = direction[0]
  made = fns[f'translate_{direction}']({'gen': {'params': {'w': 0.5}}}, data)
  np.testing.assert_allclose(made, 0.5 * data[source])


def network(dropout=0.5, **fields):
  return Pix2Pix(
    gen=UNetTranslator(out=1, channels=(4, 4), dropout=dropout),
    disc=PatchDiscriminator(channels=2, levels=1),
    **fields,
  )


def test_dropout_is_the_noise():
  data = batch()
  players = network().init(KEY, data)

  def made(objective):
    return np.asarray(objective.translate(players, data))

  np.testing.assert_array_equal(made(network()), made(network(0.0)))
  noisy = made(network(dropout_at_test=True))
  np.testing.assert_array_equal(noisy, made(network(dropout_at_test=True)))
  assert np.abs(noisy - made(network())).max() > 1e-4
  losses = [
    float(network().gen_loss(players, data, key=jax.random.key(i), step=0)[0])
    for i in range(2)
  ]
  assert losses[0] != losses[1]


def test_a_warning_when_the_discriminator_is_always_right():
  warnings = linear().updates()[-1].warnings
  metrics = {
    'disc/real_accuracy': 1.0,
    'disc/fake_accuracy': 0.995,
    'gen/grad_norm': 1.0,
  }
  assert 'optim.disc.learning_rate' in warnings(metrics)['no_convergence']
  assert not warnings({**metrics, 'disc/fake_accuracy': 0.9})
  assert not warnings({})


def test_the_discriminator_takes_several_regularizers():
  """Their gradient is with respect to the target: -0.2 / pixels for each."""
  data = batch()
  players = linear().init(KEY, data)
  objective = linear(regularizers=(R1(weight=3.0), R2(weight=5.0)))
  expected, _ = linear().disc_loss(players, data, key=KEY, step=0)
  found, aux = objective.disc_loss(players, data, key=KEY, step=0)
  penalty = 0.2**2 / (2 * data['a'][0].size)
  assert float(aux.metrics['r1']) == pytest.approx(penalty, rel=1e-4)
  assert float(found - expected) == pytest.approx(8 * penalty, rel=1e-2)


def test_what_is_refused():
  with pytest.raises(InputError, match="'domains'"):
    jax.eval_shape(linear().init, KEY, {'image': jnp.zeros((1, 8, 8, 1))})
  wide = {**batch(), 'b': jnp.zeros((3, 8, 8, 2))}
  with pytest.raises(InputError, match='gen.out: the network makes images of'):
    jax.eval_shape(linear().init, KEY, wide)
