"""How a command that failed ends: one line and an exit code."""

import errno
import sys

from gen_jax.errors import (
  EvaluationError,
  InputError,
  NonFiniteError,
  first_line,
)
from gen_jax.runtime import crash

# Nothing more can be written here.
_FULL = (errno.ENOSPC, errno.EDQUOT)


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
