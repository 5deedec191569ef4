"""A run's folder: its path, its lock and the records in it."""

import contextlib
import os
import pathlib
import stat
import unicodedata
from collections.abc import Generator
from typing import Any

from gen_jax.data import record as data_record
from gen_jax.data.record import Record
from gen_jax.distributed import process_group
from gen_jax.errors import InputError, first_line
from gen_jax.storage import cloud, file_lock

# Weights & Biases keeps links to its logs here. Nothing of it is read.
_FOREIGN = 'wandb'


def folder(path: str | os.PathLike) -> Any:
  """Returns a path; one such as gs://bucket/run through etils.epath.

  Raises:
    InputError: when it cannot be a folder, or a cloud cannot be reached.
  """
  text = os.fspath(path)
  if not text.strip():
    raise InputError(
      'workdir: expected the name of a folder, not an empty one.'
    )
  if any(unicodedata.category(letter) in ('Cc', 'Cs') for letter in text):
    raise InputError(
      f'workdir {text!r}: the name has a character that cannot be printed.'
    )
  if cloud.names(text):
    return cloud.path(text, 'workdir ')
  local = pathlib.Path(path)
  try:
    if not stat.S_ISDIR(local.stat().st_mode):
      raise InputError(f'workdir {local} is a file: give a folder.')
  except FileNotFoundError:
    pass  # it is to be made
  except OSError as error:
    raise InputError(
      f'workdir {text[:100]} cannot be used: {error.strerror}.'
    ) from error
  return local


def check_inside(workdir: Any) -> None:
  """Checks that reading and writing in a workdir stays inside of it.

  A workdir may come from somebody else. Through a link in it, files elsewhere
  would be overwritten or shown, and a pipe would block whoever opens it. The
  workdir itself may be a link. A workdir in a cloud has none of these. The
  folder of Weights & Biases is not looked into, but it may be no link.

  Raises:
    InputError: when it holds a link or a special file, or a folder that cannot
      be listed.
  """
  folders: list[Any] = [workdir] if isinstance(workdir, pathlib.Path) else []
  while folders:
    try:
      with os.scandir(folders.pop()) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
          if entry.is_dir(follow_symlinks=False):
            if os.path.relpath(entry.path, workdir) != _FOREIGN:
              folders.append(entry.path)
          elif not entry.is_file(follow_symlinks=False):
            if os.path.lexists(entry.path):
              raise InputError(_outside(workdir, entry))
    except (FileNotFoundError, NotADirectoryError):
      continue  # not made yet, or removed by a run at work
    except OSError as error:
      raise InputError(
        f'workdir {workdir} cannot be listed: {error.filename}: '
        f'{error.strerror}.'
      ) from error


def _outside(workdir, entry):
  name = os.path.relpath(entry.path, workdir)
  if entry.is_symlink():
    return (
      f'workdir {workdir} holds a link, {name}: links inside a workdir are not '
      'followed. Replace it by the file, or give another --workdir.'
    )
  return (
    f'workdir {workdir} holds {name}, which is neither a file nor a folder. '
    'Remove it.'
  )


@contextlib.contextmanager
def open_for_training(path: str | os.PathLike) -> Generator[Any]:
  """Makes a workdir, and keeps other runs out of it.

  The lock is the kernel's, so that it ends with the process, also when that is
  killed. A gs:// path has none.

  Raises:
    InputError: when it cannot be written, or another run is at work in it.
  """
  workdir, lock = folder(path), contextlib.ExitStack()

  def make():
    check_inside(workdir)
    with _writing(workdir):
      lock.enter_context(locked(workdir))

  with lock:
    process_group.broadcast(make)
    process_group.check_shared(workdir)
    yield workdir


@contextlib.contextmanager
def _writing(workdir):
  try:
    yield
  except OSError as error:
    raise InputError(
      f'workdir {workdir} cannot be written: '
      f'{error.strerror or first_line(error)}.'
    ) from error


def write_record(workdir: Any, name: str, text: str) -> None:
  """Writes `<name>.json`, whole or not at all.

  Raises:
    InputError: when it cannot be written.
  """
  with _writing(workdir):
    partial = workdir / f'{name}.partial'
    partial.write_text(text)
    partial.replace(workdir / f'{name}.json')


def data_records(workdir: Any) -> tuple[Record, ...]:
  """Returns what a workdir keeps of the data of its stages.

  There are none if the workdir has no `data.json`.

  Raises:
    InputError: when `data.json` cannot be read.
  """
  file = workdir / 'data.json'
  try:
    text = file.read_text() if file.exists() else '[]'
  except (OSError, ValueError) as error:
    raise InputError(f'{file} cannot be read: {error}') from error
  return data_record.read(text, file)


def locked(workdir: Any) -> contextlib.AbstractContextManager:
  """Makes a folder that a run or an evaluation writes; returns its lock.

  Raises:
    InputError: when it is entered while another process has it.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  if not isinstance(workdir, pathlib.Path):
    print(f'{workdir} cannot be locked: start no second run there', flush=True)
    return contextlib.nullcontext()

  def busy(owner):
    raise InputError(
      f'workdir {workdir} is in use by another run ({owner}): wait for it, '
      'stop it, or give another --workdir.'
    )

  return file_lock.locked(workdir / 'lock', busy)
