"""Pictures of what a model does, always of the same codes and images."""

import dataclasses
import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from gen_jax.errors import InputError
from gen_jax.evals.task import Task
from gen_jax.writer import grid, to_uint8


@dataclasses.dataclass(frozen=True)
class Samples:
  """A grid of draws from the model."""

  task: Task
  num: int = 64

  needs = ('sample',)

  def run(self, players, key):
    sample = self.task.predict('sample')
    images = sample(players, key=key, num=self.num)
    yield 'samples', grid(to_uint8(images, self.task.objective.pixels))


@dataclasses.dataclass(frozen=True)
class Reconstructions:
  """Held-out images, each with its reconstruction to the right."""

  task: Task
  split: str = 'test'
  num: int = 32
  columns: int = 4

  needs = ('reconstruct',)

  def run(self, players, key):
    batch = self.task.batch(self.split, 0, self.num, key)
    out = self.task.predict('reconstruct')(players, batch, key=key)
    pairs = jnp.stack([batch['image'], out], axis=1)  # [N, 2, H, W, C]
    pairs = to_uint8(pairs, self.task.objective.pixels)
    pairs = np.concatenate([pairs[:, 0], pairs[:, 1]], axis=2)
    yield 'reconstructions', grid(pairs, self.columns)


@dataclasses.dataclass(frozen=True)
class Interpolation:
  """Decoded codes on the straight line between those of two images, per row."""

  task: Task
  split: str = 'test'
  rows: int = 8
  columns: int = 10

  needs = ('encode', 'decode')

  @functools.cached_property
  def _run(self):
    encode, decode = self.task.predict('encode'), self.task.predict('decode')

    def interpolate(players, batch):
      start, end = jnp.split(encode(players, batch), 2)  # [R, Z]
      t = jnp.linspace(0, 1, self.columns)[:, None]
      codes = (1 - t) * start[:, None] + t * end[:, None]  # [R, T, Z]
      return decode(players, codes.reshape(-1, codes.shape[-1]))

    return jax.jit(interpolate)

  def run(self, players, key):
    batch = self.task.batch(self.split, 0, 2 * self.rows, key)
    even = len(batch['image']) // 2 * 2
    out = self._run(players, {k: x[:even] for k, x in batch.items()})
    pixels = self.task.objective.pixels
    yield 'interpolation', grid(to_uint8(out, pixels), self.columns)


@dataclasses.dataclass(frozen=True)
class Manifold:
  """Decoded codes on a grid of the normal's quantiles; for two dimensions."""

  task: Task
  size: int = 20

  needs = ('encode', 'decode')

  def run(self, players, key):
    del key
    size = self.task.code_size(players)
    if size != 2:
      raise InputError(
        f'config.evals: figures.Manifold needs a code of 2, not {size}.'
      )
    quantiles = (jnp.arange(self.size) + 0.5) / self.size
    ticks = jax.scipy.stats.norm.ppf(quantiles)
    rows, columns = jnp.meshgrid(-ticks, ticks, indexing='ij')
    codes = jnp.stack([columns.ravel(), rows.ravel()], axis=-1)
    images = self.task.predict('decode')(players, codes)
    pixels = self.task.objective.pixels
    yield 'manifold', grid(to_uint8(images, pixels), self.size, pad=0)


@dataclasses.dataclass(frozen=True)
class Dictionary:
  """What each unit of the code adds to an image, scaled to its own range.

  The difference that one unit makes to a code at rest; for a decoder of one
  layer these are the rows of its weights.

  Attributes:
    num: units, from the first on.
  """

  task: Task
  num: int = 100

  needs = ('encode', 'decode')

  def run(self, players, key):
    del key
    size = self.task.code_size(players)
    rest = jnp.zeros((1, size))
    decode = self.task.predict('decode')
    atoms = decode(players, jnp.eye(size)[: self.num]) - decode(players, rest)
    scale = jnp.max(jnp.abs(atoms), axis=(1, 2, 3), keepdims=True)
    atoms = 0.5 + 0.5 * atoms / jnp.maximum(scale, 1e-12)
    yield 'dictionary', grid(to_uint8(atoms, 'unit'))


@dataclasses.dataclass(frozen=True)
class Scatter:
  """Codes of held-out images, by class where there are classes.

  A code of more than two dimensions is shown on its two axes of most variance.
  """

  task: Task
  split: str = 'test'
  num: int = 5000
  batch_size: int = 500

  needs = ('encode',)

  def run(self, players, key):
    codes, labels, _ = self.task.codes(
      players, self.split, self.num, self.batch_size, key
    )
    note = ''
    if codes.shape[-1] > 2:
      centred = codes - codes.mean(axis=0)
      _, _, axes = np.linalg.svd(centred, full_matrices=False)
      codes, note = centred @ axes[:2].T, ' (principal components)'
    names = self.task.source(self.split).classes
    yield 'scatter', _scatter(codes, labels, names, note)


def _scatter(codes, labels, names, note):
  # No pyplot: its global state and windows have no place in a training run.
  from matplotlib import colormaps
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, 6), dpi=100, layout='constrained')
  FigureCanvasAgg(figure)
  axes = figure.add_subplot()
  present = np.unique(labels)
  for label in present:
    here = labels == label
    name = names[label] if label < len(names) else str(label)
    colour = colormaps['tab10'](label % 10)
    axes.scatter(*codes[here].T, s=4, color=colour, label=name)
  axes.set(xlabel=f'code 1{note}', ylabel=f'code 2{note}', aspect='equal')
  if len(present) > 1:
    axes.legend(markerscale=3, loc='center left', bbox_to_anchor=(1, 0.5))
  file = io.BytesIO()
  figure.savefig(file, format='png')
  return np.asarray(Image.open(file).convert('RGB'))
