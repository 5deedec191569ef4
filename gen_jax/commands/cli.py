"""What the commands share: their arguments, and errors of one line."""

import argparse
import math
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from gen_jax.errors import InputError
from gen_jax.runtime import messages, reporting


class Parser(argparse.ArgumentParser):
  """Reads the arguments of a command; a wrong one is an InputError.

  It is to be used within `run`, which prints the error as one line.
  """

  def __init__(self, prog: str, description: str | None, **kwargs: Any):
    super().__init__(
      prog,
      description=description,
      allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
      **kwargs,
    )

  def add_trained_run(self) -> None:
    """Adds --workdir and --step, for commands that use a trained model."""
    self.add_argument('--workdir', required=True, help='of a trained run')
    self.add_argument(
      '--step', type=checkpoint, help="of a checkpoint, or 'best'; the newest"
    )

  def error(self, message: str) -> NoReturn:
    # The functions below begin with '=', the others name the flag alone.
    message = re.sub(r'^argument ([^:]+): (?==)', r'\1', message)
    message = re.sub(r'^argument ([^:]+): ', r'\1: ', message)
    raise InputError(f'{message.rstrip(".")}; see --help.')

  def read(
    self, argv: Sequence[str] | None
  ) -> tuple[argparse.Namespace, list[tuple[str, str]]]:
    """Returns the arguments, and the overrides of fields of the config."""
    args, rest = self.parse_known_args(argv)
    return args, overrides(rest)


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


def number(
  kind: type[int] | type[float],
  low: float | None = None,
  high: float | None = None,
) -> Callable[[str], Any]:
  """Returns the `type` of an argument that is a finite number.

  Args:
    kind: int or float.
    low: the least value, if there is one.
    high: the largest value, if there is one.
  """
  expected = 'a whole number' if kind is int else 'a finite number'
  if low is not None and high is not None:
    expected += f', {low} to {high}'
  elif low is not None:
    expected += f', {low} or more'

  def read(text: str) -> Any:
    try:
      value = kind(text)
    except ValueError:
      value = math.nan
    if kind is float and not math.isfinite(value):
      value = math.nan
    # NaN compares as False.
    above = low is None or value >= low
    below = high is None or value <= high
    if value != value or not above or not below:
      raise argparse.ArgumentTypeError(f'={text}: expected {expected}.')
    return value

  return read


seed = number(int, 0, 2**64 - 1)  # the `type` of --seed

_step = number(int, 0)


def checkpoint(text: str) -> int | str:
  """Reads the value of --step: a number or 'best'."""
  if text == 'best':
    return text
  try:
    return _step(text)
  except argparse.ArgumentTypeError:
    raise argparse.ArgumentTypeError(
      f"={text}: expected the step of a checkpoint, 0 or more, or 'best'."
    ) from None


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
    return reporting.report(error)


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
