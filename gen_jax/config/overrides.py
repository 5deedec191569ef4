"""Sets fields of a config from the command line."""

import ast
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from gen_jax.config.schema import find
from gen_jax.errors import InputError


def apply(config: ConfigDict, pairs: Sequence[tuple[str, str]]) -> None:
  """Overrides fields of a config that is to be trained.

  Args:
    config: is changed.
    pairs: dotted names of fields, and texts as for `override`.

  Raises:
    InputError: as `override`, or when every stage has a value of its own, so
      that the new one would do nothing.
  """
  for field, text in pairs:
    own = [
      any(field == k or field.startswith(f'{k}.') for k in dict(stage))
      for stage in config.stages
    ]
    if own and all(own):
      raise InputError(
        f'--config.{field}: every stage of this config has its own value; '
        'change it in `stages` in the file.'
      )
    override(config, field, text)


def override(config: ConfigDict, field: str, text: str) -> None:
  """Sets a field of a config from text.

  Args:
    config: is changed.
    field: its dotted name.
    text: stands for a value of the type that the field has.

  Raises:
    InputError: on an unknown field or a value of another type.
  """
  parent, last = find(config, field, '--config')
  old, where = parent[last], f'--config.{field}'
  if isinstance(old, ConfigDict):
    try:
      parent[last] = ConfigDict(dict(ast.literal_eval(text)))
    except (ValueError, SyntaxError, TypeError):
      raise InputError(
        f'{where} is a group of fields ({", ".join(old)}): set one of them, '
        "or all as {'field': value, ...}."
      ) from None
    return
  value = _parse(text, old)
  if old is not None and type(value) is not type(old):
    raise InputError(
      f'{where}={text}: expected {type(old).__name__}, as in {old!r}.'
    )
  parent[last] = value


def _parse(text: str, old: Any) -> Any:
  """Reads `text` as a value of the type of `old`, if it can be one."""
  if isinstance(old, str):
    return text
  if isinstance(old, bool):
    words = {'true': True, '1': True, 'false': False, '0': False}
    return words.get(text.lower())
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    value = text
  if isinstance(old, float) and isinstance(value, int):
    return float(value)
  if isinstance(old, tuple):
    if isinstance(value, str):  # words need no quotes
      value = value.split(',') if value else ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)
  return value
