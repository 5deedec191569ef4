"""The debiasing variational autoencoder (Amini et al. 2019)."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Batch, Players, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.losses.densities import DENSITIES
from gen_jax.objectives.vae import VAE
from gen_jax.registry.fields import Fraction, Size, one_of


@dataclasses.dataclass(frozen=True)
class DebiasingVAE(VAE):
  """A VAE that sees images of rare codes more often.

  Of each batch it draws the images to train on, with the probability
    W(x) ~ density(z(x))^-strength,  z(x) the mean of q(z|x)
  (section 3.3), so what is seen at a step stays a function of seed and step.
  The density is that of the codes in the batch of all devices; each device
  draws its share of images from all of them.

  Attributes:
    candidates: images looked at for one that is trained on.
    density: 'histogram', the paper's product over dimensions, or 'neighbors',
      by the distance to the nearest code.
    strength: 0 leaves the bias, 1 draws evenly over the codes' space.
  """

  candidates: Size = 8
  density: one_of(DENSITIES) = 'neighbors'
  strength: Fraction = 0.3

  def updates(self) -> tuple[Update, ...]:
    why = 'the density is estimated from the codes of the batch'
    return tuple(
      dataclasses.replace(u, whole_batch=why) for u in super().updates()
    )

  def loss(self, players: Players, batch: Batch, *, key, step):
    key_rows, key_loss = jax.random.split(key)
    codes = collectives.gather(self.encode(players, batch))
    probabilities = self._probabilities(codes)  # [B]
    size, local = len(codes), len(batch['image'])
    if size < 2:
      raise InputError('DebiasingVAE: a density needs 2 images or more.')
    taken = (max(local // self.candidates, 1),)
    # As indices, through which no gradient flows.
    rows = jax.random.categorical(key_rows, jnp.log(probabilities), shape=taken)
    drawn = {
      name: jnp.take(collectives.gather(x), rows, axis=0)
      for name, x in batch.items()
    }
    loss, aux = super().loss(players, drawn, key=key_loss, step=step)
    # 1 where all images are as likely, 1 / B where one is drawn alone.
    evenness = 1 / (size * jnp.sum(jnp.square(probabilities)))
    return loss, aux._replace(metrics={**aux.metrics, 'evenness': evenness})

  def predict_fns(self):
    fns = super().predict_fns()
    return {**fns, 'sampling_probabilities': self.sampling_probabilities}

  def sampling_probabilities(self, players: Players, batch: Batch):
    """W of each image among those of the batch, [B], of sum 1."""
    return self._probabilities(self.encode(players, batch))

  def _probabilities(self, codes):  # [B, Z] -> [B]
    log_density = DENSITIES[self.density](codes)
    return jax.nn.softmax(-self.strength * log_density)
