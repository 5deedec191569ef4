"""The variational autoencoder (Kingma and Welling 2013)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.distributed.collectives import batch_mean
from gen_jax.errors import InputError
from gen_jax.losses import divergences
from gen_jax.losses.likelihoods import LIKELIHOODS
from gen_jax.objectives.shapes import check_images
from gen_jax.registry.fields import Count, Size, Weight, one_of


@dataclasses.dataclass(frozen=True)
class VAE:
  """One player, `model`: an encoder q(z|x) and a decoder p(x|z).

  Minimizes the negative evidence lower bound, in nats per image (eq. 7):
    E_q[-log p(x|z)] + beta KL(q(z|x) || N(0, 1)),
  or, with a capacity C (Burgess et al. 2018, eq. 8),
    E_q[-log p(x|z)] + beta |KL(q(z|x) || N(0, 1)) - C|.

  Attributes:
    encoder: images [B, H, W, C] -> [B, 2 Z], mean and log-variance.
    decoder: codes [B, Z] -> [B, H, W, C], logits or means.
    likelihood: 'bernoulli', 'gaussian' or 'continuous_bernoulli'.
    learn_variance: one variance of the Gaussian for all pixels, learned; else
      it is 1, and the reconstruction half of the squared error.
    beta: weight of the KL; 1 is the bound, more is the beta-VAE of Higgins et
      al. 2017.
    kl_warmup: steps in which the weight grows from 0 to `beta`.
    free_bits: nats a dimension that cost nothing (Kingma et al. 2016).
    capacity: C, nats of a code at the end of training; 0 for none.
    capacity_steps: steps in which C grows there from 0.
    samples: of z per image in training, L in the paper.
  """

  encoder: nn.Module
  decoder: nn.Module
  likelihood: one_of(LIKELIHOODS) = 'bernoulli'
  learn_variance: bool = False
  beta: Weight = 1.0
  kl_warmup: Count = 0
  free_bits: Weight = 0.0
  capacity: Weight = 0.0
  capacity_steps: Count = 0
  samples: Size = 1

  pixels = 'unit'

  def __post_init__(self):
    if self.learn_variance and self.likelihood != 'gaussian':
      raise InputError(
        "objective.learn_variance=True needs likelihood='gaussian'."
      )
    if self.capacity and self.free_bits:
      raise InputError('objective.capacity and free_bits exclude each other.')

  # Training.

  def init(self, key: jax.Array, batch: Batch) -> Players:
    key_encoder, key_decoder = jax.random.split(key)
    batch = {name: x[:1] for name, x in batch.items()}
    condition = self.condition(batch)
    encoder = self.encoder.init(key_encoder, batch['image'], *condition)
    params = {'encoder': encoder['params']}
    mean, _ = self._posterior(params, batch)
    output, decoder = self.decoder.init_with_output(
      key_decoder, mean, *condition
    )
    check_images(output, batch['image'], 'objective.decoder.shape')
    params['decoder'] = decoder['params']
    if self.learn_variance:
      params['log_variance'] = jnp.zeros(())
    return {'model': {'params': params}}

  def updates(self) -> tuple[Update, ...]:
    why = ''
    if self.free_bits or self.capacity:
      why = 'objective.free_bits and capacity apply to the mean KL of the batch'
    return (Update(wrt=('model',), loss=self.loss, whole_batch=why),)

  def loss(self, players: Players, batch: Batch, *, key, step):
    params = players['model']['params']
    mean, log_variance = self._posterior(params, batch)  # [B, Z]
    codes = reparameterize(key, mean, log_variance, self.samples)  # [L, B, Z]
    reconstruction = jnp.mean(self._nll(params, batch, codes))
    kl = batch_mean(divergences.kl_standard_normal(mean, log_variance))  # [Z]
    metrics = {
      'elbo': -reconstruction - jnp.sum(kl),
      'reconstruction': reconstruction,
      'kl': jnp.sum(kl),
    }
    return reconstruction + self._cost(kl, step), Aux(metrics)

  def _cost(self, kl, step):
    """What the divergence [Z] costs at a step, in nats."""
    weight = self.beta
    if self.kl_warmup:
      weight *= jnp.minimum(1.0, (step + 1) / self.kl_warmup)
    if self.capacity:
      grown = jnp.minimum(1.0, (step + 1) / max(self.capacity_steps, 1))
      return weight * jnp.abs(jnp.sum(kl) - self.capacity * grown)
    return weight * divergences.free_bits(kl, self.free_bits)

  def condition(self, batch: Batch) -> tuple[jax.Array, ...]:
    """What encoder and decoder see beside image and code, [B, K]; nothing."""
    del batch
    return ()

  # What the trained model can do.

  def predict_fns(self):
    return {
      'sample': self.sample,
      'reconstruct': self.reconstruct,
      'encode': self.encode,
      'decode': self.decode,
      'anomaly_scores': self.scores,
      'elbo': self.elbo,
      'log_weights': self.log_weights,
    }

  def sample(self, players: Players, *, key, num: int) -> jax.Array:
    """Mean images of `num` codes from the prior, [num, H, W, C]."""
    return self.decode(players, jax.random.normal(key, (num, self.code_size)))

  def reconstruct(self, players: Players, batch: Batch, *, key) -> jax.Array:
    """Mean images of a code drawn for each image, [B, H, W, C]."""
    posterior = self._posterior(players['model']['params'], batch)
    return self.decode(players, reparameterize(key, *posterior)[0], batch)

  def encode(self, players: Players, batch: Batch) -> jax.Array:
    """Means of the posteriors, [B, Z]."""
    return self._posterior(players['model']['params'], batch)[0]

  def decode(self, players: Players, codes, batch: Batch | None = None):
    """Mean images of codes [B, Z], in [0, 1].

    A batch is needed where a condition is.
    """
    params = players['model']['params']['decoder']
    condition = self.condition(batch or {})
    output = self.decoder.apply({'params': params}, codes, *condition)
    return LIKELIHOODS[self.likelihood].mean(output)

  def scores(self, players: Players, batch: Batch, *, key):
    """Minus the bound of each image, and its parts, [B], in nats."""
    parts = self.elbo(players, batch, key=key)
    return {
      'negative_elbo': -parts['elbo'],
      'error': parts['reconstruction'],
      'kl': parts['kl'],
    }

  def elbo(self, players: Players, batch: Batch, *, key):
    """The bound of each image with one code, and its parts, [B], in nats."""
    params = players['model']['params']
    mean, log_variance = self._posterior(params, batch)
    codes = reparameterize(key, mean, log_variance)
    reconstruction = self._nll(params, batch, codes)[0]
    kl = jnp.sum(divergences.kl_standard_normal(mean, log_variance), axis=-1)
    return {
      'elbo': -reconstruction - kl,
      'reconstruction': reconstruction,
      'kl': kl,
    }

  def log_weights(self, players: Players, batch: Batch, *, key, num: int):
    """log p(x|z) p(z) / q(z|x) of `num` codes per image, [num, B], in nats."""
    params = players['model']['params']
    mean, log_variance = self._posterior(params, batch)
    codes = reparameterize(key, mean, log_variance, num)  # [num, B, Z]
    return self._weigh(params, batch, codes, mean, log_variance)

  def _weigh(self, params, batch, codes, mean, log_variance):
    """log p(x|z) p(z) / q(z|x) of codes [L, B, Z], [L, B]."""
    return (
      -self._nll(params, batch, codes)
      + divergences.log_normal(codes)
      - divergences.log_normal(codes, mean, log_variance)
    )

  def _posterior(self, params, batch):
    """Mean and log-variance of q(z|x), [B, Z] each."""
    output = self.encoder.apply(
      {'params': params['encoder']}, batch['image'], *self.condition(batch)
    )
    return jnp.split(output, 2, axis=-1)

  def _nll(self, params, batch, codes):  # [L, B, Z] -> [L, B]
    images = batch['image']
    num, count, size = codes.shape
    condition = (jnp.tile(c, (num, 1)) for c in self.condition(batch))
    output = self.decoder.apply(
      {'params': params['decoder']},
      codes.reshape(num * count, size),
      *condition,
    )
    output = output.reshape(num, count, *output.shape[1:])
    nll = LIKELIHOODS[self.likelihood].nll
    log_variance = params.get('log_variance', 0.0)
    return jax.vmap(lambda out: nll(images, out, log_variance))(output)

  @property
  def code_size(self) -> int:
    """Z, the size of a code."""
    return self.encoder.features // 2


def reparameterize(key, mean, log_variance, num: int = 1) -> jax.Array:
  """Draws z = m + s e, e from N(0, 1) (eq. 4), [B, Z] -> [num, B, Z]."""
  noise = jax.random.normal(key, (num, *mean.shape))
  return mean + jnp.exp(log_variance / 2) * noise
