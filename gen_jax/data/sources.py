"""Sources: random access to the examples of one split of a data set."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from gen_jax.data import fingerprints
from gen_jax.data.formats import pixels

Indices = Sequence[int] | np.ndarray
Fields = dict[str, tuple[tuple[int, ...], np.dtype]]
Arrays = dict[str, np.ndarray]


class Described(Protocol):
  """The properties that a source and its record have in common."""

  @property
  def classes(self) -> tuple[str, ...]:
    """Names of the classes, by label."""

  @property
  def fields(self) -> Fields:
    """The shape and dtype of each field of one example."""

  @property
  def ranges(self) -> Mapping[str, pixels.Ranges]:
    """How pixels of more than 8 bits became 8 bits, by field."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Source:
  """Random access to the examples of one split.

  Fields: 'image' uint8 [H, W, C] and, in a labeled set, 'label' int32 [],
  an index into `classes`. In a captioned one 'text' int32 [K, words, P], the
  words of K captions (see `captions.py`), 'embedding' float32 [K, D], vectors
  of them, or both. A point of the plane is an 'image' float32 [1, 1, 2],
  which the networks see as it is. The images of two domains are 'a' and 'b'.

  Attributes:
    size: the number of examples.
    fields: the shape and dtype of each field of one example.
    read: returns the examples at indices [N], stacked along a leading axis.
    description: what the split is, in a few lines.
    identity: returns what the fingerprint is computed from.
    classes: names by label; empty without labels.
    ranges: how pixels of more than 8 bits became 8 bits, by field.
    arrays: the whole split, field -> [N, ...], or None where it is not in
      memory.
    labels: the class of every example, or None where they have to be read.
    names: the relative file name of each example; empty where examples are not
      files.
    parts: the sources of fields that do not belong together, by the names of
      their orders: in training each is shuffled in an order of its own.
  """

  size: int
  fields: Fields
  read: Callable[[np.ndarray], Arrays]
  description: str
  identity: Callable[[], Sequence[Any]]
  classes: tuple[str, ...] = ()
  ranges: Mapping[str, pixels.Ranges] = dataclasses.field(default_factory=dict)
  arrays: Arrays | None = None
  labels: np.ndarray | None = None
  names: tuple[str, ...] = ()
  parts: Mapping[str, 'Source'] = dataclasses.field(default_factory=dict)

  def __len__(self) -> int:
    return self.size

  def __getitems__(self, indices: Indices) -> Arrays:
    """Returns the examples at `indices`, stacked along a leading axis.

    Raises:
      IndexError: an index lies outside [0, size).
    """
    rows = np.asarray(indices, np.int64)
    if rows.size and not (0 <= rows.min() and rows.max() < self.size):
      raise IndexError(f'An index lies outside [0, {self.size}): {rows}')
    return self.read(rows)

  def summary(self) -> str:
    """Returns the description."""
    return self.description

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hexadecimal digits that change with the content, not with the place.

    They cover the names of the classes and, depending on where the examples
    are:

      in memory      every byte of every field, with its shape and dtype
      in a folder    the relative name, size and label of each file, the
                     captions, and the shape of the images; not their pixels
      in TFDS        the data set's name and version, the split, the number of
                     its examples and the fields that are read
      chosen         which examples are chosen, and the source of them

    An image that is decoded into memory may differ in its last bits between
    versions of the decoder, and so does the fingerprint then.
    """
    return fingerprints.digest(*self.identity())


def array_source(
  name: str,
  split: str,
  arrays: Arrays,
  classes: tuple[str, ...] = (),
  notes: str = '',
  ranges: Mapping[str, pixels.Ranges] | None = None,
) -> Source:
  """Returns a split that is in memory.

  Args:
    name: of the data set, for the summary.
    split: of the data set.
    arrays: field -> [N, ...].
    classes: names by label.
    notes: further lines of the summary.
    ranges: of its images that had other pixels than uint8, by field.
  """
  size = len(next(iter(arrays.values())))
  fields = {k: (v.shape[1:], v.dtype) for k, v in arrays.items()}
  return Source(
    size=size,
    fields=fields,
    read=lambda rows: {k: v[rows] for k, v in arrays.items()},
    description=describe(name, split, size, fields, classes, notes),
    identity=lambda: ('arrays', classes, arrays),
    classes=classes,
    ranges=ranges or {},
    arrays=arrays,
    labels=arrays.get('label'),
  )


def subset(source: Source, rows: slice | np.ndarray) -> Source:
  """Returns some examples of a source.

  Args:
    source: the whole.
    rows: a slice of it with both bounds, which costs no copy, or indices, [N].
  """
  if isinstance(rows, slice):
    indices = np.arange(rows.start, rows.stop)
    key, what = [rows.start, rows.stop], f'[{rows.start}:{rows.stop}]'
  else:
    indices, key, what = rows, rows, 'chosen'
  return dataclasses.replace(
    source,
    size=len(indices),
    read=lambda chosen: source.read(indices[chosen]),
    description=f'{len(indices)} examples, {what} of {source.description}',
    identity=lambda: ('subset', source.fingerprint, key),
    arrays=source.arrays and {k: v[rows] for k, v in source.arrays.items()},
    labels=None if source.labels is None else source.labels[rows],
    names=tuple(source.names[i] for i in indices) if source.names else (),
  )


def unpaired(parts: Mapping[str, Source]) -> Source:
  """Returns sources side by side whose examples do not belong together.

  Where examples are read by their indices, one index is of all of them, up to
  the shortest.

  Args:
    parts: the sources, which have different fields, by the names of their
      orders.
  """
  return Source(
    size=min(map(len, parts.values())),
    fields={k: v for x in parts.values() for k, v in x.fields.items()},
    read=lambda rows: {
      k: v for x in parts.values() for k, v in x.read(rows).items()
    },
    description='\n'.join(f'{k}: {x.summary()}' for k, x in parts.items()),
    identity=lambda: ('unpaired', {k: x.fingerprint for k, x in parts.items()}),
    ranges={k: v for x in parts.values() for k, v in x.ranges.items()},
    parts=parts,
  )


def image_shapes(source: Described) -> dict[str, tuple[int, int, int]]:
  """Returns (H, W, C) of each field of images; points of a plane count too."""
  return {
    name: shape
    for name, (shape, dtype) in source.fields.items()
    if len(shape) == 3 and dtype.kind in 'uf'
  }


def shuffle_groups(source: Source) -> Mapping[str, Source]:
  """Returns the sources that have an order of their own, by its name."""
  return source.parts or {'data': source}


def describe(
  name: str,
  split: str,
  size: int,
  fields: Fields,
  classes: Sequence[str] = (),
  notes: str = '',
) -> str:
  """Returns lines such as 'mnist train: 60000 x 28x28x1, 10 classes'."""
  images = (shape for shape, _ in fields.values() if len(shape) == 3)
  shape = 'x'.join(map(str, next(images, ())))
  what = 'points' if shape == '1x1x2' else f'images of {shape}'
  line = f'{name} {split}: {size} {what}'
  if classes:
    line += f', {list_classes(classes)}'
  return f'{line}\n{notes}' if notes else line


def list_classes(classes: Sequence[str]) -> str:
  """Returns a text such as '2 classes (cat, dog)'."""
  count = len(classes)
  shown = ', '.join(classes[:10]) + (', ...' if count > 10 else '')
  return f'{count} {"class" if count == 1 else "classes"} ({shown})'
