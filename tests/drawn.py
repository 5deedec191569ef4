"""Variables of networks that NumPy draws, so that nothing is compiled."""

import math

import jax
import numpy as np


def drawn(init, *args):
  """Draws what `init(*args)` returns, as float32 by the same names and shapes.

  Kernels have the deviation 1 / sqrt(fan-in), scales and variances are a little
  more than 1, biases and other vectors are small, and integers are 0.
  """
  rng = np.random.default_rng(0)

  def draw(path, x):
    if not np.issubdtype(x.dtype, np.floating):
      return np.zeros(x.shape, x.dtype)
    value = rng.normal(size=x.shape)
    if getattr(path[-1], 'key', '') in ('scale', 'var'):
      value = 1 + 0.1 * np.abs(value)
    elif len(x.shape) > 1:
      value /= math.sqrt(math.prod(x.shape[:-1]))
    else:
      value *= 0.1
    return np.asarray(value, np.float32)

  shapes = jax.eval_shape(lambda: init(*args))
  return jax.tree_util.tree_map_with_path(draw, shapes)
