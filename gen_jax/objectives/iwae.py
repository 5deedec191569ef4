"""The importance weighted autoencoder (Burda et al. 2015)."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players
from gen_jax.errors import InputError
from gen_jax.losses.estimators import scale_gradient
from gen_jax.objectives.vae import VAE, reparameterize
from gen_jax.registry.fields import Size


@dataclasses.dataclass(frozen=True)
class IWAE(VAE):
  """The VAE's networks, trained by a tighter bound of k = `samples` codes.

  Maximizes E[log 1/k sum_i w_i], w_i = p(x, z_i) / q(z_i|x), in nats per image
  (eq. 8). k = 1 is the VAE. What weighs the KL has no meaning here.
  """

  samples: Size = 50

  def __post_init__(self):
    super().__post_init__()
    plain = dict(beta=1.0, kl_warmup=0, free_bits=0.0, capacity=0.0)
    for field, value in plain.items():
      if getattr(self, field) != value:
        raise InputError(
          f'objective.{field}: the bound of iwae.{type(self).__name__} has no '
          'weight on its KL.'
        )

  def loss(self, players: Players, batch: Batch, *, key, step):
    del step
    log_weights = self._log_weights(players['model']['params'], batch, key)
    bound = jnp.mean(_log_mean_exp(log_weights))
    weights = jax.nn.softmax(log_weights, axis=0)
    metrics = {
      'bound': bound,
      'elbo': jnp.mean(log_weights),
      # Of the k codes, how many share the weight.
      'effective_samples': jnp.mean(1 / jnp.sum(jnp.square(weights), axis=0)),
    }
    return -bound, Aux(metrics)

  def _log_weights(self, params, batch, key):  # [k, B]
    mean, log_variance = self._posterior(params, batch)
    codes = reparameterize(key, mean, log_variance, self.samples)
    return self._weigh(params, batch, codes, mean, log_variance)


@dataclasses.dataclass(frozen=True)
class DReG(IWAE):
  """The same bound with a doubly reparameterized gradient (Tucker et al. 2018).

  The encoder's gradient is (eq. 8)
    E[sum_i v_i^2 d log w_i / d z_i  d z_i / d phi],  v_i = w_i / sum_j w_j:
  through the codes alone, and with the normalized weights squared. It has the
  expectation of the IWAE's and, unlike it, a signal that grows with k.
  """

  def _log_weights(self, params, batch, key):
    posterior = self._posterior(params, batch)
    codes = reparameterize(key, *posterior, self.samples)  # [k, B, Z]
    fixed = jax.lax.stop_gradient(posterior)
    # The bound's own gradient brings v to the power of one, this the second.
    # Both passes compute the same numbers, which the compiler does once.
    log_weights = self._weigh(params, batch, codes, *fixed)
    weights = jax.lax.stop_gradient(jax.nn.softmax(log_weights, axis=0))
    codes = scale_gradient(codes, weights[..., None])
    return self._weigh(params, batch, codes, *fixed)


def _log_mean_exp(x):  # [k, B] -> [B]
  return jax.nn.logsumexp(x, axis=0) - jnp.log(len(x))
