"""Sources: random access to the examples of one split of a data set."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from gen_jax.data import fingerprints
from gen_jax.data.formats import pixels

Indices = Sequence[int] | np.ndarray
Fields = dict[str, tuple[tuple[int, ...], np.dtype]]


class Source(Protocol):
  """Random access to the examples of one split.

  Fields: 'image' uint8 [H, W, C] and, in a labeled set, 'label' int32 [],
  an index into `classes`. In a captioned one 'text' int32 [K, words, P], the
  words of K captions (see `captions.py`), 'embedding' float32 [K, D], vectors
  of them, or both. A point of the plane is an 'image' float32 [1, 1, 2],
  which the networks see as it is. The images of two domains are 'a' and 'b'.
  """

  classes: tuple[str, ...]  # names by label; empty without labels
  # How pixels of more than 8 bits became 8 bits, by field.
  ranges: Mapping[str, pixels.Ranges]

  @property
  def fields(self) -> Fields:
    """The shape and dtype of each field of one example."""

  @property
  def arrays(self) -> dict[str, np.ndarray] | None:
    """The whole split, or None where it is not in memory."""

  @property
  def labels(self) -> np.ndarray | None:
    """The class of every example, or None where only reading it tells."""

  def __len__(self) -> int:
    """The number of examples."""

  def __getitems__(self, indices: Indices) -> dict[str, np.ndarray]:
    """Returns the examples at `indices`, stacked along a leading axis."""

  def summary(self) -> str:
    """Says in a few lines what the split is."""

  @property
  def fingerprint(self) -> str:
    """Hexadecimal digits that change with the content, not with the place.

    They are computed when they are first asked for. They cover the names of
    the classes and, depending on where the examples are:

      in memory      every byte of every field, with its shape and dtype
      in a folder    the relative name, size and label of each file, the
                     captions, and the shape of the images; not their pixels
      in TFDS        the data set's name and version, the split, the number of
                     its examples and the fields that are read
      chosen         which examples are chosen, and the source of them

    An image that is decoded into memory may differ in its last bits between
    versions of the decoder, and so does the fingerprint then.
    """


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource:
  """A split that is in memory.

  Attributes:
    name: of the data set, for the summary.
    split: of the data set.
    arrays: field -> [N, ...].
    classes: names by label.
    notes: further lines of the summary.
    ranges: of its images that had other pixels than uint8, by field.
  """

  name: str
  split: str
  arrays: dict[str, np.ndarray]
  classes: tuple[str, ...] = ()
  notes: str = ''
  ranges: Mapping[str, pixels.Ranges] = dataclasses.field(default_factory=dict)

  @property
  def fields(self) -> Fields:
    return {k: (v.shape[1:], v.dtype) for k, v in self.arrays.items()}

  @property
  def labels(self) -> np.ndarray | None:
    return self.arrays.get('label')

  def __len__(self) -> int:
    return len(next(iter(self.arrays.values())))

  def __getitems__(self, indices: Indices) -> dict[str, np.ndarray]:
    indices = check_indices(indices, len(self))
    return {k: v[indices] for k, v in self.arrays.items()}

  def summary(self) -> str:
    line = describe(self, self.name, self.split)
    return f'{line}\n{self.notes}' if self.notes else line

  @functools.cached_property
  def fingerprint(self) -> str:
    return fingerprints.digest('arrays', self.classes, self.arrays)


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
  """Some examples of a source.

  Attributes:
    source: the whole.
    rows: a slice of it with both bounds, which costs no copy, or indices, [N].
  """

  source: Source
  rows: slice | np.ndarray

  @property
  def classes(self) -> tuple[str, ...]:
    return self.source.classes

  @property
  def ranges(self) -> Mapping[str, pixels.Ranges]:
    return self.source.ranges

  @property
  def fields(self) -> Fields:
    return self.source.fields

  @property
  def arrays(self) -> dict[str, np.ndarray] | None:
    arrays = self.source.arrays
    if arrays is None:
      return None
    return {k: v[self.rows] for k, v in arrays.items()}

  @property
  def labels(self) -> np.ndarray | None:
    labels = self.source.labels
    return None if labels is None else labels[self.rows]

  def __len__(self) -> int:
    return len(self._indices)

  def __getitems__(self, indices: Indices) -> dict[str, np.ndarray]:
    indices = check_indices(indices, len(self))
    return self.source.__getitems__(self._indices[indices])

  def summary(self) -> str:
    what = 'chosen'
    if isinstance(self.rows, slice):
      what = f'[{self.rows.start}:{self.rows.stop}]'
    return f'{len(self)} examples, {what} of {self.source.summary()}'

  @functools.cached_property
  def fingerprint(self) -> str:
    rows = self.rows
    if isinstance(rows, slice):
      rows = [rows.start, rows.stop]
    return fingerprints.digest('subset', self.source.fingerprint, rows)

  @functools.cached_property
  def _indices(self):
    if isinstance(self.rows, slice):
      return np.arange(self.rows.start, self.rows.stop)
    return self.rows


@dataclasses.dataclass(frozen=True, eq=False)
class UnpairedSource:
  """Sources side by side whose examples do not belong together.

  In training each is shuffled in an order of its own. Where examples are asked
  for by their indices, one index is of all of them, up to the shortest.

  Attributes:
    parts: the sources, which have different fields, by the names of their
      orders.
  """

  parts: dict[str, Source]
  classes: tuple[str, ...] = ()
  arrays: None = None
  labels: None = None

  @property
  def fields(self) -> Fields:
    return {k: v for x in self.parts.values() for k, v in x.fields.items()}

  @property
  def ranges(self) -> Mapping[str, pixels.Ranges]:
    return {k: v for x in self.parts.values() for k, v in x.ranges.items()}

  def __len__(self) -> int:
    return min(map(len, self.parts.values()))

  def __getitems__(self, indices: Indices) -> dict[str, np.ndarray]:
    parts = [x.__getitems__(indices) for x in self.parts.values()]
    return {k: v for part in parts for k, v in part.items()}

  def summary(self) -> str:
    return '\n'.join(f'{k}: {x.summary()}' for k, x in self.parts.items())

  @functools.cached_property
  def fingerprint(self) -> str:
    parts = {k: x.fingerprint for k, x in self.parts.items()}
    return fingerprints.digest('apart', self.classes, parts)


def image_shapes(source: Source) -> dict[str, tuple[int, int, int]]:
  """Returns (H, W, C) of each field of images; points of a plane count too."""
  return {
    name: shape
    for name, (shape, dtype) in source.fields.items()
    if len(shape) == 3 and dtype.kind in 'uf'
  }


def shuffle_groups(source: Source) -> dict[str, Source]:
  """Returns what is shuffled apart, by the name of its order."""
  return (
    source.parts if isinstance(source, UnpairedSource) else {'data': source}
  )


def check_indices(indices: Indices, size: int) -> np.ndarray:
  """Returns indices as an array; raises IndexError outside [0, size)."""
  indices = np.asarray(indices, np.int64)
  if indices.size and not (0 <= indices.min() and indices.max() < size):
    raise IndexError(f'An index lies outside [0, {size}): {indices}')
  return indices


def describe(source: Source, name: str, split: str) -> str:
  """Returns a line such as 'mnist train: 60000 x 28x28x1, 10 classes'."""
  images = (shape for shape, _ in source.fields.values() if len(shape) == 3)
  shape = 'x'.join(map(str, next(images)))
  what = 'points' if shape == '1x1x2' else f'images of {shape}'
  line = f'{name} {split}: {len(source)} {what}'
  if source.classes:
    line += f', {list_classes(source.classes)}'
  return line


def list_classes(classes: Sequence[str]) -> str:
  """Returns a text such as '2 classes (cat, dog)'."""
  count = len(classes)
  shown = ', '.join(classes[:10]) + (', ...' if count > 10 else '')
  return f'{count} {"class" if count == 1 else "classes"} ({shown})'
