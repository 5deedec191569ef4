"""A folder of checkpoints, read without orbax.

The managers of orbax are made by all processes together. What only one process
reads, or what is only listed, is read here.
"""

import contextlib
import json
import zlib
from collections.abc import Generator, Mapping
from typing import Any

from gen_jax.errors import InputError, first_line
from gen_jax.storage import cloud


class DamagedError(InputError):
  """A checkpoint that can be read and is not whole."""


class UnreadableError(InputError):
  """A checkpoint that cannot be read now; it may be whole."""


class MisfitError(InputError):
  """A checkpoint of other arrays than those that are needed."""


def exist(path: Any) -> bool:
  """Whether a folder has checkpoints, also such as were set aside as damaged.

  Raises:
    UnreadableError: when the folder cannot be listed now.
  """
  names = list_names(path)
  return any(is_step(n) or n.startswith('damaged-') for n in names)


def newest(path: Any) -> int:
  """Returns the last step that has a checkpoint below a folder, or 0.

  Raises:
    UnreadableError: when the folder cannot be listed now.
  """
  return max(
    (int(name) for name in list_names(path) if is_step(name)), default=0
  )


def read_notes(path: Any, step: int) -> dict[str, Any]:
  """Returns the notes of a checkpoint below a folder.

  Raises:
    DamagedError: when all its files can be read, and it is not whole.
    UnreadableError: when a file cannot be read now.
  """
  folder = path / str(step)
  with reading(folder):
    # Where orbax writes the item `meta` of a checkpoint. Read without orbax,
    # whose managers are made by all processes together.
    notes = json.loads((folder / 'meta' / 'metadata').read_text())
    _check_notes(notes, step)
  return notes


def find_config(path: Any) -> tuple[Any, str] | None:
  """Returns the newest checkpoint that has a config in its notes, and that.

  Args:
    path: the folder of the checkpoints.

  Raises:
    UnreadableError: when a file cannot be read now.
  """
  for step in sorted(filter(is_step, list_names(path)), key=int, reverse=True):
    with contextlib.suppress(DamagedError):
      notes = read_notes(path, int(step))
      if 'config' in notes:
        return path / step, notes['config']
  return None


@contextlib.contextmanager
def reading(folder: Any) -> Generator[None]:
  """Distinguishes a damaged checkpoint from one that cannot be read now.

  Orbax gives the same error for both, and for an error of a network folder
  that passes. So the files are read once more: what can be read completely,
  and still is not whole, is damaged.

  Raises:
    DamagedError: when all its files can be read, and it is not whole.
    UnreadableError: when a file cannot be read now.
  """
  try:
    yield
  except Exception as error:  # whatever orbax makes of broken files
    try:
      for file in cloud.files(folder):
        with file.open('rb') as opened:
          while opened.read(2**20):
            pass
    except FileNotFoundError:
      pass  # another process removes it
    except OSError as failure:
      raise unreadable(folder, failure) from error
    raise DamagedError(
      f'checkpoint {folder} is damaged: {describe(error)}.'
    ) from error


def list_names(path: Any) -> list[str]:
  """Returns the names in a folder; none if it does not exist.

  Raises:
    UnreadableError: when the folder cannot be listed now.
  """
  try:
    return [entry.name for entry in path.iterdir()]
  except FileNotFoundError:
    return []
  except OSError as error:
    raise unreadable(path, error) from error


def is_step(name: str) -> bool:
  """Returns whether a name in a folder is that of a checkpoint."""
  return name.isdecimal() and str(int(name)) == name


def unreadable(path: Any, error: OSError) -> UnreadableError:
  """Returns an error about a path that cannot be read now."""
  return UnreadableError(
    f'{path} cannot be read now: {error.strerror or error}. Nothing was '
    'changed: start again when it can be read.'
  )


def describe(error: Exception) -> str:
  """Returns the kind and the first line of an error, without a full stop."""
  return f'{type(error).__name__}: {first_line(error)}'.rstrip('.: ')


def _check_notes(notes: Any, step: int) -> None:
  """Raises ValueError when these are not the notes of a checkpoint."""
  if not isinstance(notes, dict) or notes.get('checksum') != checksum(notes):
    raise ValueError('its notes do not match their checksum')
  if notes['step'] != step:
    raise ValueError(f'its notes are those of step {notes["step"]}')


def checksum(notes: Mapping[str, Any]) -> int:
  """Returns the CRC-32 of notes, without their own checksum."""
  rest = {k: v for k, v in notes.items() if k != 'checksum'}
  return zlib.crc32(json.dumps(rest, sort_keys=True).encode())
