"""A choice between forms of one computation, by platform.

Both forms are traced, and the platform for which the program is lowered chooses
between them: a program may be traced on one platform for another, or exported
for several.
"""

import contextlib
from collections.abc import Callable, Generator

import jax
from jax import lax

_plain_only = False


@contextlib.contextmanager
def plain_only() -> Generator[None]:
  """Within it only the forms for other platforms than the CPU are traced.

  Formats that know no platforms, such as ONNX, need it.
  """
  global _plain_only
  before, _plain_only = _plain_only, True
  try:
    yield
  finally:
    _plain_only = before


def by_platform(
  *args: jax.Array,
  cpu: Callable[..., jax.Array],
  plain: Callable[..., jax.Array],
) -> jax.Array:
  """Returns a function of arrays in the form that suits the platform.

  Args:
    *args: the arrays.
    cpu: the form for the CPU.
    plain: the form for all other platforms.
  """
  if _plain_only:
    return plain(*args)
  return lax.platform_dependent(*args, cpu=cpu, default=plain)
