"""How probable held-out images are under the model, in nats per image."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from gen_jax.core import Players
from gen_jax.distributed import prediction
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Size


@evaluator('elbo')
class ELBO:
  """The evidence lower bound and its two parts, with one sample of the latents.

  Attributes:
    num: images of the split; 0 for all.
    by_class: also the means over each class, `elbo_<class>` and so on.
  """

  task: Task
  split: str = 'test'
  num: Count = 0
  by_class: bool = False
  batch_size: Size = 500

  def __post_init__(self) -> None:
    source = self.task.source(self.split) if self.by_class else None
    if source is not None and 'label' not in source.fields:
      raise InputError(
        'config.evals: likelihood.ELBO: by_class=True needs labeled data.'
      )

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    elbo = self.task.predict('elbo')

    def compute(batch, index):
      values = elbo(players, batch, key=jax.random.fold_in(key, index))
      return values, batch['label'] if self.by_class else ()

    values, labels = self.task.each(
      compute, self.split, self.num, self.batch_size, key
    )
    names = self.task.source(self.split).classes
    for name, of_images in values.items():
      yield name, of_images.mean(dtype=np.float64)
    for label in np.unique(labels):
      shown = names[label] if names else label
      for name, of_images in values.items():
        mean = of_images[labels == label].mean(dtype=np.float64)
        yield f'{name}_{shown}', mean


@evaluator('log_weights', split=2)
class NLL:
  """Negative log-likelihood by importance sampling.

  -log 1/K sum_k p(x, z_k) / q(z_k | x), z_k from q: an upper bound on the true
  value that falls with K (Burda et al. 2015, eq. 8; Rezende et al. 2014,
  appendix E).

  Attributes:
    samples: K, latents per image.
    num: images of the split; 0 for all.
    batch_size: images in one dispatch.
    chunk: latents per image in one pass.
  """

  task: Task
  split: str = 'test'
  samples: Size = 5000
  num: Count = 0
  batch_size: Size = 20
  chunk: Size = 50

  def __post_init__(self) -> None:
    if self.samples < 1 or self.chunk < 1 or self.samples % self.chunk:
      raise InputError(
        f'likelihood.NLL: samples={self.samples} is not a multiple of '
        f'chunk={self.chunk}.'
      )

  @functools.cached_property
  def _log_likelihood(self):
    log_weights = self.task.predict('log_weights')
    chunks = self.samples // self.chunk

    def estimate(players, batch, key):
      def add(index, total):
        weights = log_weights(
          players, batch, key=jax.random.fold_in(key, index), num=self.chunk
        )
        return jnp.logaddexp(total, jax.nn.logsumexp(weights, axis=0))

      start = jnp.full(len(batch['image']), -jnp.inf)
      total = jax.lax.fori_loop(0, chunks, add, start)
      return total - jnp.log(self.samples)

    return prediction.shard_batch(estimate)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    values = []
    batches = self.task.batches(self.split, self.num, self.batch_size, key)
    total = -(-len(self.task.choose(self.split, self.num)) // self.batch_size)
    # NullWriter where nobody watches; minutes of work where somebody does.
    for index, (batch, count) in enumerate(
      tqdm(batches, 'NLL', total, unit='batch', leave=False, disable=None)
    ):
      out = self._log_likelihood(players, batch, jax.random.fold_in(key, index))
      values.append(np.asarray(out)[:count])
    values = -np.concatenate(values).astype(np.float64)
    yield 'nll', values.mean()
    yield 'standard_error', values.std(ddof=1) / len(values) ** 0.5
