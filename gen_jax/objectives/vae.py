"""The variational autoencoder, also with classes or a capacity.

References:
  Kingma and Welling, 2013, Auto-Encoding Variational Bayes.
  Sohn et al., 2015, Learning Structured Output Representation using Deep
  Conditional Generative Models.
"""

import dataclasses
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.distributed.collectives import batch_mean
from gen_jax.errors import InputError
from gen_jax.losses import divergences
from gen_jax.losses.likelihoods import LIKELIHOODS
from gen_jax.objectives.parts.labels import check_labeled
from gen_jax.objectives.parts.variational import LatentModel
from gen_jax.registry.fields import Count, Size, Weight, one_of


@dataclasses.dataclass(frozen=True)
class VAE:
  """One player, `model`: an encoder q(z|x) and a decoder p(x|z).

  Minimizes the negative evidence lower bound (ELBO), in nats per image:
    E_q[-log p(x|z)] + beta KL(q(z|x) || N(0, 1))      (Kingma, eq. 7)
  or, with a capacity C,
    E_q[-log p(x|z)] + beta |KL(q(z|x) || N(0, 1)) - C|  (Burgess, eq. 8)

  With classes, both networks also get the class (Sohn et al. 2015): the latents
  then need not describe the class, and describe the style.

  Attributes:
    encoder: images [B, H, W, C] -> [B, 2 Z], means and log-variances.
    decoder: latents [B, Z] -> [B, H, W, C], logits or means.
    likelihood: 'bernoulli', 'gaussian' or 'continuous_bernoulli'.
    learn_variance: one variance of the Gaussian for all pixels, learned; else
      it is 1, and the reconstruction half of the squared error.
    classes: K of a conditional VAE, whose batches have 'label', int32 [B], in
      [0, K); 0 for none.
    beta: weight of the KL; 1 gives the ELBO, more the beta-VAE of Higgins et
      al. 2017.
    kl_warmup: steps in which the weight grows from 0 to `beta`.
    free_bits: nats a dimension that cost nothing (Kingma et al. 2016).
    capacity: C, nats of the latents at the end of training; 0 for none.
    capacity_steps: steps in which C grows there from 0.
    samples: latents per image in training, L in the paper.
  """

  encoder: nn.Module
  decoder: nn.Module
  likelihood: Annotated[str, one_of(LIKELIHOODS)] = 'bernoulli'
  learn_variance: bool = False
  classes: Count = 0
  beta: Weight = 1.0
  kl_warmup: Count = 0
  free_bits: Weight = 0.0
  capacity: Weight = 0.0
  capacity_steps: Count = 0
  samples: Size = 1

  pixels: ClassVar[str] = 'unit'

  def __post_init__(self) -> None:
    _ = self.model  # which checks its own fields
    if self.capacity and self.free_bits:
      raise InputError('objective.capacity and free_bits exclude each other.')

  @property
  def model(self) -> LatentModel:
    """Returns the networks with their densities."""
    return LatentModel(
      self.encoder,
      self.decoder,
      self.likelihood,
      self.learn_variance,
      self.classes,
    )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""
    if self.classes:
      check_labeled(batch, self)
    return {'model': {'params': self.model.init(key, batch)}}

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""
    why = ''
    if self.free_bits or self.capacity:
      why = 'objective.free_bits and capacity apply to the mean KL of the batch'
    return (Update(wrt=('model',), loss=self.loss, whole_batch=why),)

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the negative ELBO with a weighted KL, in nats per image."""
    params = players['model']['params']
    posterior = self.model.posterior(params, batch)
    latents = posterior.sample(key, self.samples)  # [L, B, Z]
    reconstruction = jnp.mean(self.model.nll(params, batch, latents))
    kl = batch_mean(posterior.kl())  # [Z]
    metrics = {
      'elbo': -reconstruction - jnp.sum(kl),
      'reconstruction': reconstruction,
      'kl': jnp.sum(kl),
    }
    return reconstruction + self._kl_loss(kl, step), Aux(metrics)

  def _kl_loss(self, kl, step):
    """Returns the loss for a mean KL of each dimension [Z], in nats."""
    weight = self.beta
    if self.kl_warmup:
      weight *= jnp.minimum(1.0, (step + 1) / self.kl_warmup)
    if self.capacity:
      grown = jnp.minimum(1.0, (step + 1) / max(self.capacity_steps, 1))
      return weight * jnp.abs(jnp.sum(kl) - self.capacity * grown)
    return weight * divergences.free_bits(kl, self.free_bits)

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    return self.model.predict_fns()
