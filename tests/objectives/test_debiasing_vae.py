"""Images with rare latents are drawn more often."""

import jax
import numpy as np
import pytest
from drawn import drawn

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.debiasing import Shift
from gen_jax.models.autoencoder import DenseDecoder, DenseEncoder
from gen_jax.objectives.debiasing_vae import DebiasingVAE
from gen_jax.objectives.vae import VAE

KEY = jax.random.key(0)
NETWORKS = dict(
  encoder=DenseEncoder(features=4, hidden=()),
  decoder=DenseDecoder(shape=(2, 1, 1), hidden=()),
)


def unbalanced():
  """Images of two pixels, the second class rare and elsewhere."""
  rng = np.random.default_rng(0)
  labels = (np.arange(400) % 40 == 7).astype(np.int32)
  image = (
    rng.integers(0, 60, (400, 2, 1, 1)) + 150 * labels[:, None, None, None]
  )
  return {'image': image.astype(np.uint8), 'label': labels}


def identity(objective, batch):
  """Players whose latents are the image."""
  players = drawn(objective.init, KEY, batch)
  encoder = players['model']['params']['encoder']['Dense_0']
  encoder['kernel'] = np.eye(2, 4, dtype=np.float32)
  encoder['bias'] = np.zeros(4, np.float32)
  return players


@pytest.mark.parametrize('density', ['histogram', 'neighbors'])
def test_the_rare_class_gains(density):
  objective = DebiasingVAE(**NETWORKS, density=density, strength=0.8)
  source = array_source('toy', 'train', unbalanced())
  task = Task(objective, lambda split: source, Preprocess('unit'))
  players = identity(objective, task.batch('train', 8, KEY))
  values = dict(Shift(task, batch_size=200).run(players, KEY))
  assert values['rare_fraction'] == pytest.approx(0.025)
  assert values['rare_drawn_fraction'] > 0.06
  assert values['drawn_fraction_0'] + values[
    'drawn_fraction_1'
  ] == pytest.approx(1)


def test_without_strength_the_draw_is_even_and_the_loss_the_vaes():
  objective = DebiasingVAE(**NETWORKS, strength=0.0, candidates=1)
  batch = {'image': np.float32(unbalanced()['image'][:100] / 255)}

  @jax.jit
  def compute(players):
    losses = [
      jax.vmap(lambda key, o=o: o.loss(players, batch, key=key, step=0)[0])(
        jax.random.split(KEY, 400)
      ).mean()
      for o in (objective, VAE(**NETWORKS))
    ]
    _, aux = objective.loss(players, batch, key=KEY, step=0)
    shares = objective.sampling_probabilities(players, batch)
    return losses, shares, aux.metrics['evenness']

  losses, shares, evenness = compute(drawn(objective.init, KEY, batch))
  np.testing.assert_allclose(shares, 1 / 100, rtol=1e-5)
  assert float(evenness) == pytest.approx(1, rel=1e-5)
  assert float(losses[0]) == pytest.approx(float(losses[1]), rel=5e-3)


def test_a_density_needs_two_images():
  (update,) = DebiasingVAE(**NETWORKS).updates()
  update.check_batch(2, 2)
  with pytest.raises(InputError, match='2 images or more'):
    update.check_batch(1, 1)
