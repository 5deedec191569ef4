"""The importance weighted autoencoder, with either of two gradients.

References:
  Burda et al., 2015, Importance Weighted Autoencoders.
  Tucker et al., 2018, Doubly Reparameterized Gradient Estimators for Monte
  Carlo Objectives.
"""

import dataclasses
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.losses.estimators import scale_gradient
from gen_jax.losses.likelihoods import LIKELIHOODS
from gen_jax.objectives.parts.variational import LatentModel
from gen_jax.registry.fields import Size, one_of


def _iwae(
  model: LatentModel, params: dict, batch: Batch, key: jax.Array, samples: int
) -> jax.Array:
  """Returns log weights [k, B] that are differentiated as they are."""
  posterior = model.posterior(params, batch)
  latents = posterior.sample(key, samples)
  return model.log_importance(params, batch, latents, posterior)


def _dreg(
  model: LatentModel, params: dict, batch: Batch, key: jax.Array, samples: int
) -> jax.Array:
  """Returns log weights [k, B] with a doubly reparameterized gradient.

  The encoder's gradient is (Tucker et al. 2018, eq. 8)
    E[sum_i v_i^2 d log w_i / d z_i  d z_i / d phi],  v_i = w_i / sum_j w_j:
  through the latents alone, and with the normalized weights squared. Its
  expectation is the gradient of the bound and, unlike that of the IWAE, its
  signal-to-noise ratio grows with k.
  """
  posterior = model.posterior(params, batch)
  latents = posterior.sample(key, samples)  # [k, B, Z]
  fixed = jax.lax.stop_gradient(posterior)
  # The bound's own gradient brings v to the power of one, this the second.
  # Both passes compute the same numbers, which the compiler does once.
  log_weights = model.log_importance(params, batch, latents, fixed)
  weights = jax.lax.stop_gradient(jax.nn.softmax(log_weights, axis=0))
  latents = scale_gradient(latents, weights[..., None])
  return model.log_importance(params, batch, latents, fixed)


ESTIMATORS = {'iwae': _iwae, 'dreg': _dreg}


@dataclasses.dataclass(frozen=True)
class IWAE:
  """The VAE's networks, trained with a tighter bound of k = `samples` latents.

  Maximizes E[log 1/k sum_i w_i], w_i = p(x, z_i) / q(z_i|x), in nats per image
  (Burda et al. 2015, eq. 8). k = 1 gives the VAE.

  Attributes:
    encoder: images [B, H, W, C] -> [B, 2 Z], means and log-variances.
    decoder: latents [B, Z] -> [B, H, W, C], logits or means.
    likelihood: 'bernoulli', 'gaussian' or 'continuous_bernoulli'.
    learn_variance: one variance of the Gaussian for all pixels, learned.
    samples: k, latents per image in training.
    estimator: of the gradient; 'iwae' or 'dreg'. The bound is the same.
  """

  encoder: nn.Module
  decoder: nn.Module
  likelihood: Annotated[str, one_of(LIKELIHOODS)] = 'bernoulli'
  learn_variance: bool = False
  samples: Size = 50
  estimator: Annotated[str, one_of(ESTIMATORS)] = 'iwae'

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
    return (Update(wrt=('model',), loss=self.loss),)

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the negative bound, in nats per image."""
    del step
    log_weights = ESTIMATORS[self.estimator](
      self.model, players['model']['params'], batch, key, self.samples
    )
    log_mean = jax.nn.logsumexp(log_weights, axis=0) - jnp.log(self.samples)
    bound = jnp.mean(log_mean)
    weights = jax.nn.softmax(log_weights, axis=0)
    metrics = {
      'bound': bound,
      'elbo': jnp.mean(log_weights),
      # The effective sample size, from 1 to k.
      'effective_samples': jnp.mean(1 / jnp.sum(jnp.square(weights), axis=0)),
    }
    return -bound, Aux(metrics)

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    return self.model.predict_fns()
