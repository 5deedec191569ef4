"""Compiled programs that know how much memory they need."""

from typing import Any

import jax


class Program:
  """A function that is compiled at its first call, and knows what it needs."""

  def __init__(self, jitted: Any) -> None:
    """Takes a function as `jax.jit` and `jax.pmap` return it."""
    self._jitted: Any = jitted
    self._compiled: Any = None

  def __call__(self, *args: Any) -> Any:
    """Runs it, compiled before if that is not yet done."""
    self.compile(*args)
    return self._compiled(*args)

  def compile(self, *args: Any) -> jax.stages.Compiled:
    """Compiles it for arguments of these shapes, if that is not yet done."""
    if self._compiled is None:
      self._compiled = self._jitted.lower(*args).compile()
    return self._compiled

  def peak_bytes(self) -> int | None:
    """Returns the most memory it takes on a device, where that is known."""
    return peak_bytes(self._compiled) if self._compiled else None

  def more_bytes(self) -> int:
    """Returns the memory that it takes on a device beside its arguments.

    0 where that is not known.
    """
    peak = self.peak_bytes()
    if peak is None:
      return 0
    return peak - self._compiled.memory_analysis().argument_size_in_bytes


def peak_bytes(compiled: jax.stages.Compiled) -> int | None:
  """Returns the most memory a program takes, its arguments among it.

  None where the compiler does not report it.
  """
  found = compiled.memory_analysis()
  if not found:
    return None
  # A donated buffer is both an argument and a result.
  return (
    found.argument_size_in_bytes
    + found.output_size_in_bytes
    - found.alias_size_in_bytes
    + found.temp_size_in_bytes
  )
