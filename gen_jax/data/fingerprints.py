"""Short digests of data, which depend on their content and not their place.

A fingerprint shows whether two sources hold the same examples, for example
before a run is resumed with data that moved to another folder. It is the same
in every process and on every machine. `Source.fingerprint` says what it covers.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

_BYTES = 8


def digest(*parts: Any) -> str:
  """Returns 16 hexadecimal digits that depend on all the parts.

  Args:
    *parts: arrays of numbers, dicts of arrays, or values that JSON can hold.
  """
  state = hashlib.blake2b(digest_size=_BYTES)
  for part in parts:
    _add(state, part)
  return state.hexdigest()


def _add(state, part: Any) -> None:
  if isinstance(part, np.ndarray):
    # One order of the bytes and of the axes on all machines.
    little = part.astype(part.dtype.newbyteorder('<'), copy=False)
    # The header tells how many bytes follow, so no two lists of parts give
    # the same bytes.
    _add(state, ['array', little.dtype.str, part.shape])
    state.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8))
  elif _holds_arrays(part):
    _add(state, ['arrays', sorted(part)])
    for name in sorted(part):
      _add(state, part[name])
  else:
    state.update(json.dumps(part, sort_keys=True).encode() + b'\n')


def _holds_arrays(part: Any) -> bool:
  return isinstance(part, Mapping) and any(
    isinstance(x, np.ndarray) for x in part.values()
  )
