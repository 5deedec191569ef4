"""The debiasing variational autoencoder.

References:
  Amini et al., 2019, Uncovering and Mitigating Algorithmic Bias through Learned
  Latent Structure.
"""

import dataclasses
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.losses import divergences
from gen_jax.losses.densities import DENSITIES
from gen_jax.losses.likelihoods import LIKELIHOODS
from gen_jax.objectives.parts.variational import LatentModel
from gen_jax.registry.fields import Fraction, Size, Weight, one_of


@dataclasses.dataclass(frozen=True)
class DebiasingVAE:
  """A VAE that trains more often on images with rare latents.

  From each batch it draws the images to train on, with the probability
    W(x) ~ density(z(x))^-strength,  z(x) the mean of q(z|x)
  (section 3.3), so the images of a step are a function of seed and step. The
  density is that of the latents in the batch of all devices; each device draws
  its share of images from all of them.

  Attributes:
    encoder: images [B, H, W, C] -> [B, 2 Z], means and log-variances.
    decoder: latents [B, Z] -> [B, H, W, C], logits or means.
    likelihood: 'bernoulli', 'gaussian' or 'continuous_bernoulli'.
    learn_variance: one variance of the Gaussian for all pixels, learned.
    beta: weight of the KL.
    candidates: images of a batch for each image that is trained on.
    density: 'histogram', the paper's product over dimensions, or 'neighbors',
      by the distance to the nearest latents.
    strength: 0 draws evenly from the data, 1 evenly over the latent space.
  """

  encoder: nn.Module
  decoder: nn.Module
  likelihood: Annotated[str, one_of(LIKELIHOODS)] = 'bernoulli'
  learn_variance: bool = False
  beta: Weight = 1.0
  candidates: Size = 8
  density: Annotated[str, one_of(DENSITIES)] = 'neighbors'
  strength: Fraction = 0.3

  pixels: ClassVar[str] = 'unit'
  classes: ClassVar[int] = 0

  def __post_init__(self) -> None:
    _ = self.model  # which checks its own fields

  @property
  def model(self) -> LatentModel:
    """Returns the networks with their densities."""
    return LatentModel(
      self.encoder, self.decoder, self.likelihood, self.learn_variance
    )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""
    return {'model': {'params': self.model.init(key, batch)}}

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""
    return (
      Update(
        wrt=('model',),
        loss=self.loss,
        whole_batch='the density is estimated from the latents of the batch',
        check_batch=_check_batch,
      ),
    )

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the weighted negative ELBO of the images drawn, in nats."""
    del step
    key_rows, key_loss = jax.random.split(key)
    params = players['model']['params']

    # 1. Draws images of the batch, the more often the rarer their latents are.
    latents = collectives.gather(self.model.posterior(params, batch).mean)
    probabilities = self._probabilities(latents)  # [B]
    taken = (max(len(batch['image']) // self.candidates, 1),)
    # As indices, through which no gradient flows.
    rows = jax.random.categorical(key_rows, jnp.log(probabilities), shape=taken)
    batch = collectives.divide_batch(
      {
        name: jnp.take(collectives.gather(x), rows, axis=0)
        for name, x in batch.items()
      }
    )

    # 2. The loss of the VAE for these images.
    posterior = self.model.posterior(params, batch)
    nll = self.model.nll(params, batch, posterior.sample(key_loss))
    reconstruction = jnp.mean(nll)
    kl = collectives.batch_mean(posterior.kl())  # [Z]
    loss = reconstruction + self.beta * divergences.free_bits(kl, 0.0)
    metrics = {
      'elbo': -reconstruction - jnp.sum(kl),
      'reconstruction': reconstruction,
      'kl': jnp.sum(kl),
      # 1 where all images are as likely, 1 / B where one is drawn alone.
      'evenness': 1 / (len(latents) * jnp.sum(jnp.square(probabilities))),
    }
    return loss, Aux(metrics)

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    return {
      **self.model.predict_fns(),
      'sampling_probabilities': self.sampling_probabilities,
    }

  def sampling_probabilities(self, players: Players, batch: Batch) -> jax.Array:
    """Returns W of each image among those of the batch, [B], with sum 1."""
    return self._probabilities(self.model.encode(players, batch))

  def _probabilities(self, latents):  # [B, Z] -> [B]
    log_density = DENSITIES[self.density](latents)
    return jax.nn.softmax(-self.strength * log_density)


def _check_batch(size: int, local: int) -> None:
  del local
  if size < 2:
    raise InputError(
      f'config.batch_size: DebiasingVAE estimates a density from the latents '
      f'of a batch, of which there are {size}. Use 2 images or more.'
    )
