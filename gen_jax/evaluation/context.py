"""The task of an evaluator, and the protocol that evaluators follow.

An evaluator is a class with the decorator `evaluator`, which makes it a frozen
dataclass. Its first field is the Task; the others are its protocol and go
beside its numbers. `run(players, key)` yields
`(name, value)`: a scalar is a metric, a uint8 array [H, W, C] a picture and
[T, H, W, C] an animation. A text of the name 'warning' is shown by itself; it
says what was observed, its usual cause, and which field to change.

The decorator states how many examples an evaluator needs. Where a split has
fewer, the suite skips it and says so; `run` need not check it again.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, dataclass_transform

import jax
import numpy as np
from tqdm import tqdm

from gen_jax.core import Objective, Players, required_arguments
from gen_jax.data.formats import pixels
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import Described, Fields, Indices, Source
from gen_jax.data.subset import read_labels
from gen_jax.distributed import prediction
from gen_jax.errors import InputError, nearest
from gen_jax.storage.images import grid, to_uint8, to_unit

_SAMPLES = 500  # in one dispatch
_T = TypeVar('_T')


class Minimum(NamedTuple):
  """The smallest split with which an evaluator gives a meaningful result.

  Attributes:
    split: name of the split.
    examples: in the split.
    classes: that occur among the labels of the split.
  """

  split: str
  examples: int = 1
  classes: int = 0

  def missing(self, source: Source) -> str:
    """Returns in words what a split lacks, '' if it has enough."""
    if len(source) < self.examples:
      return (
        f'{_count(self.examples, "example")} of the split {self.split!r}, '
        f'which has {len(source)}'
      )
    if not self.classes:
      return ''
    labels = read_labels(source) if 'label' in source.fields else []
    present = len(np.unique(labels))
    if present >= self.classes:
      return ''
    return (
      f'{_count(self.classes, "class", "es")} in the split {self.split!r}, '
      f'which has {present}'
    )


def _count(number, noun, plural='s'):
  return f'{number} {noun}{plural if number != 1 else ""}'


class TrainedModel(NamedTuple):
  """A model of a workdir.

  Attributes:
    objective: what was trained.
    players: trained and averaged.
    shape: (H, W, C) of the images of its data.
    classes: of its data.
    metrics: the last value of each metric.
  """

  objective: Objective
  players: Players
  shape: tuple[int, ...]
  classes: tuple[str, ...]
  metrics: Mapping[str, Any]


def _cannot_open(path: str) -> TrainedModel:
  raise InputError(f'a workdir cannot be opened here: {path}.')


# The names and values that an evaluator yields.
Results = Iterator[tuple[str, Any]]


class Evaluator(Protocol):
  """Computes numbers or pictures from trained players.

  Attributes:
    needs: the predict functions that it calls, so that an objective without
      them is found before training.
  """

  needs: tuple[str, ...]

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""


@dataclass_transform(frozen_default=True)
def evaluator(
  *needs: str, split: int = 1, train: int = 0, test: int = 0
) -> Callable[[type[_T]], type[_T]]:
  """Makes a class a frozen dataclass that states what it needs.

  A class whose needs depend on its fields has its own `needs` or `minimum`.

  Args:
    *needs: the predict functions that it calls.
    split: the fewest examples of the split that its field `split` names, where
      it has such a field.
    train: the fewest examples of the training split.
    test: the fewest examples of the test split.
  """

  def minimum(self: Any) -> tuple[Minimum, ...]:
    sizes = [('train', train), ('test', test)]
    if 'split' in self.__dataclass_fields__:
      sizes.append((self.split, split))
    return tuple(Minimum(name, size) for name, size in sizes if size)

  def make(cls: type[_T]) -> type[_T]:
    stated = {'needs': needs, 'minimum': minimum}
    for name, value in stated.items():
      if name not in vars(cls):
        setattr(cls, name, value)
    return dataclasses.dataclass(frozen=True)(cls)

  return make


@dataclasses.dataclass(frozen=True)
class Task:
  """The objective and its data.

  Attributes:
    objective: what was trained.
    source: opens a split, 'train' and 'test' among them.
    preprocess: as in training, without augmentation.
    data: the group `data` of the config.
    described: the classes and fields of the training data, where they are known
      without opening it.
    open_trained: returns the model of a workdir, for reference networks.
  """

  objective: Objective
  source: Callable[[str], Source]
  preprocess: Preprocess
  data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  described: Described | None = None
  open_trained: Callable[[str], TrainedModel] = _cannot_open

  @property
  def classes(self) -> tuple[str, ...]:
    """Names of the classes of the training data, by label."""
    return self._described.classes

  @property
  def fields(self) -> Fields:
    """Returns the shape and dtype of each field of the training data."""
    return self._described.fields

  @property
  def ranges(self) -> Mapping[str, pixels.Ranges]:
    """How pixels of more than 8 bits became 8 bits in the training data."""
    return self._described.ranges

  @property
  def _described(self):
    return self.described or self.source('train')

  def predict(self, name: str) -> Callable[..., Any]:
    """Returns one of the objective's predict functions, compiled once.

    Raises:
      InputError: when the objective has none of this name.
    """
    fns = self.objective.predict_fns()
    if name not in fns:
      raise InputError(
        f'config.evals: {type(self.objective).__name__} cannot {name!r}.'
        + nearest(name, fns)
      )
    if name not in self._compiled:
      static = {'num'} & set(required_arguments(name))
      self._compiled[name] = prediction.shard_batch(fns[name], static)
    return self._compiled[name]

  @functools.cached_property
  def _compiled(self):
    return {}

  def latents(
    self, players: Players, split: str, num: int, batch_size: int, key: Any
  ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns latents [N, Z], labels [N] and images [N, H, W, C] of a split.

    The labels are 0 where the data has none.
    """
    encode = self.predict('encode')

    def compute(batch, _):
      images = batch['image']
      labels = batch.get('label', np.zeros(len(images), np.int32))
      return encode(players, batch), labels, images

    return self.each(compute, split, num, batch_size, key)

  def samples(
    self,
    players: Players,
    num: int,
    key: jax.Array,
    labels: np.ndarray | None = None,
  ) -> np.ndarray:
    """Returns samples in [0, 1], [num, H, W, C], of classes [num] if given."""
    sample = self.predict('sample' if labels is None else 'sample_classes')
    size, parts = min(num, _SAMPLES), []
    starts = range(0, num, _SAMPLES)
    # No progress bar for a log file, or when there are few samples.
    quiet = True if len(starts) < 5 else None
    for start in tqdm(starts, 'samples', leave=False, disable=quiet):
      key_part = jax.random.fold_in(key, start)
      if labels is None:
        images = sample(players, key=key_part, num=size)
      else:  # the last part is filled up
        part = np.resize(labels[start : start + _SAMPLES], size)
        images = sample(players, part.astype(np.int32), key=key_part)
      parts.append(self.unit(images))
    return np.concatenate(parts)[:num]

  def guesses(
    self, players: Players, split: str, num: int, batch_size: int, key: Any
  ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the likeliest class and the label of each image, [N] and [N].

    Raises:
      InputError: the split has no labels.
    """
    if 'label' not in self.source(split).fields:
      raise InputError(
        f'config.evals: an error of classes needs labels, and the split '
        f'{split!r} has none.'
      )
    classify = self.predict('classify')

    def compute(batch, _):
      guess = np.argmax(np.asarray(classify(players, batch)), axis=-1)
      return guess, batch['label']

    return self.each(compute, split, num, batch_size, key)

  def needs_labels(self, players: Players, name: str) -> bool:
    """Whether a function of images needs the class of each of them as well."""
    shape, dtype = self.fields['image']
    raw = {'image': np.zeros((1, *shape), dtype)}
    batch = self.preprocess(raw, jax.random.key(0))
    fns: Any = self.objective.predict_fns()
    options = {}
    if 'key' in required_arguments(name):
      options['key'] = jax.random.key(0)
    try:
      jax.eval_shape(fns[name], players, batch, **options)
    except KeyError as error:
      if error.args == ('label',):
        return True
      raise
    return False

  def latent_size(self, players: Players) -> int:
    """Returns Z, the number of latents of an image."""
    raw = {
      name: np.zeros((1, *shape), dtype)
      for name, (shape, dtype) in self.fields.items()
      if dtype.kind in 'iuf'
    }
    batch = self.preprocess(raw, jax.random.key(0))
    encode = self.predict('encode')
    return jax.eval_shape(encode, players, batch).shape[-1]

  def sheet(
    self,
    images: jax.Array | np.ndarray,
    columns: int | None = None,
    pad: int = 2,
  ) -> np.ndarray:
    """Returns images of the model, [N, H, W, C], as one; see `images.grid`."""
    images = to_uint8(np.asarray(images), self.objective.pixels)
    return grid(images, columns, pad)

  def unit(self, images: jax.Array | np.ndarray) -> np.ndarray:
    """Returns images of the model clipped to [0, 1]."""
    return to_unit(np.asarray(images), self.objective.pixels)

  def each(
    self,
    compute: Callable[[Any, int], Any],
    split: str,
    num: int,
    batch_size: int,
    key: Any,
  ) -> Any:
    """Returns what is computed from each example, as arrays [N, ...].

    Args:
      compute: `(batch, index) -> tree` of arrays [B, ...], for each batch.
      split: of the examples.
      num: of examples; 0 for all.
      batch_size: see `batches`.
      key: of the preprocessing.
    """
    parts, made = [], None
    for index, (batch, count) in enumerate(
      self.batches(split, num, batch_size, key)
    ):
      made = compute(batch, index)
      parts.append([np.asarray(x)[:count] for x in jax.tree.leaves(made)])
    values = [np.concatenate(x) for x in zip(*parts, strict=True)]
    return jax.tree.unflatten(jax.tree.structure(made), values)

  def choose(self, split: str, num: int) -> np.ndarray:
    """Returns the rows of `num` examples of a split, see `stratified_rows`."""
    return stratified_rows(len(self.source(split)), num)

  def read(self, split: str, num: int) -> dict[str, np.ndarray]:
    """Returns `num` examples (0: all) of a split, as they are stored."""
    return self.source(split).__getitems__(self.choose(split, num))

  def batch(self, split: str, num: int, key: jax.Array) -> Any:
    """Returns `num` examples (0: all), as the networks see them.

    There are fewer when the split is smaller.
    """
    key = jax.random.fold_in(key, 0)  # the caller may use it as well
    return self.rows(split, self.choose(split, num), key)

  def rows(self, split: str, rows: Indices, key: jax.Array) -> Any:
    """Returns chosen examples of a split, as the networks see them."""
    raw = self.source(split).__getitems__(rows)
    raw = {k: x for k, x in raw.items() if x.dtype.kind in 'iuf'}
    return self.preprocess(raw, key)

  def batches(
    self, split: str, num: int, batch_size: int, key: jax.Array
  ) -> Iterator[tuple[Any, int]]:
    """Yields `num` examples (0: all) in batches of one size.

    It is smaller than `batch_size` only where there are fewer examples. The
    last batch is filled up with its own first examples: with each batch comes
    how many of it count.
    """
    rows = self.choose(split, num)
    batch_size = min(batch_size, len(rows)) or 1
    for start in range(0, len(rows), batch_size):
      part = rows[start : start + batch_size]
      batch = self.rows(split, part, jax.random.fold_in(key, start))
      if len(part) < batch_size:
        repeated = np.arange(batch_size) % len(part)
        batch = {k: x[repeated] for k, x in batch.items()}
      yield batch, len(part)


def stratified_rows(size: int, num: int) -> np.ndarray:
  """Returns `num` (0: all) of `size` rows in ascending order, int64.

  The rows are divided into `num` parts of equal size, and one is drawn from
  each. Data sets are often sorted, for example by class, and then the first
  rows would be of one class; where classes alternate, rows at even distances
  would be. The draw is fixed: it depends on `size` and `num` alone.
  """
  num = min(num or size, size)
  bounds = np.arange(num + 1) * size // max(num, 1)
  # Philox, whose raw output is promised to stay the same.
  bits = np.random.Philox(np.random.SeedSequence(0)).random_raw(num)
  fraction = (bits >> np.uint64(11)) / 2**53  # uniform in [0, 1)
  return bounds[:-1] + (fraction * np.diff(bounds)).astype(np.int64)


def filled(x: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
  """Yields x [N, ...] in parts [size, ...], and how many of a part count.

  The last is filled up with its own first rows, for one compiled program; where
  N is smaller than `size`, the only part is [N, ...].
  """
  size = min(size, len(x)) or 1
  for start in range(0, len(x), size):
    part = x[start : start + size]
    yield np.resize(part, (size, *x.shape[1:])), len(part)
