"""Configs as JSON."""

import json

from ml_collections import ConfigDict

from gen_jax.config.schema import default


def to_json(config: ConfigDict) -> str:
  """Returns the config as readable JSON; `from_json` is its inverse."""
  return config.to_json(indent=2, sort_keys=True) + '\n'


def from_json(text: str) -> ConfigDict:
  """Reads what `to_json` wrote."""
  return ConfigDict(_tuples(json.loads(text)))


def _tuples(value):
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  if isinstance(value, list):
    return tuple(_tuples(v) for v in value)
  return value


def complete(config: ConfigDict) -> ConfigDict:
  """Adds the fields that every config has, where they are missing."""
  for key, value in default().items():
    if key not in config:
      config[key] = value
    elif key in ('data', 'checkpoint') and isinstance(config[key], ConfigDict):
      for name, field in value.items():
        if name not in config[key]:
          config[key][name] = field
  return config
