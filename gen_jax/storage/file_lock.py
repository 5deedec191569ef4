"""One process at a time: a lock on a file."""

import contextlib
import os
import pathlib
import socket
from collections.abc import Callable, Generator

try:
  import fcntl
except ImportError:  # not on Windows
  fcntl = None


@contextlib.contextmanager
def locked(file: pathlib.Path, busy: Callable[[str], None]) -> Generator[None]:
  """Holds a lock, which the system drops with its process, also a killed one.

  If the file system has no locks, as some network folders, it prints a line and
  continues without one.

  Args:
    file: is made, and names who has the lock.
    busy: is told who has it, if another process has; it raises, or returns in
      order to wait.

  Raises:
    OSError: the file cannot be written.
  """
  with file.open('a+') as opened:
    if fcntl is not None:
      try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError:
        opened.seek(0)
        busy(opened.read().strip())
        fcntl.flock(opened, fcntl.LOCK_EX)
      except OSError as error:
        print(f'{file} cannot be locked: {error.strerror}', flush=True)
    opened.truncate(0)
    opened.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    opened.flush()
    yield
