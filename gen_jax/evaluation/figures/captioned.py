"""Pictures of captions, for the evaluators of models that draw them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.data.formats import images
from gen_jax.data.text import captions
from gen_jax.evaluation.context import Results, Task, evaluator, filled
from gen_jax.evaluation.figures.latent_figures import lerp
from gen_jax.registry.fields import Count, Size
from gen_jax.storage.images import grid, to_uint8

_BATCH = 64
FIELDS = ('text', 'embedding')  # what a batch may say of its captions


def read(task: Task, players: Any, fields: dict[str, Any]) -> np.ndarray:
  """Returns the vectors of captions, [N, E], each image's first."""
  predict, parts = task.predict('encode_text'), []
  count = len(next(iter(fields.values())))
  for start in range(0, count, _BATCH):
    rows = np.arange(start, start + _BATCH) % count  # one compiled program
    part = {k: np.asarray(x)[rows] for k, x in fields.items()}
    parts.append(np.asarray(predict(players, part)))
  return np.concatenate(parts)[:count]


def fields_of(raw: dict[str, Any]) -> dict[str, Any]:
  """Returns what examples say of their captions."""
  return {k: raw[k] for k in FIELDS if k in raw}


def draw(
  task: Task,
  players: Any,
  texts: np.ndarray,
  key: jax.Array,
  name: str = 'generate',
) -> np.ndarray:
  """Returns a picture of each caption's vector, [N, H, W, C] in [0, 1].

  Args:
    task: of the model.
    players: trained.
    texts: [N, E].
    key: of all draws.
    name: 'generate', or 'generate_stage1' for those of stage I.
  """
  predict, parts = task.predict(name), []
  for index, (part, count) in enumerate(filled(texts, _BATCH)):
    key_part = jax.random.fold_in(key, index)
    made = np.asarray(predict(players, jnp.asarray(part), key=key_part))
    parts.append(task.unit(made[:count]))
  return np.concatenate(parts)


def resized(pictures: np.ndarray, shape: images.Shape) -> np.ndarray:
  """Brings pictures in [0, 1] to a size, as data of another size is."""
  if pictures.shape[1:] == tuple(shape):
    return pictures
  whole = np.round(pictures * 255).astype(np.uint8)
  return images.fit_array(whole, shape).astype(np.float32) / 255


def sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
  """Lays pictures in [0, 1] out as one, uint8."""
  return grid(to_uint8(pictures, 'unit'), columns)


def between(
  task: Task,
  players: Any,
  texts: np.ndarray,
  rows: int,
  columns: int,
  key: jax.Array,
) -> np.ndarray:
  """Returns pictures on the way from each caption to the next, in [0, 1].

  Args:
    task: of the model.
    players: trained.
    texts: vectors of captions, [N, E].
    rows: draws of the latents; a row has one, and so one style.
    columns: of each way, with its ends.
    key: of the latents.

  Returns:
    [rows, (N - 1) columns, H, W, C].
  """
  predict = task.predict('generate')
  made = []
  for start, end in zip(texts[:-1], texts[1:], strict=True):
    for t in np.linspace(0, 1, columns):
      text = lerp(start, end, t).astype(np.float32)
      part = np.broadcast_to(text, (rows, len(text)))
      made.append(np.asarray(predict(players, part, key=key)))
  return task.unit(np.stack(made, axis=1))


@evaluator('encode_text', 'generate')
class Sentences:
  """Sentences of the config, a row of pictures for each.

  Attributes:
    sentences: what is drawn; the model has to read words.
    num: pictures of each.
  """

  task: Task
  sentences: Sequence[str] = ('a red heart', 'a smiling cat')
  num: Count = 8

  def __post_init__(self) -> None:
    captions.read(self.sentences, self.task.data)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    fields = captions.read(self.sentences, self.task.data)
    texts = read(self.task, players, fields)
    pictures = draw(self.task, players, np.repeat(texts, self.num, 0), key)
    yield 'sentences', sheet(pictures, self.num)


@evaluator('encode_text', 'generate')
class HeldOut:
  """Held-out images, each followed by pictures of its caption.

  After the image stands stage I's picture, where there is one, and then those
  that the model draws, of which the first is of the same draws.

  Attributes:
    rows: captions.
    num: pictures of each.
    columns: captions beside each other.
  """

  task: Task
  split: str = 'test'
  rows: Size = 32
  num: Count = 3
  columns: Size = 4

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    raw = self.task.read(self.split, self.rows)
    shape = raw['image'].shape[1:]
    texts = read(self.task, players, fields_of(raw))
    cells = [raw['image'].astype(np.float32) / 255]
    if 'generate_stage1' in self.task.objective.predict_fns():
      cells.append(draw(self.task, players, texts, key, 'generate_stage1'))
    for index in range(self.num):
      part = key if index == 0 else jax.random.fold_in(key, index)
      cells.append(draw(self.task, players, texts, part))
    cells = np.stack([resized(x, shape) for x in cells], axis=1)
    yield (
      'held_out',
      sheet(cells.reshape(-1, *shape), self.columns * len(cells[0])),
    )


@evaluator('encode_text', 'generate')
class Between:
  """The way from one sentence to the next, with the same latents in a row.

  Attributes:
    sentences: two or more.
    rows: draws of the latents.
    columns: of each way.
  """

  task: Task
  sentences: Sequence[str] = ('a red heart', 'a blue heart')
  rows: Size = 4
  columns: Size = 8

  def __post_init__(self) -> None:
    captions.read(self.sentences, self.task.data)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    fields = captions.read(self.sentences, self.task.data)
    texts = read(self.task, players, fields)
    made = between(self.task, players, texts, self.rows, self.columns, key)
    yield 'between', sheet(made.reshape(-1, *made.shape[2:]), made.shape[1])
