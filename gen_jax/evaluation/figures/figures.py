"""Pictures of what a model makes, always of the same latents and images."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Size
from gen_jax.storage import plot
from gen_jax.storage.images import grid, to_uint8


@evaluator('sample')
class Samples:
  """Draws from the model: a grid of images, or a scatter of points."""

  task: Task
  num: Count = 64

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    sample = self.task.predict('sample')
    images = sample(players, key=key, num=self.num)
    yield 'samples', plot.draw(images, self.task.objective.pixels)


@evaluator('reconstruct')
class Reconstructions:
  """Held-out images, each with its reconstruction to the right."""

  task: Task
  split: str = 'test'
  num: Count = 32
  columns: Size = 4

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    batch = self.task.batch(self.split, self.num, key)
    out = self.task.predict('reconstruct')(players, batch, key=key)
    pairs = np.concatenate([batch['image'], out], axis=2)  # [N, H, 2 W, C]
    yield 'reconstructions', self.task.sheet(pairs, self.columns)


@evaluator('encode', 'decode')
class Dictionary:
  """The change of an image by each latent, scaled to its own range.

  The difference that one unit makes to latents of 0; for a decoder of one
  layer these are the rows of its weights.

  Attributes:
    num: units, from the first on.
  """

  task: Task
  num: Count = 100

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    del key
    size = self.task.latent_size(players)
    rest = jnp.zeros((1, size))
    decode = self.task.predict('decode')
    atoms = decode(players, jnp.eye(size)[: self.num]) - decode(players, rest)
    scale = jnp.max(jnp.abs(atoms), axis=(1, 2, 3), keepdims=True)
    atoms = 0.5 + 0.5 * atoms / jnp.maximum(scale, 1e-12)
    yield 'dictionary', grid(to_uint8(atoms, 'unit'))
