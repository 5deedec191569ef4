"""How files of a user are opened and decoded, with one kind of error.

Decoders raise almost anything on a damaged file. Within `reading` all of that
becomes one `ReadError`, a line that names the file. Code within it raises
ValueError for what it finds wrong itself.
"""

import contextlib
import json
import os
import stat
from collections.abc import Generator
from typing import Any

import pydantic

from gen_jax.errors import InputError

_LONGEST = 300  # letters of a reason

_KINDS = {dict: 'an object', list: 'a list'}


class ReadError(InputError):
  """A file that cannot be read.

  Attributes:
    reason: in a few words, without the name of the file.
  """

  def __init__(self, message: str, reason: str = '') -> None:
    super().__init__(message)
    self.reason = reason


@contextlib.contextmanager
def reading(
  file: str | os.PathLike, field: str = 'data.path'
) -> Generator[None]:
  """Turns errors of decoders into one that names the file.

  Args:
    file: what is read.
    field: the field of the config or the flag that named it.

  Raises:
    ReadError: in place of any error but an InputError, which passes.
  """
  try:
    yield
  except InputError:
    raise
  except Exception as error:
    why = reason(error)
    raise ReadError(f'{field}: {file} cannot be read: {why}.', why) from error


def reason(error: BaseException) -> str:
  """Returns in a few words on one line why a file cannot be read."""
  if isinstance(error, ReadError):
    return error.reason
  if isinstance(error, RecursionError):
    return 'it is nested too deeply'
  if isinstance(error, MemoryError):
    return 'it needs more memory than there is'
  text = str(error)
  if isinstance(error, KeyError):
    text = f'{text} is missing'
  if isinstance(error, OSError) and error.strerror:
    text = error.strerror  # without the path, which the message has
  text = ' '.join(text.split()).rstrip('.')[:_LONGEST]
  # The text may quote the file, which could hold codes for the terminal.
  return ''.join(c if c.isprintable() else '?' for c in text) or (
    type(error).__name__
  )


def invalid(error: pydantic.ValidationError) -> str:
  """Returns the first thing that is wrong with a value, and its place."""
  found = error.errors(include_url=False, include_context=False)[0]
  place = '.'.join(map(str, found['loc']))
  reason = ' '.join(found['msg'].split())
  return f'{place}: {reason}' if place else reason


def check_regular(path: str | os.PathLike) -> None:
  """Raises OSError unless a path is a regular file, or a link to one.

  To open a pipe, a socket or a device could wait for ever.
  """
  if not stat.S_ISREG(os.stat(path).st_mode):
    raise OSError('it is not a file')


def read_bytes(path: str | os.PathLike) -> bytes:
  """Returns the content of a regular file; raises OSError."""
  check_regular(path)
  with open(path, 'rb') as file:
    return file.read()


def read_text(path: str | os.PathLike, errors: str = 'strict') -> str:
  """Returns a regular file of UTF-8, without a byte order mark."""
  return read_bytes(path).decode('utf-8-sig', errors)


def parse_json(text: str, kind: type = dict) -> Any:
  """Returns what JSON describes.

  Raises:
    ValueError: it is no JSON, or of another kind, which is dict or list.
  """
  value = json.loads(text)
  if not isinstance(value, kind):
    raise ValueError(f'expected {_KINDS[kind]}, found {shown(value)}')
  return value


def shown(value: Any) -> str:
  """Returns a value of a file for a message, shortened."""
  text = repr(value)
  return text if len(text) <= 40 else f'{text[:40]}...'
