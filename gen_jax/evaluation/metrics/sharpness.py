"""How sharp generated images are, compared with real ones."""

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.evaluation.figures import captioned
from gen_jax.registry.fields import Count


def mean_squared_gradient(pictures: np.ndarray) -> float:
  """Returns the mean squared difference of neighboring pixels, [N, H, W, C]."""
  pictures = np.asarray(pictures, np.float64)
  down, right = (np.diff(pictures, axis=axis) for axis in (1, 2))
  return float(np.mean(np.square(down)) + np.mean(np.square(right)))


@evaluator('encode_text', 'generate')
class Sharpness:
  """The mean squared gradient of generated images, relative to real images.

  `sharpness` is that of the model, and `sharpness_stage1` that of stage I where
  there are two stages. Both are for the captions of held-out images, at the
  size of the data. 1 is as sharp as the data; noise counts as sharp, too.

  Attributes:
    num: captions; 0 for all.
  """

  task: Task
  split: str = 'test'
  num: Count = 0

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    raw = self.task.read(self.split, self.num)
    texts = captioned.read(self.task, players, captioned.fields_of(raw))
    real = mean_squared_gradient(raw['image'] / 255)
    known = self.task.objective.predict_fns()
    for label, name in (
      ('sharpness', 'generate'),
      ('sharpness_stage1', 'generate_stage1'),
    ):
      if name in known:
        made = captioned.draw(self.task, players, texts, key, name)
        made = captioned.resized(made, raw['image'].shape[1:])
        yield label, mean_squared_gradient(made) / real
