"""Augmentation of the real and generated images of a discriminator."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax.errors import InputError
from gen_jax.models import dense
from gen_jax.objectives.gan import GAN
from gen_jax.objectives.parts.conditioning import OneHot, Unconditional
from gen_jax.objectives.parts.latents import Normal
from gen_jax.objectives.parts.regularizers import GradientPenalty

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


@pytest.mark.parametrize(
  'conditioning', [Unconditional(), OneHot(classes=10)], ids=['none', 'class']
)
def test_data_and_images_go_through_the_same_distribution(conditioning):
  batch = {
    'image': np.ones((4000, *SHAPE), np.float32),
    'label': np.zeros(4000, np.int32),
  }
  objective = GAN(
    gen=Constant(),
    disc=Sum(),
    latents=Normal(size=1),
    conditioning=conditioning,
    augment=ALL,
  )

  @jax.jit
  def compute(batch):
    players = objective.init(KEY, batch)
    key_gen, key_real, key_fake = jax.random.split(KEY, 3)
    images, _ = objective.generate(players, batch, key_gen)
    real, _ = objective.score(players, batch['image'], batch, key_real)
    fake, _ = objective.score(players, images, batch, key_fake)
    return real, fake, objective.discriminate(players, batch)

  real, fake, plain = map(np.asarray, compute(batch))
  assert real.std() > 1
  assert real.mean() == pytest.approx(fake.mean(), rel=0.05)
  assert real.std() == pytest.approx(fake.std(), rel=0.05)
  assert np.any(real != fake)
  # The trained discriminator gets images without augmentation.
  np.testing.assert_allclose(plain, 16)


def test_the_generators_gradient_passes_through():
  batch = {'image': np.ones((64, *SHAPE), np.float32)}
  objective = GAN(
    gen=Constant(), disc=Sum(), latents=Normal(size=1), augment=('cutout',)
  )

  @jax.jit
  def compute(batch):
    players = objective.init(KEY, batch)

    def loss(gen):
      changed = {**players, 'gen': gen}
      return objective.gen_loss(changed, batch, key=KEY, step=0)[0]

    return jax.grad(loss)(players['gen'])['params']['value']

  gradient = compute(batch)
  assert np.all(np.isfinite(gradient)) and np.all(gradient < 0)


def test_a_penalized_critic_is_augmented_too():
  batch = {'image': np.ones((8, *SHAPE), np.float32)}
  fields = dict(
    gen=Constant(),
    disc=dense.Discriminator((4,)),
    latents=Normal(size=1),
    loss='wasserstein',
    regularizers=(GradientPenalty(),),
  )
  objectives = [GAN(**fields, augment=augment) for augment in ((), ALL[:1])]
  players = drawn(objectives[0].init, KEY, batch)
  players['gen'] = {'params': {'value': batch['image'][0]}}

  @jax.jit
  def compute(players):
    return [o.disc_loss(players, batch, key=KEY, step=0) for o in objectives]

  (loss, aux), (other_loss, other_aux) = compute(players)
  assert np.isfinite(loss) and np.isfinite(other_loss)
  assert float(aux.metrics['wasserstein_distance']) == pytest.approx(
    0, abs=1e-6
  )
  assert other_aux.metrics['wasserstein_distance'] != 0


def test_points_are_refused():
  objective = GAN(
    gen=dense.Generator((1, 1, 2), (4,)), disc=Sum(), augment=('cutout',)
  )
  with pytest.raises(InputError, match=r'objective.augment.*\(1, 1, 2\)'):
    jax.eval_shape(objective.init, KEY, {'image': np.zeros((2, 1, 1, 2))})
