"""Streams of images that a trained model generates."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.data.subset import class_index
from gen_jax.data.text import captions
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.figures import captioned
from gen_jax.evaluation.metrics import mixture
from gen_jax.storage import plot
from gen_jax.storage.image_stream import ImageStream
from gen_jax.storage.images import to_uint8

Labels = Callable[[np.ndarray], np.ndarray]  # indices [N] -> classes [N]
COMPONENTS = 50  # of the mixture for a model that cannot sample

_BATCH = 64  # images in one dispatch: one compiled program for any number
_OF_CAPTION = 8  # the same, of one caption
_FITTED = 10_000  # training images to which a mixture is fitted


def samples(
  task: Task,
  players: Players,
  key: jax.Array,
  num: int,
  label: str | None = None,
  components: int | None = None,
) -> ImageStream:
  """Returns samples; the first ones do not depend on their number.

  Args:
    task: of the model.
    players: trained.
    key: of all samples.
    num: how many.
    label: the class of all samples, by name or number; all classes in turn if
      None.
    components: of a mixture of Gaussians over the training latents to
      sample from, which a model without a sampler needs; COMPONENTS if None.

  Raises:
    InputError: when the model cannot do it.
  """
  sample, labels = sampler(task, players, label, components)
  return stream(sample, players, key, num, labels, task.objective.pixels)


def sampler(
  task: Task,
  players: Players,
  label: str | None = None,
  components: int | None = None,
) -> tuple[Callable[..., jax.Array], Labels | None]:
  """Returns how `samples` makes images, for `stream`.

  To fit a mixture takes seconds to minutes and needs the training images.

  Args:
    task: of the model.
    players: trained.
    label: as in `samples`.
    components: as in `samples`.

  Returns:
    The sampler, and its labels if there are any.

  Raises:
    InputError: when the model cannot do it.
  """
  fns, kind = task.objective.predict_fns(), type(task.objective).__name__
  labels = _labels(task, label)
  if components is None and labels:
    sample = task.predict('sample_classes')
  elif components is None and 'sample' in fns:
    sample = task.predict('sample')
  elif {'encode', 'decode'} <= set(fns):
    sample = mixture.sampler(
      task, players, components or COMPONENTS, _FITTED, '--components'
    )
  elif components is None:
    raise InputError(f'{kind} cannot be sampled.')
  else:
    raise InputError(f'{kind} cannot decode: no --components.')
  return sample, labels


def stream(
  sample: Callable[..., jax.Array],
  players: Players,
  key: jax.Array,
  num: int,
  labels: Labels | None,
  pixels: str,
) -> ImageStream:
  """Returns the images of a sampler.

  Args:
    sample: `(players, *, key, num) -> images`, with `labels` for `num` if there
      are labels.
    players: trained.
    key: of all samples.
    num: how many.
    labels: of the samples, or None.
    pixels: the range of the images, 'unit' or 'symmetric'.
  """

  def parts() -> Iterator[np.ndarray]:
    for index, start in enumerate(range(0, num, _BATCH)):
      key_part = jax.random.fold_in(key, index)
      if labels is None:
        made = sample(players, key=key_part, num=_BATCH)
      else:
        rows = labels(np.arange(start, min(start + _BATCH, num)))
        made = sample(players, np.resize(rows, _BATCH), key=key_part)
      made = np.asarray(made)[: num - start]
      yield made if plot.is_points(made) else to_uint8(made, pixels)

  return ImageStream(num, parts(), labels=labels)


def _labels(task, label) -> Labels | None:
  """Returns `indices -> classes`, or None for a model without classes."""
  if 'sample_classes' not in task.objective.predict_fns():
    if label is not None:
      raise InputError(f'--label={label}: this model has no classes.')
    return None
  count = task.objective.classes
  if label is None:
    return lambda index: (index % count).astype(np.int32)
  names = task.classes[:count]  # others may be unknown
  chosen = class_index(label, names, count, '--label')
  return lambda index: np.full(len(index), chosen, np.int32)


def captioned_samples(
  task: Task,
  players: Players,
  key: jax.Array,
  num: int,
  texts: Sequence[str],
  between: int = 0,
) -> ImageStream:
  """Returns images of captions; the first ones do not depend on their number.

  Args:
    task: of a model that generates images of captions.
    players: trained.
    key: of all samples.
    num: images of each caption or, with `between`, rows.
    texts: the captions.
    between: images of the way from each caption to the next; 0 for none.

  Raises:
    InputError: when the model cannot do it, or captions cannot be read.
  """
  vectors = _encode(task, players, texts)
  if between:
    if between < 2 or len(texts) < 2:
      raise InputError(
        f'--between={between}: expected 2 or more, and two of --text.'
      )
    columns = (len(texts) - 1) * between
    parts = _between(task, players, key, num, vectors, between)
    return ImageStream(num * columns, parts, columns)

  def parts_of_captions() -> Iterator[np.ndarray]:
    for row, vector in enumerate(vectors):
      key_row = jax.random.fold_in(key, row)
      rows = np.tile(vector, (_OF_CAPTION, 1))
      for start in range(0, num, _OF_CAPTION):
        key_part = jax.random.fold_in(key_row, start)
        made = captioned.draw(task, players, rows, key_part)
        yield to_uint8(made[: num - start], 'unit')

  return ImageStream(len(texts) * num, parts_of_captions(), num)


def _between(task, players, key, num, vectors, columns) -> Iterator[np.ndarray]:
  rows = min(_BATCH, num)  # one compiled program
  for index, start in enumerate(range(0, num, _BATCH)):
    key_part = jax.random.fold_in(key, index) if index else key
    made = captioned.between(task, players, vectors, rows, columns, key_part)
    made = made[: num - start]
    yield to_uint8(made.reshape(-1, *made.shape[2:]), 'unit')


def _encode(task: Task, players: Players, texts: Sequence[str]) -> np.ndarray:
  """Returns vectors of captions, [N, E]."""
  objective: Any = task.objective
  if 'generate' not in objective.predict_fns():
    raise InputError(
      f'--text: {type(objective).__name__} generates no images of captions.'
    )
  if not texts:
    raise InputError('this model needs captions: give one or more of --text.')
  fields = captions.read(texts, task.data)
  if objective.text.field not in fields:
    raise InputError(
      '--text: this model reads vectors of captions from a file, not words.'
    )
  most = task.data['words'] if objective.text.field == 'text' else math.inf
  for text in texts:
    if len(captions.split(text)) > most:
      line = f'--text="{text[:40]}...": its first {most} words are read.'
      print(line, file=sys.stderr)
  return captioned.read(task, players, fields)
