"""The file that describes an unexpected error, for a report to the authors."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys
import tempfile
import traceback

from gen_jax.errors import first_line
from gen_jax.runtime import messages

_PACKAGES = (
  'gen_jax', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy',
)  # fmt: skip


def record(error: BaseException) -> str:
  """Writes a file about an error, and returns a line that names both."""
  if messages.debugs():
    traceback.print_exception(error)
  line = f'unexpected error: {type(error).__name__}: '
  line = (line + first_line(error, 300)).rstrip(': .')
  path = _write(_describe(error))
  if path is None:
    return f'{line}. GEN_JAX_DEBUG=1 shows the traceback: please report it.'
  return f'{line}. The traceback is in {path}: please report it.'


def folder() -> pathlib.Path:
  """Returns where the files are, below $XDG_STATE_HOME or ~/.local/state."""
  home = os.environ.get('XDG_STATE_HOME')
  base = pathlib.Path(home) if home else pathlib.Path.home() / '.local/state'
  return base / 'gen_jax'


def _describe(error):
  texts = [
    f'time: {datetime.datetime.now().astimezone().isoformat()}',
    f'command: {shlex.join([sys.executable, *sys.argv])}',
    f'folder: {_attempt(os.getcwd)}',
    f'python: {sys.version}',
    f'system: {platform.platform()}',
    *(
      f'{name}: {_attempt(importlib.metadata.version, name)}'
      for name in _PACKAGES
    ),
    '',
    ''.join(traceback.format_exception(error)),
  ]
  if messages.hidden:
    texts += ['Messages of libraries, newest last:', '', *messages.hidden]
  return '\n'.join(texts) + '\n'


def _attempt(fn, *args):
  try:
    return fn(*args)
  except (OSError, importlib.metadata.PackageNotFoundError) as error:
    return f'unknown ({type(error).__name__})'


def _write(text):
  """Returns the path of a new file that only the user can read, or None."""
  now = datetime.datetime.now().strftime('%Y%m%d-%H%M%S')
  prefix = f'{now}-{os.getpid()}-'
  for place in (folder, tempfile.gettempdir):
    try:
      path = pathlib.Path(place())
      path.mkdir(mode=0o700, parents=True, exist_ok=True)
      # Made with mode 600, and never through a link.
      number, name = tempfile.mkstemp('.log', prefix, path)
      with os.fdopen(number, 'w', errors='backslashreplace') as file:
        file.write(text)
      return name
    except (OSError, RuntimeError):  # no home, no place, not allowed
      continue
  return None
