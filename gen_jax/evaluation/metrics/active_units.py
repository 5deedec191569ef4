"""Which latents of a model depend on the image."""

import dataclasses

import numpy as np

from gen_jax.evaluation.context import Minimum, Task
from gen_jax.registry.fields import Count, Size, Weight


@dataclasses.dataclass(frozen=True)
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

  needs = ('encode',)

  def minimum(self):
    return (Minimum(self.split, 2),)

  def run(self, players, key):
    latents, _, _ = self.task.latents(
      players, self.split, self.num, self.batch_size, key
    )
    variance = latents.var(axis=0)
    yield 'active', int(np.sum(variance > self.threshold))
    yield 'units', len(variance)
