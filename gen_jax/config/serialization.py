"""Configs as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from gen_jax.config.schema import GROUPS, default
from gen_jax.registry import fields


def to_json(config: ConfigDict) -> str:
  """Returns the config as readable JSON; `from_json` is its inverse."""
  return config.to_json(indent=2, sort_keys=True) + '\n'


def from_json(text: str) -> ConfigDict:
  """Reads what `to_json` wrote."""
  return ConfigDict(fields.plain(json.loads(text)))


def plain(config: ConfigDict) -> dict[str, Any]:
  """Returns the config as JSON holds it, in dicts and lists."""
  return json.loads(to_json(config))


def flatten(value: Any, name: str = '') -> dict[str, Any]:
  """Returns the leaves of nested groups and lists, named as 'a.b' and 'a[0]'.

  Args:
    value: dicts, lists and leaves; an empty dict or list is a leaf.
    name: of the whole.
  """
  if isinstance(value, Mapping) and value:
    parts = [(f'{name}.{k}' if name else k, v) for k, v in value.items()]
  elif isinstance(value, list) and value:
    parts = [(f'{name}[{k}]', v) for k, v in enumerate(value)]
  else:
    return {name: value}
  return {k: v for at, part in parts for k, v in flatten(part, at).items()}


def complete(config: ConfigDict) -> ConfigDict:
  """Adds the fields that every config has, where they are missing."""
  for key, value in default().items():
    if key not in config:
      config[key] = value
    elif key in ('data', *GROUPS) and isinstance(config[key], ConfigDict):
      config[key] = ConfigDict({**value, **config[key]})
  return config
