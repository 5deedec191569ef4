"""How a command ends: its exit code, and one line if it failed."""

import errno
import os
import select
import sys
from collections.abc import Callable
from typing import NoReturn

from gen_jax.errors import (
  EvaluationError,
  InputError,
  NonFiniteError,
  first_line,
)
from gen_jax.runtime import crash, messages

# Nothing more can be written here.
_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(command: Callable[[], int | None]) -> int:
  """Runs a command and returns its exit code.

  An error is one line: what is foreseen is explained by its message, see
  `gen_jax.errors`. For everything else the line names a file that holds the
  traceback, and the exit code is 1. With GEN_JAX_DEBUG=1 errors are raised.
  """
  try:
    code = command() or 0
    _flush()
    return code
  except (Exception, KeyboardInterrupt) as error:
    if isinstance(error, OSError) and not _can_print():
      if isinstance(error, BrokenPipeError):
        return 141  # as a program that SIGPIPE ends
    if messages.debugs() and isinstance(error, Exception):
      raise
    return report(error)


def _flush() -> None:
  for stream in (sys.stdout, sys.stderr):
    if stream is not None:  # closed by the shell, with >&-
      stream.flush()


def _can_print() -> bool:
  """Whether the output still works; after `| head` nobody reads it.

  If it does not, what is still to be printed is dropped, so that the
  interpreter does not complain when it ends.
  """
  try:
    _flush()
    if not _nobody_reads():
      return True
  except OSError:
    pass
  nowhere = os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, sys.stdout.fileno())
  os.close(nowhere)
  return False


def _nobody_reads() -> bool:
  try:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
  except (AttributeError, OSError, ValueError):  # Windows; no real file
    return False


def exit(code: int) -> NoReturn:
  """Ends the process at once; all that it writes is to be closed before.

  On the slow way out the interpreter first drops its signal handlers and then
  takes down the libraries. A signal would end the process without a line, and
  an evaluation that was dropped, and still computes, would crash.
  """
  _flush()
  os._exit(code)


def report(error: BaseException) -> int:
  """Prints an error as one line and returns the exit code that belongs to it.

  An error that is not foreseen is written to a file, with its traceback.
  """
  if isinstance(error, EvaluationError | InputError | NonFiniteError):
    line, code = str(error), error.exit_code
  elif isinstance(error, KeyboardInterrupt):
    line, code = 'interrupted', 130
  elif isinstance(error, MemoryError) or str(error).startswith(
    'RESOURCE_EXHAUSTED'  # from XLA
  ):
    line = 'out of memory: use smaller batches, fewer images or a smaller model'
    line, code = f'{line}. {first_line(error)}', 2
  elif isinstance(error, OSError) and error.errno in _FULL:
    place = error.filename or 'the output'
    line = f'{place} cannot be written: {error.strerror}: make room for it.'
    code = 2
  else:
    line, code = crash.record(error), 1
  line = ' '.join(line.split())
  print(f'gen_jax: {line}', file=sys.stderr, flush=True)
  return code
