"""Arguments of the commands."""

import argparse
import contextlib
import dataclasses
import re
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

import pydantic

from gen_jax.errors import InputError
from gen_jax.registry import fields
from gen_jax.runtime import reporting

# Fields of a config and their values as text, from `--config.field=value`.
Overrides = tuple[tuple[str, str], ...]

_Arguments = TypeVar('_Arguments')


def _checkpoint(step: int | str | None) -> int | str | None:
  if step is None or step == 'best' or isinstance(step, int) and step >= 0:
    return step
  raise ValueError("expected the step of a checkpoint, 0 or more, or 'best'")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedRun:
  """The arguments of commands that use a trained model."""

  workdir: Annotated[
    str, 'folder of a trained run, a file of `gen_jax publish`, or zoo:NAME'
  ]
  step: Annotated[
    int | str | None,
    pydantic.AfterValidator(_checkpoint),
    "step of the checkpoint, or 'best' (default: the newest)",
  ] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Configured:
  """The arguments of commands that read a config."""

  config: Annotated[
    str,
    'config of the package, such as vae (`gen_jax configs` lists them), or a '
    'file FILE.py; a variant of it with NAME:VARIANT or FILE.py:VARIANT',
  ]
  overrides: Overrides = ()


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    # `_reader` begins with '=', argparse names the flag alone.
    message = re.sub(r'^argument ([^:]+): (?==)', r'\1', message)
    message = re.sub(r'^argument ([^:]+): ', r'\1: ', message)
    raise InputError(f'{message.rstrip(".")}; see --help.')


def main(
  command: Callable[[Any], Any],
  kind: type,
  about: str | None,
  argv: Sequence[str] | None,
  **kwargs: str,
) -> int:
  """Runs a command with the arguments of a command line.

  Args:
    command: is called with the arguments.
    kind: the dataclass of the arguments, see `parse`.
    about: the description for --help.
    argv: the command line; that of the process if None.
    **kwargs: `prog` and `epilog` for --help.

  Returns:
    The exit code.
  """
  kwargs = {'prog': f'gen_jax {command.__name__}', **kwargs}

  def call() -> None:
    command(parse(kind, argv, description=about, **kwargs))

  return reporting.run(call)


def naming(argv: Sequence[str] | None) -> list[str]:
  """Returns a command line in which a leading `NAME` is `--name=NAME`."""
  given = list(sys.argv[1:] if argv is None else argv)
  if given and not given[0].startswith('-'):
    given[0] = f'--name={given[0]}'
  return given


def parse(
  kind: type[_Arguments], argv: Sequence[str] | None, **kwargs: Any
) -> _Arguments:
  """Reads the arguments of a command.

  Args:
    kind: a dataclass with a field for each flag: its type, of which the last
      annotation is the help, and its default. The flag of `from_` is --from. A
      bool is a flag without a value, and a tuple is given by repeating the
      flag. The field `overrides` holds the fields of a config.
    argv: the command line.
    **kwargs: of argparse, for --help.

  Raises:
    InputError: when an argument is unknown, missing or out of its range.
  """
  parser = _Parser(
    allow_abbrev=False,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    **kwargs,
  )
  expected = fields.declared(kind)
  takes_overrides = expected.pop('overrides', None)
  for name, field in expected.items():
    flag = name.removesuffix('_')
    how: dict[str, Any] = {'type': _reader(field), 'metavar': flag.upper()}
    if isinstance(field.default, bool):
      how = {'action': 'store_true'}
    elif _plain_type(field) is tuple:
      how = {'action': 'append'}
    parser.add_argument(
      f'--{flag}',
      dest=name,
      required=not field.has_default,
      help=_help(field),
      default=argparse.SUPPRESS,
      **how,
    )
  given, rest = parser.parse_known_args(argv)
  values = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in vars(given).items()
  }
  pairs = overrides(rest)
  if takes_overrides:
    values['overrides'] = pairs
  elif pairs:
    raise InputError(f'{rest[0]}: unknown argument; see --help.')
  return kind(**values)


def _help(field: fields.Field) -> str:
  """Returns the help of a flag, with its default where it has one."""
  text = field.type.__metadata__[-1]
  if not field.has_default or field.default in (None, '', (), False):
    return text
  return f'{text} (default {field.default})'


def _plain_type(field: fields.Field) -> type:
  """Returns the first type of a field, without its annotations."""
  found = field.type
  while typing.get_origin(found) in (Annotated, types.UnionType, typing.Union):
    found = typing.get_args(found)[0]
  return typing.get_origin(found) or found


def _reader(field: fields.Field) -> Callable[[str], Any]:
  """Returns the `type` of argparse for a field."""
  kind = _plain_type(field)

  def read(text: str) -> Any:
    value: Any = text
    if kind in (int, float):
      with contextlib.suppress(ValueError):
        value = kind(text)
    try:
      return fields.check(field, value, '')
    except InputError as error:
      reason = str(error).partition(': ')[2]
      raise argparse.ArgumentTypeError(f'={text}: {reason}') from None

  return read


def overrides(args: Sequence[str]) -> Overrides:
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
  return tuple(pairs)
