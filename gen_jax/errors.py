"""The errors that a user may meet, and the exit codes that they end with."""

import contextlib
import difflib
from collections.abc import Generator, Iterable
from typing import Any


class InputError(ValueError):
  """Something that the user gave is wrong: one line that names the fix.

  The command line prints the line alone and ends with exit code 2.
  """

  exit_code = 2


class DataError(InputError):
  """The data of a trained run cannot be opened, or they are not the same."""


class NonFiniteError(ArithmeticError):
  """A loss or a gradient is NaN or infinite; training stops with code 3."""

  exit_code = 3


class EvaluationError(RuntimeError):
  """An evaluator failed, and everything else is done; exit code 5.

  Attributes:
    result: what the call returns otherwise, if it returns anything.
  """

  exit_code = 5

  def __init__(self, message: str, result: Any = None) -> None:
    super().__init__(message)
    self.result = result


def first_line(error: BaseException, letters: int = 200) -> str:
  """Returns the first line of an error, of so many letters at most."""
  return (str(error).strip().splitlines() or [''])[0][:letters]


@contextlib.contextmanager
def building(what: str) -> Generator[None]:
  """Turns an error of networks that do not fit together into InputError.

  Args:
    what: is built in this scope, in words.

  Raises:
    InputError: for any exception in the scope.
  """
  try:
    yield
  except InputError:
    raise
  except Exception as error:  # of JAX, Flax, or the arithmetic of shapes
    raise InputError(
      f'config.objective: {what} cannot be built of these fields and data: '
      f'{type(error).__name__}: {first_line(error, 300)}'
    ) from error


def nearest(name: str, choices: Iterable[str]) -> str:
  """Returns ' Did you mean "x"?' or, with nothing near, all choices."""
  choices = sorted(choices)
  close = difflib.get_close_matches(name, choices, n=1)
  if close:
    return f' Did you mean "{close[0]}"?'
  return f' Known: {", ".join(choices)}.' if choices else ''


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
  """Raises InputError, naming the field, unless a value is a choice."""
  if not isinstance(value, str) or value not in choices:
    raise InputError(
      f'{field}={value!r} is unknown.{nearest(str(value), choices)}'
    )
