"""Messages of libraries, shown as one line or kept for an error report.

This module imports only what Python has loaded anyway.
"""

import os
import sys

# Messages that were not shown, newest last. The report of an unexpected error
# includes them.
hidden: list[str] = []
_KEPT = 100  # messages


def debugs() -> bool:
  """Returns whether the user wants to see everything: GEN_JAX_DEBUG=1."""
  return os.environ.get('GEN_JAX_DEBUG', '0') not in ('', '0')


def hide(text: str) -> None:
  """Keeps a message for the report of an unexpected error."""
  hidden.append(text.rstrip())
  del hidden[:-_KEPT]


def show(text: str) -> None:
  """Prints a message as one line."""
  line = ' '.join(text.split())
  print(f'gen_jax: {line}', file=sys.stderr, flush=True)
