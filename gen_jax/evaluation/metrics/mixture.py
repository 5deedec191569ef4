"""A mixture of Gaussians over latents, from which a plain autoencoder samples.

An autoencoder has no prior. A density that is fitted to the latents of the
training images takes its place (Ghosh et al. 2020, "From variational to
deterministic autoencoders", section 4).
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Minimum, Results, Task, evaluator
from gen_jax.registry.fields import Count, Size


class Mixture(NamedTuple):
  """K Gaussians with full covariances.

  Attributes:
    log_weight: [K].
    mean: [K, Z].
    factor: lower Cholesky factors of the covariances, [K, Z, Z].
    log_likelihood: `latents [N, Z] -> [N]`, in nats.
  """

  log_weight: jax.Array
  mean: jax.Array
  factor: jax.Array
  log_likelihood: Callable[[np.ndarray], np.ndarray]

  def sample(self, key: jax.Array, num: int) -> jax.Array:
    """Draws latents, [num, Z]."""
    key_part, key_noise = jax.random.split(key)
    part = jax.random.categorical(key_part, self.log_weight, shape=(num,))
    noise = jax.random.normal(key_noise, (num, self.mean.shape[-1]))
    spread = jnp.einsum('nij,nj->ni', self.factor[part], noise)
    return self.mean[part] + spread


def fit(latents: np.ndarray, components: int, field: str) -> Mixture:
  """Fits a mixture to latents [N, Z]; the same latents give the same mixture.

  Raises:
    InputError: less than one component, or more components than latents;
      `field` says where their number was given.
  """
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.mixture import GaussianMixture
  from threadpoolctl import threadpool_limits

  if not 1 <= components <= len(latents):
    raise InputError(
      f'{field}={components}: expected 1 to {len(latents)}, the number of '
      'latents.'
    )
  model = GaussianMixture(components, random_state=0)
  # The matrices are small: several threads gain little on an idle machine, and
  # on a busy one they wait for each other, thirty times longer.
  with warnings.catch_warnings(), threadpool_limits(1):
    # 100 iterations are the protocol; the last digits do not matter.
    warnings.simplefilter('ignore', ConvergenceWarning)
    model.fit(latents.astype(np.float64))
  return Mixture(
    jnp.log(jnp.asarray(model.weights_, jnp.float32)),
    jnp.asarray(model.means_, jnp.float32),
    jnp.asarray(
      np.linalg.cholesky(np.asarray(model.covariances_)), jnp.float32
    ),
    lambda latents: model.score_samples(latents.astype(np.float64)),
  )


def sampler(
  task: Task, players: Players, components: int, num: int, field: str
) -> Callable[..., jax.Array]:
  """Returns `(players, *, key, num) -> images` that draws from a mixture.

  Args:
    task: with the objective's 'encode' and 'decode'.
    players: trained.
    components: of the mixture.
    num: training images whose latents it is fitted to.
    field: where the number of components was given, for messages.
  """
  latents, _, _ = task.latents(players, 'train', num, 500, jax.random.key(0))
  mixture, decode = fit(latents, components, field), task.predict('decode')
  return lambda players, *, key, num: decode(players, mixture.sample(key, num))


@evaluator('encode', 'decode')
class Samples:
  """Images decoded from a mixture of Gaussians over the training latents.

  The log-likelihoods are of latents, in nats. They compare mixtures over the
  same latents only; a larger one for training images than for test images is a
  sign of too many components.

  Attributes:
    components: of the mixture.
    train: training images whose latents it is fitted to.
    num: images of the split that are scored; 0 for all.
    shown: samples in the picture.
  """

  task: Task
  split: str = 'test'
  components: Size = 50
  train: Count = 10_000
  num: Count = 0
  shown: Size = 64
  batch_size: Size = 500

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""
    return Minimum('train', max(self.components, 2)), Minimum(self.split)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    sets = (('train', self.train), (self.split, self.num))
    train, test = (
      self.task.latents(players, split, num, self.batch_size, key)[0]
      for split, num in sets
    )
    mixture = fit(train, self.components, 'mixture.Samples: components')
    for name, latents in (('train', train), ('test', test)):
      mean = mixture.log_likelihood(latents).mean()
      yield f'{name}_log_likelihood', float(mean)
    latents = mixture.sample(key, self.shown)
    images = self.task.predict('decode')(players, latents)
    yield 'samples', self.task.sheet(images)
