"""What the commands share: overrides, and errors of one line."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from gen_jax.errors import EvaluationError, InputError, NonFiniteError


def overrides(args: Sequence[str]) -> list[tuple[str, str]]:
  """Splits `--config.field=value` arguments into fields and texts.

  `--config.field value` is understood as well.

  Raises:
    InputError: on an argument of another kind.
  """
  pairs, rest = [], list(args)
  while rest:
    name, equals, text = rest.pop(0).partition('=')
    if not name.startswith('--config.'):
      raise InputError(f'{name}{equals}{text}: unknown argument; see --help.')
    if not equals:
      if not rest:
        raise InputError(f'{name}: expected a value.')
      text = rest.pop(0)
    pairs.append((name.removeprefix('--config.'), text))
  return pairs


def checkpoint(text: str) -> int | str:
  """Reads the value of --step: a number or 'best'."""
  return text if text == 'best' else int(text)


def run(command: Callable[[], None]) -> int:
  """Runs a command and returns its exit code; see `gen_jax.errors`."""
  # Orbax warns of each checkpoint that is only to be read.
  logging.getLogger('absl').setLevel(logging.ERROR)
  try:
    command()
  except (EvaluationError, InputError, NonFiniteError) as error:
    line = ' '.join(str(error).split())
    print(f'gen_jax: {line}', file=sys.stderr)
    return error.exit_code
  except KeyboardInterrupt:
    return 130
  return 0


def leave(code: int) -> NoReturn:
  """Ends the process at once; all that it writes is to be closed before.

  What an evaluation that was dropped still computes would crash the slow way
  out, on which the interpreter takes down what it computes with.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)
