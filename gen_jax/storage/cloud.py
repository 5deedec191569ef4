"""Paths such as gs://bucket/run, which etils.epath reads and writes.

A bucket has objects and no folders: a folder exists as long as an object has
its name in front. Nothing can be appended to an object, and an object appears
when it is whole.
"""

import contextlib
import functools
import os
import pathlib
import tempfile
from collections.abc import Generator, Iterator
from typing import Any

from gen_jax.errors import InputError, first_line
from gen_jax.runtime import timeout

_SECONDS = 20  # until a cloud counts as out of reach


def names(text: Any) -> bool:
  """Whether a text or a path names a place in a cloud."""
  return '://' in os.fspath(text)


@functools.cache
def path(text: str, what: str) -> Any:
  """Returns a path in a cloud which answers within seconds.

  Args:
    text: such as gs://bucket/run.
    what: it is, for messages.

  Raises:
    InputError: when it cannot be reached.
  """
  from etils import epath

  try:
    _see_what_others_write()
    found = epath.Path(text)
    timeout.call(found.exists, _SECONDS)
  except KeyError as error:
    raise InputError(
      f'{what}{text}: expected a local path, gs://... or s3://...'
    ) from error
  except Exception as error:  # each library has its own
    kind = (
      '' if isinstance(error, TimeoutError) else f'{type(error).__name__}: '
    )
    raise InputError(
      f'{what}{text} cannot be reached: {kind}{first_line(error)}'
    ) from error
  return found


def _see_what_others_write() -> None:
  """Lets fsspec ask the cloud each time.

  It would keep the names in a folder for as long as the process lives, and not
  notice checkpoints, which another library writes, or files of other hosts.
  """
  from fsspec import config

  for protocol in ('gs', 'gcs', 's3', 's3a'):
    config.conf.setdefault(protocol, {})['use_listings_cache'] = False


def files(folder: Any) -> Iterator[Any]:
  """Yields the files below a folder, or the path itself if it is none.

  Unlike glob it skips none in silence, and it takes paths in a cloud.

  Raises:
    OSError: when a folder cannot be listed.
  """
  if not folder.is_dir():
    yield folder
    return
  for entry in folder.iterdir():
    yield from files(entry)


def size(file: Any) -> int:
  """Returns how many bytes a file has."""
  status = file.stat()
  return status.st_size if isinstance(file, pathlib.Path) else status.length


@contextlib.contextmanager
def local_copy(file: Any) -> Generator[pathlib.Path]:
  """Yields a file for libraries that read no other; a copy if it is remote."""
  if isinstance(file, pathlib.Path):
    yield file
    return
  with tempfile.TemporaryDirectory() as folder:
    copy = pathlib.Path(folder, file.name)
    copy.write_bytes(file.read_bytes())
    yield copy
