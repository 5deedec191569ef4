"""Looks into traced programs."""

from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr


def equations(jaxpr: Any) -> Iterator[Any]:
  """Yields the equations of a program and of the programs inside it."""
  if isinstance(jaxpr, ClosedJaxpr):
    jaxpr = jaxpr.jaxpr
  for eqn in jaxpr.eqns:
    yield eqn
    for param in jax.tree.leaves(
      eqn.params, is_leaf=lambda x: isinstance(x, ClosedJaxpr)
    ):
      if isinstance(param, ClosedJaxpr | Jaxpr):
        yield from equations(param)
