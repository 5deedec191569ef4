"""Pictures of a latent space."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Size
from gen_jax.storage import plot


def lerp(start: jax.Array, end: jax.Array, t: jax.Array | float) -> jax.Array:
  """Returns points on the line from start to end [..., Z], t in [0, 1]."""
  return (1 - t) * start + t * end


def slerp(start: jax.Array, end: jax.Array, t: jax.Array) -> jax.Array:
  """Returns points on the great circle from start to end [..., Z].

  With the angle w between them:
    sin((1 - t) w) / sin(w) start + sin(t w) / sin(w) end.
  If both have the same norm, so do all points between them. Samples of a normal
  distribution in many dimensions have almost equal norms, and a straight line
  between them comes closer to the origin. For parallel or opposite vectors, or
  when one is 0, the result is the straight line.

  References:
    White 2016, Sampling Generative Networks.
  """
  norms = jnp.linalg.norm(start, axis=-1) * jnp.linalg.norm(end, axis=-1)
  cosine = jnp.sum(start * end, axis=-1) / jnp.maximum(norms, 1e-12)
  angle = jnp.arccos(jnp.clip(cosine, -1, 1))[..., None]
  straight = (jnp.sin(angle) < 1e-4) | (norms[..., None] < 1e-12)
  sine = jnp.where(straight, 1.0, jnp.sin(angle))
  round_ = jnp.sin((1 - t) * angle) * start + jnp.sin(t * angle) * end
  return jnp.where(straight, lerp(start, end, t), round_ / sine)


@evaluator('encode', 'decode', split=2)
class Interpolation:
  """Decoded latents between those of two images, a pair of images per row.

  The left half follows the straight line between them, the right half the great
  circle. In each, t goes from 0 to 1.
  """

  task: Task
  split: str = 'test'
  rows: Size = 8
  columns: Size = 10

  @functools.cached_property
  def _run(self):
    encode, decode = self.task.predict('encode'), self.task.predict('decode')

    def interpolate(players, batch):
      start, end = jnp.split(encode(players, batch)[:, None], 2)  # [R, 1, Z]
      t = jnp.linspace(0, 1, self.columns)[:, None]  # [T, 1]
      latents = jnp.stack([lerp(start, end, t), slerp(start, end, t)])
      return decode(players, latents.reshape(-1, latents.shape[-1]))

    return jax.jit(interpolate)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    batch = self.task.batch(self.split, 2 * self.rows, key)
    even = len(batch['image']) // 2 * 2
    out = self._run(players, {k: x[:even] for k, x in batch.items()})
    halves = np.split(np.asarray(out), 2)
    left, right = (self.task.sheet(half, self.columns) for half in halves)
    gap = np.repeat(left[:, :1], 6, axis=1)  # white, as the frame of a grid
    yield 'interpolation', np.concatenate([left, gap, right], axis=1)


@evaluator('encode', 'decode')
class Manifold:
  """Decoded latents on a grid of the normal's quantiles; for two dimensions."""

  task: Task
  size: Count = 20

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    del key
    size = self.task.latent_size(players)
    if size != 2:
      raise InputError(
        f'config.evals: latent_figures.Manifold needs 2 latents, not {size}.'
      )
    quantiles = (jnp.arange(self.size) + 0.5) / self.size
    ticks = jax.scipy.stats.norm.ppf(quantiles)
    rows, columns = jnp.meshgrid(-ticks, ticks, indexing='ij')
    latents = jnp.stack([columns.ravel(), rows.ravel()], axis=-1)
    images = self.task.predict('decode')(players, latents)
    yield 'manifold', self.task.sheet(images, self.size, pad=0)


@evaluator('encode', split=2)
class Scatter:
  """Latents of held-out images, by class where there are classes.

  Latents of more than two dimensions are shown on their two principal axes.
  """

  task: Task
  split: str = 'test'
  num: Count = 5000
  batch_size: Size = 500

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    latents, labels, _ = self.task.latents(
      players, self.split, self.num, self.batch_size, key
    )
    note = ''
    if latents.shape[-1] > 2:
      centered = latents - latents.mean(axis=0)
      _, _, axes = np.linalg.svd(centered, full_matrices=False)
      latents, note = centered @ axes[:2].T, ' (principal components)'
    names = self.task.source(self.split).classes
    yield 'scatter', _scatter(latents, labels, names, note)


def _scatter(latents, labels, names, note):
  from matplotlib import colormaps

  figure, axes = plot.chart(
    xlabel=f'latent 1{note}', ylabel=f'latent 2{note}', aspect='equal'
  )
  present = np.unique(labels)
  for label in present:
    here = labels == label
    name = names[label] if label < len(names) else str(label)
    color = colormaps['tab10'](label % 10)
    axes.scatter(*latents[here].T, s=4, color=color, label=name)
  if len(present) > 1:
    axes.legend(markerscale=3, loc='center left', bbox_to_anchor=(1, 0.5))
  return plot.pixels(figure)
