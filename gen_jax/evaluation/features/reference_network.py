"""Trained networks that measure generated images.

Those of MNIST, Fashion-MNIST and the emoji are part of the package, in
`weights/`, so that numbers from two machines are comparable. A network for
other data is trained like any model, and evaluators then name its workdir.
Evaluators never train a network.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gen_jax.core import Objective, Players
from gen_jax.distributed import prediction
from gen_jax.errors import InputError, check_choice
from gen_jax.evaluation.context import TrainedModel, filled
from gen_jax.registry import builder
from gen_jax.storage import weights

_FOLDER = pathlib.Path(__file__).parent / 'weights'
# The config that trains a network, by the field that names its workdir.
_CONFIGS = {
  'classifier': 'classifier.py',
  'scorer': 'image_text_scorer.py',
  'features': 'classifier.py',
}


@dataclasses.dataclass(frozen=True)
class ReferenceNetwork:
  """A trained network whose outputs measure images.

  Attributes:
    hash: of its parameters, 12 hexadecimal digits.
    accuracy: on the test images of its data, in [0, 1]; NaN if not known.
    objective: whose predict functions are called.
    players: trained and averaged.
    shape: (H, W, C) of its images.
    classes: of its data.
  """

  hash: str
  accuracy: float
  objective: Objective
  players: Players
  shape: tuple[int, ...]
  classes: tuple[str, ...]

  def apply(
    self, name: str, field: str, x: np.ndarray, batch_size: int
  ) -> np.ndarray:
    """Returns the outputs of a predict function, [N, ...].

    Args:
      name: of the predict function.
      field: of the batch that it reads.
      x: values of this field, [N, ...].
      batch_size: examples in one dispatch.
    """
    fn, parts = self._compiled(name), []
    for part, count in filled(x, batch_size):
      parts.append(np.asarray(fn(self.players, {field: part}))[:count])
    return np.concatenate(parts)

  def _compiled(self, name: str) -> Callable[..., Any]:
    if name not in self._functions:
      fns: Any = self.objective.predict_fns()
      fn = fns[name]
      self._functions[name] = prediction.shard_batch(fn)
    return self._functions[name]

  @functools.cached_property
  def _functions(self) -> dict[str, Callable[..., Any]]:
    return {}


def identity(name: str, network: Any) -> Iterator[tuple[str, str | float]]:
  """Yields what identifies a reference network, as results of an evaluator.

  Args:
    name: what the evaluator calls it, before '_hash' and '_accuracy'.
    network: with the attributes `hash` and `accuracy`.
  """
  yield f'{name}_hash', network.hash
  yield f'{name}_accuracy', network.accuracy


@functools.cache
def packaged(name: str) -> ReferenceNetwork:
  """Returns a network of the package.

  Args:
    name: 'mnist', 'fashion_mnist' or 'emoji_captions'.

  Raises:
    InputError: when its file is missing or damaged.
  """
  known = {file.stem for file in _FOLDER.glob('*.json')}
  check_choice('reference network', name, known)
  players, about = weights.read(_FOLDER / f'{name}.safetensors')
  spec = about['config']['objective']
  return ReferenceNetwork(
    hash=about['sha256'][:12],
    accuracy=about['accuracy'],
    objective=builder.build(builder.OBJECTIVES, spec, f'{name}.json objective'),
    players=players,
    shape=tuple(about['data']['shape']),
    classes=tuple(about['data']['classes']),
  )


@functools.lru_cache(maxsize=4)
def of_workdir(
  open_trained: Callable[[str], TrainedModel],
  path: str,
  field: str,
  needs: tuple[str, ...],
  accuracy: str = '',
) -> ReferenceNetwork:
  """Returns the network of a workdir.

  Args:
    open_trained: opens a workdir.
    path: the workdir.
    field: of the evaluator that names it, for messages.
    needs: predict functions that the network must have.
    accuracy: the metric that states its accuracy; '' where none is needed.

  Raises:
    InputError: when it is no workdir, or one of another model.
  """
  try:
    model = open_trained(path)
  except InputError as error:
    raise InputError(f'config.evals: {field}={path!r}: {error}') from error
  if not set(needs) <= set(model.objective.predict_fns()):
    raise InputError(
      f'config.evals: {field}={path!r}: {type(model.objective).__name__} does '
      f'not have the functions {", ".join(needs)}. Name a workdir of '
      f'configs/{_CONFIGS[field]}.'
    )
  if accuracy and accuracy not in model.metrics:
    raise InputError(
      f'config.evals: {field}={path!r}: its metrics.jsonl has no {accuracy!r}. '
      'Train it to the end, with the evaluators of '
      f'configs/{_CONFIGS[field]}.'
    )
  return ReferenceNetwork(
    hash=weights.digest(model.players),
    accuracy=float(model.metrics[accuracy]) if accuracy else math.nan,
    objective=model.objective,
    players=model.players,
    shape=model.shape,
    classes=model.classes,
  )


def how_to_train(field: str) -> str:
  """Returns the sentence that says how to get a network for other data."""
  return (
    f'Train configs/{_CONFIGS[field]} on the same data and name its workdir, '
    f"{field}='runs/{field}'"
  )
