"""Stopping a run on SIGTERM or Ctrl-C without losing what it has done."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Generator

from gen_jax.distributed import process_group


class Stopped(BaseException):
  """Raised out of work that may be dropped, such as an evaluation.

  It is no Exception, so that work which catches errors does not catch it.
  """


class Stopper:
  """Turns the first signal into a request, and the second into an exit.

  The loop asks `requested` between its dispatches. Inside `droppable()` the
  signal raises Stopped at once.
  """

  def __init__(self) -> None:
    self.requested = False
    self._droppable = False
    self._before = {}

  def __enter__(self) -> 'Stopper':
    # Python delivers signals to the main thread alone; elsewhere, as in some
    # notebooks, they keep their meaning.
    if threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        self._before[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *error: object) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def agreed(self) -> bool:
    """Whether the processes of the run stop now; each of them has to ask."""
    if self.requested:
      process_group.set_flag('stop')
    self.requested = process_group.broadcast(
      lambda: self.requested or process_group.flag_is_set('stop')
    )
    return self.requested

  @contextlib.contextmanager
  def droppable(self) -> Generator[None]:
    """The scope of work that a signal interrupts.

    Not among many processes, which work on it together; there it is finished.
    """
    if self.agreed():
      raise Stopped
    if process_group.count() > 1:
      yield
      return
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
      'stopping after a checkpoint; press Ctrl-C again to exit immediately',
      file=sys.stderr,
      flush=True,
    )
    if self._droppable:
      raise Stopped
