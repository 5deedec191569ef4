"""Stopping a run on SIGTERM or Ctrl-C without losing what it has done."""

import contextlib
import os
import signal
import sys
import threading


class Stopped(Exception):
  """Raised out of work that may be dropped, such as an evaluation."""


class Stopper:
  """Turns the first signal into a request, and the second into an exit.

  The loop asks `requested` between its dispatches. Inside `droppable()` the
  signal raises Stopped at once.
  """

  def __init__(self):
    self.requested = False
    self._droppable = False
    self._before = {}

  def __enter__(self):
    # Python delivers signals to the main thread alone; elsewhere, as in some
    # notebooks, they keep their meaning.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *error):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  @contextlib.contextmanager
  def droppable(self):
    """The scope of work that a signal interrupts."""
    if self.requested:
      raise Stopped
    self._droppable = True
    try:
      yield
    finally:
      self._droppable = False

  def _handle(self, number, frame):
    del frame
    if self.requested:
      os._exit(128 + number)
    self.requested = True
    print(
      'stopping: saves a checkpoint first; once more leaves at once',
      file=sys.stderr,
      flush=True,
    )
    if self._droppable:
      raise Stopped
