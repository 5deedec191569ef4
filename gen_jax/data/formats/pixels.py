"""Pixels of other types than 8 bits, and the range that becomes 0 to 255.

All images of a data set are mapped alike, so that its splits agree and a dark
image stays dark. The range is a field of the config, `data.range`: the values
that become 0 and 255, or 'auto', by which a usual range is chosen from the
least and the largest value of the whole data set:

  integers          0..1, or 0 to the largest value of 8, 10, 12, 14 or 16 bits
  floating point    0..1, -1..1 or 0..255

What fits none of these is refused.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gen_jax.errors import InputError

Limits = tuple[float, float]  # become 0 and 255
Ranges = Mapping[str, Limits]  # by kind

# Kinds of pixels, each with a range of its own.
BYTE = 'uint8'
INTEGER = 'integers of other types than uint8'
FLOAT = 'floating-point numbers'
COLOR = '16-bit colors'  # of which Pillow keeps the high byte

_NOT_FINITE = 'it has pixels that are not finite (NaN or infinity)'
_BITS = (8, 10, 12, 14, 16)
_CHUNK = 2**22  # values that are converted at a time


class Extent(NamedTuple):
  """The least and the largest of some pixels."""

  kind: str
  low: float
  high: float


def kind(dtype: np.dtype) -> str:
  """Returns the kind of an array's pixels.

  Raises:
    ValueError: it has no real numbers.
  """
  if dtype == np.uint8 or dtype.kind == 'b':
    return BYTE
  if dtype.kind in 'iu':
    return INTEGER
  if dtype.kind == 'f':
    return FLOAT
  raise ValueError(f'{dtype} is no type of pixels')


def extent(values: np.ndarray) -> Extent:
  """Returns the extent of an array.

  Raises:
    ValueError: it is empty, has values that are not finite, or no numbers.
  """
  which = kind(values.dtype)
  if not values.size:
    raise ValueError('it has no pixels')
  low, high = values.min().item(), values.max().item()  # NaN if any is
  if not (math.isfinite(low) and math.isfinite(high)):
    raise ValueError(_NOT_FINITE)
  return Extent(which, low, high)


def check_range(value: Any) -> Limits | None:
  """Returns the limits that `data.range` sets, or None for 'auto'.

  Raises:
    InputError: it is neither 'auto' nor two increasing numbers.
  """
  # A tuple in configs, so that the command line accepts both forms.
  if value in ('auto', ('auto',)):
    return None
  if isinstance(value, str):
    value = value.strip('()').split(',')
  try:
    low, high = map(float, value)
    if math.isfinite(low) and math.isfinite(high) and low < high:
      return low, high
  except (TypeError, ValueError):
    pass
  raise InputError(
    f"data.range={value!r}: expected 'auto' or the values of black and white, "
    'such as 0,4095.'
  )


def fixed(limits: Limits) -> Ranges:
  """Returns the ranges in which all kinds have the same limits."""
  return dict.fromkeys((BYTE, INTEGER, FLOAT), limits)


def resolve(
  extents: Iterable[Extent], limits: Limits | None, what: str
) -> tuple[Ranges, list[str]]:
  """Returns the range of each kind, and lines of the summary about them.

  Args:
    extents: of the images of a whole data set; of one split if there are
      limits.
    limits: those of `check_range`.
    what: the data set, for messages.

  Raises:
    InputError: the extents fit no usual range.
  """
  joined: dict[str, Extent] = {}
  for one in extents:
    so_far = joined.get(one.kind, one)
    joined[one.kind] = Extent(
      one.kind, min(one.low, so_far.low), max(one.high, so_far.high)
    )
  ranges = dict(fixed(limits)) if limits else {}
  notes = []
  for found in joined.values():
    if found.kind == COLOR:
      check_color(found, limits, what)
      notes.append(f'pixels: {COLOR}, reduced to their high byte')
      continue
    chosen = ranges[found.kind] = limits or _choose(found, what)
    if found.kind == BYTE and chosen == (0, 255):
      continue
    note = (
      f'pixels: {found.kind}, found {_show(found.low, found.high)}; '
      f'{_show(*chosen)} becomes 0..255 '
      f'({"as data.range says" if limits else "data.range is auto"})'
    )
    if found.low < chosen[0] or found.high > chosen[1]:
      note += '; values beyond are clipped'
    notes.append(note)
  return ranges, notes


def to_uint8(values: np.ndarray, ranges: Ranges) -> np.ndarray:
  """Returns pixels as uint8, rounded and clipped.

  Raises:
    ValueError: there is no range for pixels of this kind, or some are not
      finite.
  """
  which = kind(values.dtype)
  if which not in ranges:
    raise ValueError(
      f'its pixels are {which}, for which the data set has no range: convert '
      'it to 8 bits, or set its range'
    )
  low, high = ranges[which]
  if values.dtype == np.uint8 and (low, high) == (0, 255):
    return values
  out = np.empty(values.shape, np.uint8)
  rows = max(1, _CHUNK // max(1, math.prod(values.shape[1:])))
  for start in range(0, len(values), rows):
    # float64 holds all integers of up to 53 bits.
    part = values[start : start + rows].astype(np.float64)
    if not np.isfinite(part).all():
      raise ValueError(_NOT_FINITE)
    part = np.rint((part - low) * (255 / (high - low)))
    out[start : start + rows] = np.clip(part, 0, 255)
  return out


def _choose(found: Extent, what: str) -> Limits:
  """Returns the usual range that an extent fits."""
  _, low, high = found
  usual: list[tuple[Limits, float]]  # with the least that `high` is then
  if found.kind == FLOAT:
    # A set of 0..1 with slight overshoots is not one of 0..255.
    usual = [((0, 1), 0), ((-1, 1), -1), ((0, 255), 128)]
  else:
    usual = [((0, 1), 0)] + [((0, 2**bits - 1), 0) for bits in _BITS]
  for (black, white), least in usual:
    if black <= low and least <= high <= white:
      return black, white
  raise InputError(
    f'data.range: {what} has {found.kind} from {_number(low)} to '
    f'{_number(high)}, which is no usual range. Set the values of black and '
    f'white, for example --config.data.range={_number(low)},{_number(high)}.'
  )


def check_color(found: Extent, limits: Limits | None, what: str) -> None:
  """Checks the range of colors of 16 bits, which cannot be chosen freely.

  Raises:
    InputError: `limits` ask for another range, or the colors are so dark that
      their high byte says little.
  """
  if limits not in (None, (0, 65535)) or (not limits and found.high < 4096):
    raise InputError(
      f'data.range: {what} has {COLOR} of at most {found.high}, and only their '
      'high byte can be read. Convert the images to 8 bits, or set '
      'data.range=0,65535 if they are that dark.'
    )


def _show(low: float, high: float) -> str:
  return f'{_number(low)}..{_number(high)}'


def _number(x: float) -> str:
  return str(int(x)) if x == int(x) else f'{x:.6g}'
