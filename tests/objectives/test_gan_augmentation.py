"""What the judge sees of data and images when both are augmented."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.models import dense
from gen_jax.objectives.cgan import CGAN
from gen_jax.objectives.gan import GAN
from gen_jax.objectives.wgan_gp import WGANGP

KEY = jax.random.key(0)
SHAPE = (4, 4, 1)
ALL = ('color', 'translation', 'cutout')


class Constant(nn.Module):
  """Makes one image, which is also all of the data."""

  @nn.compact
  def __call__(self, codes, train=False):
    value = self.param('value', nn.initializers.ones, SHAPE)
    return jnp.broadcast_to(value, (len(codes), *SHAPE))


class Sum(nn.Module):
  """The sum of the pixels of the images, not of the planes behind them."""

  @nn.compact
  def __call__(self, x, train=False):
    scale = self.param('scale', nn.initializers.ones, ())
    return scale * jnp.sum(x[..., 0], axis=(1, 2))


@pytest.mark.parametrize('cls', [GAN, CGAN])
def test_data_and_images_go_through_the_same_distribution(cls):
  batch = {
    'image': jnp.ones((4000, *SHAPE)),
    'label': jnp.zeros(4000, jnp.int32),
  }
  objective = cls(gen=Constant(), disc=Sum(), latent=1, augment=ALL)
  players = objective.init(KEY, batch)
  play = jax.jit(objective.score_both)(players, batch, KEY)
  real, fake = (np.asarray(x) for x in (play.real, play.fake))
  assert real.std() > 1
  assert real.mean() == pytest.approx(fake.mean(), rel=0.05)
  assert real.std() == pytest.approx(fake.std(), rel=0.05)
  assert np.any(play.real != play.fake)
  # The trained judge is asked about images as they are.
  np.testing.assert_allclose(objective.discriminate(players, batch), 16)


def test_the_generators_gradient_passes_through():
  batch = {'image': jnp.ones((64, *SHAPE))}
  objective = GAN(gen=Constant(), disc=Sum(), latent=1, augment=('cutout',))
  players = objective.init(KEY, batch)

  def loss(gen):
    return objective.gen_loss({**players, 'gen': gen}, batch, key=KEY, step=0)[
      0
    ]

  gradient = jax.grad(loss)(players['gen'])['params']['value']
  assert np.all(np.isfinite(gradient)) and np.all(gradient < 0)


def test_a_penalised_critic_is_augmented_too():
  batch = {'image': jnp.ones((8, *SHAPE))}
  fields = dict(gen=Constant(), critic=dense.Discriminator((4,)), latent=1)
  values = []
  for augment in ((), ALL):
    objective = WGANGP(**fields, augment=augment)
    players = objective.init(KEY, batch)
    loss, aux = objective.critic_loss(players, batch, key=KEY, step=0)
    assert np.isfinite(loss)
    values.append(float(aux.metrics['distance']))
  assert values[0] == pytest.approx(0, abs=1e-6) and values[1] != 0


def test_bad_names_and_points_are_refused():
  with pytest.raises(InputError, match='"cutout"'):
    GAN(gen=Constant(), disc=Sum(), augment=('cutuot',))
  objective = GAN(
    gen=dense.Generator((1, 1, 2), (4,)), disc=Sum(), augment=('cutout',)
  )
  with pytest.raises(InputError, match=r'objective.augment.*\(1, 1, 2\)'):
    objective.init(KEY, {'image': jnp.zeros((2, 1, 1, 2))})
