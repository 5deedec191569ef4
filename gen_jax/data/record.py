"""The record of the training data in a workdir, which a model needs for use.

With it, a trained model is sampled without opening the data set, and a data set
that is opened again is compared with the one of the training.
"""

import dataclasses
from collections.abc import Iterable
from typing import Annotated, Any

import annotated_types as at
import numpy as np
import pydantic

from gen_jax.data import inputs
from gen_jax.data.sources import Fields, Source, image_shapes
from gen_jax.errors import DataError, InputError

_Size = Annotated[int, at.Ge(0)]


def _numeric(name: str) -> str:
  try:
    known = np.dtype(name).kind in 'biuf'
  except TypeError:
    known = False
  if not known:
    raise ValueError(f'{name!r} is no type of numbers')
  return name


_Dtype = Annotated[str, pydantic.AfterValidator(_numeric)]


@dataclasses.dataclass(frozen=True)
class Record:
  """A description of a training split.

  Attributes:
    classes: names by label; empty without labels.
    shapes: of one example, by field.
    dtypes: by field.
    ranges: as `Source.ranges`.
    examples: how many there are.
    fingerprint: as `Source.fingerprint`; '' where the data of a training are
      not known, as for an imported model, which may be used with any.
  """

  classes: tuple[str, ...]
  shapes: dict[str, tuple[_Size, ...]]
  dtypes: dict[str, _Dtype]
  ranges: dict[str, dict[str, tuple[float, float]]]
  examples: _Size
  fingerprint: str

  def __post_init__(self) -> None:
    if self.dtypes.keys() != self.shapes.keys():
      raise ValueError('`shapes` and `dtypes` have different fields')

  @classmethod
  def of(cls, source: Source) -> 'Record':
    """Returns the record of a training split."""
    fields = source.fields.items()
    return cls(
      classes=tuple(source.classes),
      shapes={name: tuple(shape) for name, (shape, _) in fields},
      dtypes={name: np.dtype(dtype).name for name, (_, dtype) in fields},
      ranges={
        name: {kind: tuple(limits) for kind, limits in ranges.items()}
        for name, ranges in source.ranges.items()
      },
      examples=len(source),
      fingerprint=source.fingerprint,
    )

  @property
  def fields(self) -> Fields:
    """The shape and dtype of each field of one example."""
    return {
      name: (shape, np.dtype(self.dtypes[name]))
      for name, shape in self.shapes.items()
    }

  def change_of_meaning(self, now: 'Record') -> str:
    """Returns why the model would misread other data; '' if it would not."""
    if self.classes != now.classes:
      return _change_of_classes(self.classes, now.classes)
    for name, shape in image_shapes(now).items():
      before = self.shapes.get(name, shape)
      if before != shape:
        return f'{name!r} had the shape {list(before)}, now {list(shape)}'
    for name, ranges in now.ranges.items():
      for kind, limits in ranges.items():
        before = self.ranges.get(name, {}).get(kind, limits)
        if before != limits:
          return (
            f'pixels of {name!r} that are {kind} had the range '
            f'{_show(before)}, now {_show(limits)}'
          )
    return ''

  def change_of_content(self, now: 'Record') -> str:
    """Returns how other data differ; '' if they do not."""
    if not self.fingerprint:
      return ''
    if self.examples != now.examples:
      return (
        f'the training split had {self.examples} examples, now {now.examples}'
      )
    if self.fingerprint != now.fingerprint:
      return (
        'the training split has as many examples as before, but their content '
        '(names, sizes, labels or pixels) changed'
      )
    return ''


@dataclasses.dataclass(frozen=True)
class Kept:
  """The record that a workdir keeps.

  Attributes:
    workdir: for messages.
    record: of the data of one stage.
  """

  workdir: Any
  record: Record

  def check(self, source: Source) -> None:
    """Raises DataError unless a training split is the one of the record."""
    now = Record.of(source)
    refuse(self.workdir, self.record.change_of_meaning(now))
    refuse(self.workdir, self.record.change_of_content(now))


def refuse(workdir: Any, change: str) -> None:
  """Raises DataError if the data of a workdir changed."""
  if change:
    raise DataError(
      f'workdir {workdir} was made with other data: {change}. Restore the '
      'data, or give another --workdir.'
    )


def write(records: Iterable[Record]) -> str:
  """Returns the records of all stages as JSON; `read` is its inverse."""
  return _STAGES.dump_json(tuple(records), indent=2).decode() + '\n'


def read(text: str, file: Any) -> tuple[Record, ...]:
  """Returns the records that a file has.

  Raises:
    InputError: it is not what `write` returns; the message names `file`.
  """
  try:
    return _STAGES.validate_json(text, strict=True)
  except pydantic.ValidationError as error:
    raise InputError(
      f'{file} cannot be read: {inputs.invalid(error)}. Bring it back from a '
      'copy, or remove it: the data are then not compared.'
    ) from None


_STAGES = pydantic.TypeAdapter(tuple[Record, ...])


def _change_of_classes(before, after) -> str:
  come = [name for name in after if name not in before]
  gone = [name for name in before if name not in after]
  parts = []
  for names, verb in ((come, 'new'), (gone, 'missing')):
    if names:
      parts.append(f'{verb}: {", ".join(names)}')
  what = '; '.join(parts) or 'another order'
  return (
    f'the classes changed ({what}), so that labels would mean other classes'
  )


def _show(limits) -> str:
  return '[{:g}, {:g}]'.format(*limits)
