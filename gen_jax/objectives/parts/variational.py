"""The two networks of variational autoencoders, and their densities."""

import dataclasses

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from gen_jax.core import Batch, Capabilities, Players
from gen_jax.errors import InputError
from gen_jax.losses.densities import log_normal
from gen_jax.losses.divergences import kl_standard_normal
from gen_jax.losses.likelihoods import LIKELIHOODS
from gen_jax.models.layers.batches import join
from gen_jax.objectives.parts.labels import one_hot
from gen_jax.objectives.parts.shapes import check_images


@flax.struct.dataclass
class Posterior:
  """The diagonal Gaussian q(z|x) of each image of a batch.

  Attributes:
    mean: [B, Z].
    log_variance: [B, Z].
  """

  mean: jax.Array
  log_variance: jax.Array

  def sample(self, key: jax.Array, num: int = 1) -> jax.Array:
    """Draws latents z = mean + exp(log_variance / 2) e, [num, B, Z].

    They are differentiable functions of the parameters, because e is drawn from
    N(0, 1) (Kingma and Welling 2013, section 2.4).
    """
    noise = jax.random.normal(key, (num, *self.mean.shape))
    return self.mean + jnp.exp(self.log_variance / 2) * noise

  def log_density(self, latents: jax.Array) -> jax.Array:
    """Returns log q(z|x) of latents [L, B, Z], [L, B]."""
    return jnp.sum(log_normal(latents, self.mean, self.log_variance), axis=-1)

  def kl(self) -> jax.Array:
    """Returns KL(q(z|x) || N(0, 1)) of each dimension, [B, Z]."""
    return kl_standard_normal(self.mean, self.log_variance)


@dataclasses.dataclass(frozen=True)
class LatentModel:
  """The model p(x|z) N(z; 0, 1), with an approximate posterior q(z|x).

  With classes it is a model of p(x|y): both networks also get the class y
  (Sohn et al. 2015).

  Attributes:
    encoder: images [B, H, W, C] -> [B, 2 Z], means and log-variances.
    decoder: latents [B, Z] -> [B, H, W, C], logits or means.
    likelihood: the density p(x|z), one of LIKELIHOODS.
    learn_variance: whether the variance of a Gaussian likelihood is learned, as
      one number for all pixels; else it is 1.
    classes: K; 0 for a model without classes.
  """

  encoder: nn.Module
  decoder: nn.Module
  likelihood: str
  learn_variance: bool = False
  classes: int = 0

  def __post_init__(self) -> None:
    if self.learn_variance and self.likelihood != 'gaussian':
      raise InputError(
        "objective.learn_variance=True needs likelihood='gaussian'."
      )

  # The densities, given the parameters of both networks.

  def init(self, key: jax.Array, batch: Batch) -> dict:
    """Returns the initial parameters of both networks."""
    key_encoder, key_decoder = jax.random.split(key)
    batch = {name: x[:1] for name, x in batch.items()}
    condition = self._condition(batch)
    encoder = self.encoder.init(key_encoder, batch['image'], *condition)
    params = {'encoder': encoder['params']}
    mean = self.posterior(params, batch).mean
    output, decoder = self.decoder.init_with_output(
      key_decoder, mean, *condition
    )
    check_images(output, batch['image'], 'objective.decoder.shape')
    params['decoder'] = decoder['params']
    if self.learn_variance:
      params['log_variance'] = jnp.zeros(())
    return params

  def posterior(self, params: dict, batch: Batch) -> Posterior:
    """Returns q(z|x) of each image of a batch."""
    output = self.encoder.apply(
      {'params': params['encoder']}, batch['image'], *self._condition(batch)
    )
    return Posterior(*jnp.split(output, 2, axis=-1))

  def nll(self, params: dict, batch: Batch, latents: jax.Array) -> jax.Array:
    """Returns -log p(x|z) of latents [L, B, Z], [L, B], in nats."""
    images = batch['image']
    num, count, _ = latents.shape
    condition = (jnp.repeat(c, num, axis=0) for c in self._condition(batch))
    # Joined image by image, so that each device has the latents of its images.
    output = self.decoder.apply(
      {'params': params['decoder']}, join(latents), *condition
    )
    output = output.reshape(count, num, *output.shape[1:])
    nll = LIKELIHOODS[self.likelihood].nll
    log_variance = params.get('log_variance', 0.0)
    return jax.vmap(lambda out: nll(images, out, log_variance), in_axes=1)(
      output
    )

  def log_importance(
    self, params: dict, batch: Batch, latents: jax.Array, posterior: Posterior
  ) -> jax.Array:
    """Returns log p(x|z) p(z) / q(z|x) of latents [L, B, Z], [L, B], in nats.

    Args:
      params: of both networks.
      batch: the images x.
      latents: z.
      posterior: q; the latents need not be drawn from it.
    """
    return (
      -self.nll(params, batch, latents)
      + jnp.sum(log_normal(latents), axis=-1)
      - posterior.log_density(latents)
    )

  def _condition(self, batch):
    """Returns the further inputs of both networks: none, or classes [B, K]."""
    if not self.classes:
      return ()
    return (one_hot(batch['label'], self.classes),)

  # Capabilities of the trained model.

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    fns: Capabilities = {
      'sample': self.sample,
      'sample_latents': self.sample_latents,
      'reconstruct': self.reconstruct,
      'encode': self.encode,
      'anomaly_scores': self.anomaly_scores,
      'elbo': self.elbo,
      'log_weights': self.log_weights,
    }
    if self.classes:
      fns['sample_classes'] = self.sample_classes
      fns['relabel'] = self.relabel
    else:  # with classes an image needs more than latents
      fns['decode'] = self.decode
    return fns

  def sample_latents(
    self, players: Players, *, key: jax.Array, num: int
  ) -> jax.Array:
    """Draws latents from the prior, [num, Z]."""
    del players
    return jax.random.normal(key, (num, self.encoder.features // 2))

  def sample(self, players: Players, *, key: jax.Array, num: int) -> jax.Array:
    """Generates mean images of `num` latents, [num, H, W, C]."""
    if self.classes:
      labels = jnp.arange(num) % self.classes
      return self.sample_classes(players, labels, key=key)
    return self.decode(players, self.sample_latents(players, key=key, num=num))

  def sample_classes(
    self, players: Players, labels: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Generates a mean image for each label [N] or class weights [N, K]."""
    latents = self.sample_latents(players, key=key, num=labels.shape[0])
    return self._mean(players, latents, {'label': labels})

  def reconstruct(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> jax.Array:
    """Returns mean images of latents drawn for each image, [B, H, W, C]."""
    posterior = self.posterior(players['model']['params'], batch)
    return self._mean(players, posterior.sample(key)[0], batch)

  def encode(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the means of the posteriors, [B, Z]."""
    return self.posterior(players['model']['params'], batch).mean

  def decode(self, players: Players, latents: jax.Array) -> jax.Array:
    """Returns the mean images of latents [N, Z], in [0, 1]."""
    return self._mean(players, latents, {})

  def relabel(
    self, players: Players, batch: Batch, labels: jax.Array
  ) -> jax.Array:
    """Returns the images with the same latents and other classes [B]."""
    latents = self.encode(players, batch)
    return self._mean(players, latents, {'label': labels})

  def anomaly_scores(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> dict[str, jax.Array]:
    """Returns the negative ELBO of each image and its parts, [B], in nats."""
    parts = self.elbo(players, batch, key=key)
    return {
      'negative_elbo': -parts['elbo'],
      'error': parts['reconstruction'],
      'kl': parts['kl'],
    }

  def elbo(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> dict[str, jax.Array]:
    """Returns the ELBO of each image with one sample, and its parts, [B]."""
    params = players['model']['params']
    posterior = self.posterior(params, batch)
    reconstruction = self.nll(params, batch, posterior.sample(key))[0]
    kl = jnp.sum(posterior.kl(), axis=-1)
    return {
      'elbo': -reconstruction - kl,
      'reconstruction': reconstruction,
      'kl': kl,
    }

  def log_weights(
    self, players: Players, batch: Batch, *, key: jax.Array, num: int
  ) -> jax.Array:
    """Returns log p(x|z) p(z) / q(z|x) of `num` latents an image, [num, B]."""
    params = players['model']['params']
    posterior = self.posterior(params, batch)
    latents = posterior.sample(key, num)  # [num, B, Z]
    return self.log_importance(params, batch, latents, posterior)

  def _mean(self, players, latents, batch):
    params = players['model']['params']['decoder']
    condition = self._condition(batch)
    output = self.decoder.apply({'params': params}, latents, *condition)
    return LIKELIHOODS[self.likelihood].mean(output)
