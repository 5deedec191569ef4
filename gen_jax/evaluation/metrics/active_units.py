"""Which latents of a model depend on the image."""

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Size, Weight


@evaluator('encode', split=2)
class ActiveUnits:
  """Dimensions of the latents that depend on the image (Burda et al. 2015).

  A unit is active when the variance over images of its posterior mean exceeds
  `threshold`.
  """

  task: Task
  split: str = 'test'
  num: Count = 0
  threshold: Weight = 0.01
  batch_size: Size = 500

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    latents, _, _ = self.task.latents(
      players, self.split, self.num, self.batch_size, key
    )
    variance = latents.var(axis=0)
    yield 'active', int(np.sum(variance > self.threshold))
    yield 'units', len(variance)
