"""The types of the fields of a config, with the ranges of their values.

A field of an objective, a network, an evaluator, an optimizer or a data set is
declared once, by its annotation: `beta: Weight = 1.0`. Whatever way a value
comes from, it is compared with that annotation before any work begins.
"""

import dataclasses
import functools
import inspect
import pathlib
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal

import annotated_types as at
import pydantic
from ml_collections import ConfigDict

from gen_jax.errors import InputError, nearest

# JAX counts and indexes with 32 bits, and computes with floats of 32 bits.
_LARGEST_INT = 2**31 - 1
_LARGEST_FLOAT = 1e30

Seed = Annotated[int, at.Interval(ge=0, lt=2**64)]
Size = Annotated[int, at.Interval(ge=1, le=_LARGEST_INT)]
Count = Annotated[int, at.Interval(ge=0, le=_LARGEST_INT)]  # 0: none, or all
# Layers, blocks, levels: a program is made of each of them.
Depth = Annotated[int, at.Interval(ge=0, le=1000)]
Levels = Annotated[int, at.Interval(ge=1, le=1000)]
Sizes = Annotated[tuple[Size, ...], at.MaxLen(1000)]
SomeSizes = Annotated[tuple[Size, ...], at.Len(1, 1000)]
# A path. The same data at another path is not another config.
Place = Annotated[str | pathlib.PurePath, 'place']

Number = Annotated[float, at.Interval(ge=-_LARGEST_FLOAT, le=_LARGEST_FLOAT)]
Weight = Annotated[float, at.Interval(ge=0, le=_LARGEST_FLOAT)]
Positive = Annotated[float, at.Interval(gt=0, le=_LARGEST_FLOAT)]
Fraction = Annotated[float, at.Interval(ge=0, le=1)]
Probability = Annotated[float, at.Interval(gt=0, lt=1)]  # neither 0 nor 1
Decay = Annotated[float, at.Interval(ge=0, lt=1)]  # of a moving average

# Stands for no default.
REQUIRED = inspect.Parameter.empty

Dtype = Literal['float32', 'bfloat16', 'float16'] | None  # None: float32
Precision = Literal['float32', 'bfloat16']


def _three(value: Any) -> Any:
  if not isinstance(value, tuple) or len(value) != 3:
    raise ValueError('expected (height, width, channels)')
  return value


Shape = Annotated[tuple[Size, Size, Size], pydantic.BeforeValidator(_three)]


def one_of(choices: Collection[str]) -> pydantic.AfterValidator:
  """Returns the check of a field that names one of several things.

  It belongs in the annotation of a string: `Annotated[str, one_of(NAMES)]`.
  """

  def check(value: str) -> str:
    if value not in choices:
      raise ValueError(f'it is unknown.{nearest(value, choices)}')
    return value

  return pydantic.AfterValidator(check)


@dataclasses.dataclass(frozen=True)
class Field:
  """The declaration of a field.

  Attributes:
    type: its annotation.
    default: its value where a config has none; REQUIRED if it needs one.
  """

  type: Any
  default: Any = REQUIRED

  @property
  def has_default(self) -> bool:
    """Whether a config may leave the field out."""
    return self.default is not REQUIRED


def declared(fn: Callable) -> dict[str, Field]:
  """Returns the fields that a function or a class takes, by name."""
  return {
    p.name: Field(p.annotation, p.default)
    for p in inspect.signature(fn).parameters.values()
  }


def check(field: Field, value: Any, where: str) -> Any:
  """Returns a value of a field as its type has it.

  Args:
    field: with the declared type.
    value: as a config holds it; lists count as tuples.
    where: the full name of the field, for the message.

  Raises:
    InputError: unless it is one of those that the field may have.
  """
  try:
    return _adapter(field.type).validate_python(plain(value), strict=True)
  except pydantic.ValidationError as error:
    # One for each alternative of a union, of which the first is the main one.
    found = error.errors(include_url=False)[0]
    place = ''.join(f'[{x}]' for x in found['loc'] if isinstance(x, int))
    shown, reason = f'{where}{place}={_show(found["input"])}', _reason(found)
    if isinstance(value, str) and typing.get_origin(field.type) is Literal:
      reason = 'it is unknown.' + nearest(value, typing.get_args(field.type))
    raise InputError(f'{shown}: {reason}') from None


_REASONS = {
  'greater_than_equal': '{ge} or more',
  'greater_than': 'more than {gt}',
  'less_than_equal': 'at most {le}',
  'less_than': 'less than {lt}',
  'finite_number': 'a finite number',
  'literal_error': '{expected}',
  'int_type': 'a whole number',
  'int_from_float': 'a whole number',
  'float_type': 'a number',
  'string_type': 'text',
  'bool_type': 'True or False',
  'tuple_type': 'several values, in brackets',
  'dict_type': 'a group of fields',
  'is_instance_of': 'a group of fields with a name',
}


def _reason(found: Mapping[str, Any]) -> str:
  """Returns what is wrong with a value, for an error of pydantic."""
  expected = _REASONS.get(found['type'])
  if expected:
    limits = found.get('ctx', {})
    for name, limit in limits.items():
      if isinstance(limit, float) and limit.is_integer():
        limits[name] = int(limit)
    return f'expected {expected.format(**limits)}.'
  reason = found['msg'].removeprefix('Value error, ')
  return reason if reason.endswith(('.', '?')) else f'{reason}.'


def is_group(value: Any) -> bool:
  """Returns whether a value of a config is a group of fields."""
  return isinstance(value, ConfigDict | Mapping)


def plain(value: Any) -> Any:
  """Returns a value of a config in dicts and tuples."""
  if is_group(value):
    return {k: plain(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return tuple(map(plain, value))
  return value


def check_group(value: Any, where: str) -> None:
  """Raises InputError unless a value is a group of fields."""
  if not is_group(value):
    raise InputError(f'{where}={value!r}: expected a group of fields.')


def check_all(
  expected: Mapping[str, Field],
  values: Mapping[str, Any],
  where: str,
  what: str,
) -> None:
  """Raises InputError on a field that is unknown, missing or of another type.

  Args:
    expected: the declared fields by name.
    values: those that a config has.
    where: the name of the group, for messages.
    what: has these fields, for messages.
  """
  check_names(expected, values, where, what)
  for name, value in values.items():
    check(expected[name], value, f'{where}.{name}')


def check_names(
  expected: Mapping[str, Field],
  values: Mapping[str, Any],
  where: str,
  what: str,
) -> None:
  """Raises InputError on a field that is unknown or missing."""
  for name in values:
    if name not in expected:
      raise InputError(
        f'{where}.{name}: {what} has no field {name!r}.'
        + nearest(str(name), expected)
      )
  for name, field in expected.items():
    if not field.has_default and name not in values:
      raise InputError(f'{where}.{name}: {what} needs it.')


@functools.cache
def _adapter(annotation: Any) -> pydantic.TypeAdapter:
  # NaN and infinities are no values of a field.
  config = pydantic.ConfigDict(
    arbitrary_types_allowed=True, allow_inf_nan=False
  )
  return pydantic.TypeAdapter(annotation, config=config)


def _show(value: Any) -> str:
  text = repr(value)
  return text if len(text) <= 80 else f'{text[:77]}...'
