"""The variational autoencoder (Kingma and Welling 2013)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.errors import InputError, nearest
from gen_jax.losses import divergences
from gen_jax.losses.likelihoods import LIKELIHOODS
from gen_jax.parallel import batch_mean


@dataclasses.dataclass(frozen=True)
class VAE:
  """One player, `model`: an encoder q(z|x) and a decoder p(x|z).

  Minimises the negative evidence lower bound, in nats per image (eq. 7):
    E_q[-log p(x|z)] + beta KL(q(z|x) || N(0, 1)).

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
    samples: of z per image in training, L in the paper.
  """

  encoder: nn.Module
  decoder: nn.Module
  likelihood: str = 'bernoulli'
  learn_variance: bool = False
  beta: float = 1.0
  kl_warmup: int = 0
  free_bits: float = 0.0
  samples: int = 1

  pixels = 'unit'

  def __post_init__(self):
    if self.likelihood not in LIKELIHOODS:
      raise InputError(
        f'objective.likelihood={self.likelihood!r} is unknown.'
        + nearest(self.likelihood, LIKELIHOODS)
      )
    if self.learn_variance and self.likelihood != 'gaussian':
      raise InputError(
        "objective.learn_variance=True needs likelihood='gaussian'."
      )
    if self.samples < 1:
      raise InputError(f'objective.samples={self.samples}: expected 1 or more.')

  # Training.

  def init(self, key: jax.Array, batch: Batch) -> Players:
    key_encoder, key_decoder = jax.random.split(key)
    batch = {'image': batch['image'][:1]}
    encoder = self.encoder.init(key_encoder, batch['image'])['params']
    mean, _ = self._posterior({'encoder': encoder}, batch)
    params = {
      'encoder': encoder,
      'decoder': self.decoder.init(key_decoder, mean)['params'],
    }
    if self.learn_variance:
      params['log_variance'] = jnp.zeros(())
    return {'model': {'params': params}}

  def updates(self) -> tuple[Update, ...]:
    return (Update(wrt=('model',), loss=self.loss),)

  def loss(self, players: Players, batch: Batch, *, key, step):
    params = players['model']['params']
    mean, log_variance = self._posterior(params, batch)  # [B, Z]
    codes = reparameterise(key, mean, log_variance, self.samples)  # [L, B, Z]
    reconstruction = jnp.mean(self._nll(params, batch, codes))
    kl = batch_mean(divergences.kl_standard_normal(mean, log_variance))  # [Z]
    weight = self.beta
    if self.kl_warmup:
      weight *= jnp.minimum(1.0, (step + 1) / self.kl_warmup)
    cost = divergences.free_bits(kl, self.free_bits)
    metrics = {
      'elbo': -reconstruction - jnp.sum(kl),
      'reconstruction': reconstruction,
      'kl': jnp.sum(kl),
    }
    return reconstruction + weight * cost, Aux(metrics)

  # What the trained model can do.

  def predict_fns(self):
    return {
      'sample': self.sample,
      'reconstruct': self.reconstruct,
      'encode': self.encode,
      'decode': self.decode,
      'scores': self.scores,
      'elbo': self.elbo,
      'log_weights': self.log_weights,
    }

  def sample(self, players: Players, *, key, num: int) -> jax.Array:
    """Mean images of `num` codes from the prior, [num, H, W, C]."""
    codes = jax.random.normal(key, (num, self._code_size(players)))
    return self.decode(players, codes)

  def reconstruct(self, players: Players, batch: Batch, *, key) -> jax.Array:
    """Mean images of a code drawn for each image, [B, H, W, C]."""
    posterior = self._posterior(players['model']['params'], batch)
    return self.decode(players, reparameterise(key, *posterior)[0])

  def encode(self, players: Players, batch: Batch) -> jax.Array:
    """Means of the posteriors, [B, Z]."""
    return self._posterior(players['model']['params'], batch)[0]

  def decode(self, players: Players, codes) -> jax.Array:
    """Mean images of codes [B, Z], in [0, 1]."""
    params = players['model']['params']
    output = self.decoder.apply({'params': params['decoder']}, codes)
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
    codes = reparameterise(key, mean, log_variance)
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
    codes = reparameterise(key, mean, log_variance, num)  # [num, B, Z]
    return (
      -self._nll(params, batch, codes)
      + divergences.log_normal(codes)
      - divergences.log_normal(codes, mean, log_variance)
    )

  def _posterior(self, params, batch):
    """Mean and log-variance of q(z|x), [B, Z] each."""
    output = self.encoder.apply({'params': params['encoder']}, batch['image'])
    return jnp.split(output, 2, axis=-1)

  def _nll(self, params, batch, codes):  # [L, B, Z] -> [L, B]
    images = batch['image']
    num, batch, size = codes.shape
    output = self.decoder.apply(
      {'params': params['decoder']}, codes.reshape(num * batch, size)
    )
    output = output.reshape(num, *images.shape)
    nll = LIKELIHOODS[self.likelihood].nll
    log_variance = params.get('log_variance', 0.0)
    return jax.vmap(lambda out: nll(images, out, log_variance))(output)

  def _code_size(self, players):
    image = jax.ShapeDtypeStruct((1, *self.decoder.shape), jnp.float32)
    return jax.eval_shape(self.encode, players, {'image': image}).shape[-1]


def reparameterise(key, mean, log_variance, num: int = 1) -> jax.Array:
  """Draws z = m + s e, e from N(0, 1) (eq. 4), [B, Z] -> [num, B, Z]."""
  noise = jax.random.normal(key, (num, *mean.shape))
  return mean + jnp.exp(log_variance / 2) * noise
