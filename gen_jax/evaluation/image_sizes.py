"""Models whose networks take images of any size.

The parameters of a network of convolutions do not depend on the size of its
images. A model of such networks also takes photographs, though it was trained
on small patches of them.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task


def takes_any(task: Task, players: Players) -> bool:
  """Whether the parameters are the same for images of twice the size."""
  height, width, channels = task.fields['image'][0]
  larger = (2 * height, 2 * width, channels)
  batch = {
    name: np.zeros((1, *shape), np.float32 if name == 'image' else dtype)
    for name, (shape, dtype) in task.fields.items()
    if dtype.kind in 'iuf'
  }
  batch['image'] = np.zeros((1, *larger), np.float32)
  try:
    init = at_size(task, larger).objective.init
    expected = jax.eval_shape(init, jax.random.key(0), batch)
  except InputError:
    return False
  return _shapes(expected) == _shapes(players)


def at_size(task: Task, shape: tuple[int, ...]) -> Task:
  """Returns the task with networks for images of a shape (H, W, C)."""
  return dataclasses.replace(task, objective=_resized(task.objective, shape))


def _resized(part: Any, shape: tuple[int, ...]) -> Any:
  """Returns an objective or a network with another shape of the images."""
  changed = {}
  for field in dataclasses.fields(part):
    value = getattr(part, field.name)
    if field.name == 'shape':
      changed['shape'] = shape
    elif dataclasses.is_dataclass(value):
      changed[field.name] = _resized(value, shape)
  return dataclasses.replace(part, **changed) if changed else part


def _shapes(players):
  return {
    jax.tree_util.keystr(path): x.shape
    for path, x in jax.tree_util.tree_leaves_with_path(dict(players))
  }
