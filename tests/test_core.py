"""The capabilities of a trained model."""

import pytest

from gen_jax.core import Capabilities, required_arguments


@pytest.mark.parametrize(
  'capability, arguments',
  [
    ('sample', ('key', 'num')),
    ('sample_codes', ('categories', 'values', 'key')),
    ('map_latents', ('latents',)),  # its labels have a default
    ('w_avg', ()),
  ],
)
def test_a_capability_says_what_it_takes(capability, arguments):
  assert required_arguments(capability) == arguments


def test_every_capability_takes_the_players_first():
  for name, protocol in Capabilities.__annotations__.items():
    assert protocol.__call__.__code__.co_varnames[1] == 'players', name
