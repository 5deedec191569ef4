"""Pictures of latents that are moved along a direction."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.data.subset import read_labels
from gen_jax.errors import InputError
from gen_jax.evaluation.context import (
  Minimum,
  Results,
  Task,
  evaluator,
  stratified_rows,
)
from gen_jax.registry.fields import Count, Number, Size
from gen_jax.storage.images import grid, to_uint8


@evaluator('encode', 'decode', train=2)
class Arithmetic:
  """Decoded latents with multiples of an attribute's vector added.

  An attribute's vector is the difference between the mean latents of two groups
  of training images (Larsen et al. 2016, section 4.2.1). `ink`: the fifth of
  the images with the largest mean pixel less that with the smallest. In a
  labeled set also: one class less another, on images of the other.

  A row is a held-out image, then its latents with -reach to reach times the
  vector added; 0 in the middle, 1 is one difference of the means.

  Attributes:
    classes: from which class to which, by label; if empty, the first two that
      occur in both splits.
    reach: the largest multiple.
    train: training images whose latents give the vectors.
    rows: images.
    columns: multiples; odd, so that 0 is one of them.
  """

  task: Task
  split: str = 'test'
  classes: tuple[int, ...] = ()
  reach: Number = 1.0
  train: Count = 5000
  rows: Size = 8
  columns: Size = 9
  batch_size: Size = 500

  def __post_init__(self) -> None:
    if len(self.classes) not in (0, 2):
      raise InputError(
        f'directions.Arithmetic: classes={self.classes}: expected two.'
      )

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    latents, labels, images = self.task.latents(
      players, 'train', self.train, self.batch_size, key
    )
    light = images.reshape(len(images), -1).mean(axis=1)
    low, high = np.quantile(light, [0.2, 0.8])
    vector = latents[light >= high].mean(axis=0) - latents[light <= low].mean(
      axis=0
    )
    yield 'ink', self._sheet(players, vector, None, key)
    source = self.task.source(self.split)
    there = read_labels(source) if 'label' in source.fields else [0]
    both = np.intersect1d(labels, there)
    present = self.classes or tuple(both[:2])
    if len(present) < 2:
      return  # no labels, or no two classes that occur in both splits
    for label in present:
      if label not in both:
        raise InputError(
          f'directions.Arithmetic: classes={self.classes}: none of '
          f'{len(labels)} training images, or none of the split '
          f'{self.split!r}, has the label {label}.'
        )
    a, b = (latents[labels == label].mean(axis=0) for label in present)
    yield (
      f'{present[0]}_to_{present[1]}',
      self._sheet(players, b - a, present[0], key),
    )

  def _sheet(self, players, vector, label, key):
    """Moves images of a class, or of all for None."""
    source = self.task.source(self.split)
    chosen = np.arange(len(source))
    if label is not None:
      chosen = chosen[read_labels(source) == label]
    chosen = chosen[stratified_rows(len(chosen), self.rows)]
    batch = self.task.rows(self.split, chosen, key)
    latents = np.asarray(self.task.predict('encode')(players, batch))
    images = np.asarray(batch['image'])
    alpha = np.linspace(-self.reach, self.reach, self.columns)[:, None]
    moved = latents[:, None] + alpha * vector  # [R, T, Z]
    out = self.task.predict('decode')(
      players, jnp.asarray(moved.reshape(-1, len(vector)), jnp.float32)
    )
    out = np.asarray(out).reshape(len(latents), -1, *images.shape[1:])
    out = np.concatenate([images[:, None], out], axis=1)
    out = out.reshape(-1, *images.shape[1:])
    return self.task.sheet(out, self.columns + 1)


@evaluator('encode', 'decode')
class Traversal:
  """The latents of one image with one dimension moved at a time.

  The dimensions are those of largest variance over the training images, the
  largest first; each goes from -reach to reach standard deviations around its
  value in the image. In the sheet a row is a dimension; in the animation a tile
  is one, and the frames go there and back.

  Attributes:
    index: of the image in the split.
    dimensions: how many.
    reach: in standard deviations.
    columns: steps from one end to the other.
    train: training images for the variances.
  """

  task: Task
  split: str = 'test'
  index: Count = 0
  dimensions: Size = 10
  reach: Number = 3.0
  columns: Size = 15
  train: Count = 5000
  batch_size: Size = 500

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""
    return Minimum('train', 2), Minimum(self.split, self.index + 1)

  def __post_init__(self) -> None:
    if self.index < 0:
      raise InputError(
        f'directions.Traversal: index={self.index}: expected 0 or more.'
      )

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    latents, _, _ = self.task.latents(
      players, 'train', self.train, self.batch_size, key
    )
    deviation = latents.std(axis=0)
    chosen = np.argsort(-deviation, kind='stable')[: self.dimensions]
    batch = self.task.rows(self.split, [self.index], key)
    start = np.asarray(self.task.predict('encode')(players, batch))  # [1, Z]
    steps = np.linspace(-self.reach, self.reach, self.columns)
    directions = np.eye(start.shape[1])[chosen] * deviation[chosen, None]
    moved = start + steps[:, None] * directions[:, None]  # [D, T, Z]
    out = self.task.predict('decode')(
      players, jnp.asarray(moved.reshape(-1, start.shape[1]), jnp.float32)
    )
    out = to_uint8(out, self.task.objective.pixels)
    yield 'sheet', grid(out, self.columns)
    tiles = out.reshape(len(chosen), self.columns, *out.shape[1:])
    frames = np.stack([grid(x) for x in np.swapaxes(tiles, 0, 1)])
    # The ends are shown once, so that it swings evenly.
    yield 'sweep', np.concatenate([frames, frames[-2:0:-1]])
