"""How evenly images change along paths between latents."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.evaluation.features import extractors
from gen_jax.evaluation.figures.latent_figures import lerp, slerp
from gen_jax.registry.fields import Count, Positive, Size


@evaluator('sample_latents', 'map_latents', 'synthesize')
class PathLength:
  """Perceptual path length in Z and in W (Karras et al. 2018, section 4.1).

  E[d(G(t), G(t + e)) / e^2] with d(a, b) = |f(a) - f(b)|^2 of any features f:
  in Z on the great circle between two latents, in W on the straight line
  between their w. `full` is for t uniform in [0, 1], `end` for t = 0. All
  images have the same noise, and the hundredth parts with the least and the
  greatest lengths do not count, as in the authors' program. Numbers of
  different features must not be compared.

  Attributes:
    num: pairs.
    epsilon: e.
    features: as in `fidelity.Fidelity`.
    classifier: as in `fidelity.Fidelity`.
    batch_size: pairs in one dispatch.
  """

  task: Task
  num: Count = 2000
  epsilon: Positive = 1e-4
  features: str = 'random'
  classifier: str = ''
  batch_size: Size = 100

  def __post_init__(self) -> None:
    if self.num < 100 or self.epsilon <= 0:
      raise InputError(
        f'config.evals: perceptual_path_length.PathLength: num={self.num}, '
        f'epsilon={self.epsilon}: expected 100 or more, and more than 0.'
      )
    extractors.check(self.features, self.task, self.classifier)

  @functools.cached_property
  def _extractor(self):
    shape, _ = self.task.fields['image']
    return extractors.load(self.features, shape, self.task, self.classifier)

  @functools.cached_property
  def _pairs(self):
    sample_latents, map_latents, synthesize = map(
      self.task.predict, ('sample_latents', 'map_latents', 'synthesize')
    )

    def pairs(players, key, space, t):
      """Images at t and at t + e, [2, B, H, W, C]; t is [B]."""
      key_latents, key_noise = jax.random.split(key)
      z = sample_latents(players, key=key_latents, num=2 * len(t))
      ends = t, t + self.epsilon
      if space == 'z':
        # Both get the same norm, so that the path is a great circle.
        norm = jnp.linalg.norm(z, axis=-1, keepdims=True)
        first, second = jnp.split(z / norm * z.shape[-1] ** 0.5, 2)
        along = [
          map_latents(players, slerp(first, second, at[:, None])) for at in ends
        ]
      else:
        first, second = jnp.split(map_latents(players, z), 2)
        shape = len(t), *[1] * (first.ndim - 1)
        along = [lerp(first, second, at.reshape(shape)) for at in ends]
      return jnp.stack(
        [synthesize(players, w_plus, key=key_noise) for w_plus in along]
      )

    return jax.jit(pairs, static_argnames='space')

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    for space in ('z', 'w'):
      for sampling in ('full', 'end'):
        # The same pairs of latents in both spaces.
        lengths = self._lengths(players, key, space, sampling)
        low, high = np.percentile(lengths, [1, 99])
        kept = lengths[(low <= lengths) & (lengths <= high)]
        yield f'{space}_{sampling}', float(kept.mean())
    yield 'features_identity', self._extractor.identity

  def _lengths(self, players, key, space, sampling):
    parts = []
    for start in range(0, self.num, self.batch_size):
      key_t, key_pair = jax.random.split(jax.random.fold_in(key, start))
      t = jax.random.uniform(key_t, (self.batch_size,))
      t = t if sampling == 'full' else jnp.zeros_like(t)
      images = np.asarray(self._pairs(players, key_pair, space, t), np.float32)
      if self.task.objective.pixels == 'symmetric':
        images = (images + 1) / 2  # not clipped, which would have no gradient
      first, second = (self._extractor.extract(x) for x in images)
      difference = np.asarray(second, np.float64) - first
      parts.append(np.square(difference / self.epsilon).sum(axis=-1))
    return np.concatenate(parts)[: self.num]
