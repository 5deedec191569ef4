"""The capabilities of a trained model: one table and one protocol for each."""

import inspect
import typing

import pytest

from gen_jax.core import ARGUMENTS, Capabilities

PROTOCOLS = typing.get_type_hints(Capabilities)


def test_every_capability_has_its_arguments_in_the_table():
  assert set(ARGUMENTS) == set(PROTOCOLS)


@pytest.mark.parametrize('name', ARGUMENTS)
def test_the_table_has_the_arguments_of_the_protocol(name):
  _, _, *others = inspect.signature(
    PROTOCOLS[name].__call__
  ).parameters.values()
  required = [p.name for p in others if p.default is p.empty]
  assert ARGUMENTS[name] == tuple(required)
