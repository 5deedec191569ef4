"""The first act of every command: signals, and what libraries may print.

This module imports only what Python has loaded anyway, so that `begin` comes
before anything that takes time.
"""

import os
import signal
import sys

from gen_jax.runtime import messages

_MESSAGES = {signal.SIGINT: 'interrupted', signal.SIGTERM: 'terminated'}

# What these log is either handled by our code, which then says so in a line of
# its own, or concerns only the developers of the libraries.
_SILENT = (
  'absl',
  'alembic',
  'asyncio',
  'concurrent',
  'etils',
  'fsspec',
  'gcsfs',
  'google',
  'matplotlib',
  'mlflow',
  'orbax',
  'PIL',
  's3fs',
  'tensorboardX',
  'tensorflow',
  'tensorflow_datasets',
  'urllib3',
)

# Files that are not yet whole, to be removed when the process ends at once.
unfinished: set[str] = set()

_leaving: list[int] = [0]  # whoever takes the item ends the process


def begin() -> None:
  """Prepares the process of a command; to be called before its imports.

  From here on, SIGINT (Ctrl-C) and SIGTERM end the process at once with one
  line and exit code 130 or 143, until another handler takes over, such as
  `gen_jax.training.signals.Stopper`. Messages of libraries are
  collected in `messages.hidden` instead of printed. Libraries that use this
  code do not call it.
  """
  for number in _MESSAGES:
    # A program in the background of a script ignores Ctrl-C, as is usual.
    if signal.getsignal(number) is not signal.SIG_IGN:
      signal.signal(number, _leave)
  _watch()
  # Names of files may have letters of any kind. A notebook's has no encoding.
  if hasattr(sys.stdout, 'reconfigure'):
    sys.stdout.reconfigure(errors='backslashreplace')
  if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget)
  if not messages.debugs():
    _silence()


def _leave(number, frame=None) -> None:
  """Ends the process without unwinding it.

  An exception would be lost or replaced where it is raised within an import, a
  callback or a destructor. All files are written so that a process may be
  killed at any time.
  """
  del frame
  try:
    _leaving.pop()
  except IndexError:  # the other thread ends it
    return
  for file in tuple(unfinished):
    try:
      os.unlink(file)
    except OSError:
      pass
  # The terminal shows ^C in the line of the cursor.
  start = '\n' if os.isatty(2) else ''
  try:
    os.write(2, f'{start}gen_jax: {_MESSAGES[number]}\n'.encode())
  except OSError:  # nobody listens
    pass
  os._exit(128 + number)


def _forget() -> None:
  """Lets a forked process end by itself, without the files of its parent."""
  unfinished.clear()
  signal.set_wakeup_fd(-1)
  for number in _MESSAGES:
    if signal.getsignal(number) is _leave:
      signal.signal(number, signal.SIG_DFL)


def _watch() -> None:
  """Ends the process also while its main thread computes or waits in C++.

  Python runs handlers in the main thread, between two of its instructions,
  which may take minutes when XLA compiles or processes wait for each other.
  """
  import threading

  if not hasattr(os, 'set_blocking'):  # Windows before Python 3.12
    return
  read, write = os.pipe()
  os.set_blocking(write, False)

  def wait():
    while True:
      for number in os.read(read, 1):
        if number in _MESSAGES and signal.getsignal(number) is _leave:
          _leave(number)

  threading.Thread(target=wait, daemon=True, name='signals').start()
  signal.set_wakeup_fd(write, warn_on_full_buffer=False)


def _silence() -> None:
  """Collects what libraries would print, and shows what concerns the user."""
  import logging
  import threading
  import traceback
  import warnings

  # The C++ of XLA and TensorStore prints errors, and no warnings.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

  class Handler(logging.Handler):
    """Shows warnings as one line each, without tracebacks."""

    def emit(self, record):
      messages.hide(self.format(record))
      if record.name.split('.')[0] not in _SILENT:
        messages.show(record.getMessage())

  handler = Handler(logging.WARNING)
  handler.setFormatter(logging.Formatter('%(name)s: %(message)s'))
  logging.root.addHandler(handler)  # so that `logging.lastResort` is not used

  def warn(message, category, filename, lineno, file=None, line=None):
    messages.hide(
      warnings.formatwarning(message, category, filename, lineno, line)
    )
    if _is_ours(filename) or not _is_of_library(filename):
      messages.show(str(message))

  if not sys.warnoptions:  # the user's own choice
    warnings.showwarning = warn

  def thread_failed(args):
    messages.hide(_format(args.exc_type, args.exc_value, args.exc_traceback))
    frames = traceback.extract_tb(args.exc_traceback)
    # Libraries hand over the errors of their threads; ours should not fail.
    if frames and _is_ours(frames[-1].filename):
      messages.show(
        f'a thread ended with {args.exc_type.__name__}: {args.exc_value}'
      )

  threading.excepthook = thread_failed
  sys.unraisablehook = lambda args: messages.hide(
    _format(args.exc_type, args.exc_value, args.exc_traceback)
  )
  sys.excepthook = _excepthook


def _excepthook(kind, error, trace):
  """Reports what ends the process, such as an import that fails.

  C++ code calls it as well, for errors in callbacks, after which the process
  goes on.
  """
  import threading

  main = threading.get_ident() == threading.main_thread().ident
  if not main or (trace is not None and trace.tb_frame.f_back is not None):
    messages.hide(_format(kind, error, trace))
    return
  from gen_jax.runtime import reporting  # slow to import

  reporting.report(error)


def _format(kind, error, trace):
  import traceback

  return ''.join(traceback.format_exception(kind, error, trace))


def _is_ours(filename):
  folder = os.path.join(os.path.dirname(os.path.dirname(__file__)), '')
  return os.path.abspath(filename).startswith(folder)


def _is_of_library(filename):
  """Whether a file is installed, and not the user's own config or features."""
  import sysconfig

  path = os.path.abspath(filename)
  installed = '/site-packages/' in path or '/dist-packages/' in path
  return installed or path.startswith(sysconfig.get_path('stdlib') + os.sep)
