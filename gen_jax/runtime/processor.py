"""What the processor of this machine multiplies fast."""

import functools
import pathlib

import jax

# Names that Linux has for such instructions, of x86 and of ARM.
_BFLOAT16 = {'amx_bf16', 'avx512_bf16', 'bf16', 'svebf16'}
_CPUINFO = pathlib.Path('/proc/cpuinfo')


def precision_warning(precision: str) -> str:
  """Returns what is to be said of `config.precision` here; '' for nothing.

  Args:
    precision: 'float32' or 'bfloat16'.
  """
  if precision == 'float32' or jax.devices()[0].platform != 'cpu':
    return ''
  if multiplies_bfloat16() is not False:
    return ''
  return (
    f'config.precision={precision!r}: this processor has no instructions for '
    "it, and is slower with it than with 'float32'."
  )


def multiplies_bfloat16() -> bool | None:
  """Whether the processor has instructions for it; None if nobody knows."""
  found = instructions()
  return bool(found & _BFLOAT16) if found else None


def instructions() -> frozenset[str]:
  """Returns the names of its instructions; none where Linux does not tell."""
  return _flags(_CPUINFO)


@functools.cache
def _flags(path: pathlib.Path) -> frozenset[str]:
  try:
    lines = path.read_text().splitlines()
  except OSError:
    return frozenset()
  return frozenset(
    flag
    for line in lines
    if line.startswith(('flags', 'Features'))
    for flag in line.split()
  )
