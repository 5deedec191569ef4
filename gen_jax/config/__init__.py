"""Configs: what they hold, and how they are read and compared."""

from gen_jax.config.comparison import PLACES, difference, is_place, places
from gen_jax.config.files import load
from gen_jax.config.overrides import apply, override
from gen_jax.config.schema import default, find
from gen_jax.config.serialization import (
  complete,
  flatten,
  from_json,
  plain,
  to_json,
)
from gen_jax.config.variants import choose, half_life, own_images, tiny

__all__ = [
  'PLACES',
  'apply',
  'choose',
  'complete',
  'default',
  'difference',
  'find',
  'flatten',
  'from_json',
  'half_life',
  'is_place',
  'load',
  'override',
  'own_images',
  'places',
  'plain',
  'tiny',
  'to_json',
]
