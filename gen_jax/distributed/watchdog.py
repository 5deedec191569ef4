"""Ends all processes of a run when one of them ends."""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Generator
from typing import Any

import jax

from gen_jax.distributed import collectives, connection
from gen_jax.distributed.process_group import CommonError, client, key
from gen_jax.errors import EvaluationError, InputError, NonFiniteError
from gen_jax.runtime import crash, jax_private

LOST = 4  # exit code when another process ended
# Seconds between two signs of life, and without one until a process counts as
# dead. Importing and compiling may hold the interpreter for seconds.
_BEAT, _PATIENCE = 2.0, 30.0

# Every process raises these, so that all end alike and in order: the loss is
# the same on each, and they agree on the evaluators that failed.
_SHARED = (CommonError, EvaluationError, NonFiniteError)

_aborting = threading.Event()  # this process ends by itself


@contextlib.contextmanager
def joined(*flags: Any) -> Generator[None]:
  """The scope of a run: connects as `connect` does, and ends with the others.

  Within it a process that dies, or ends with an error, ends all others within
  a minute with a line that says so.
  """
  watch = _Watch()
  connection.connect(*flags, lost=watch.lost)
  if _count() == 1:
    yield
    return
  watch.start()
  try:
    collectives.warm_up_collectives()
    yield
  except Exception as error:
    if not isinstance(error, _SHARED):
      abort_all(error)
    _finish(watch)
    raise
  _finish(watch)


def abort_all(error: BaseException) -> None:
  """Ends this process at once and the others with it, so that none waits.

  Returns in a run of one process, and after an error that every process
  raises. The exit code is that of the error.
  """
  if _count() == 1 or isinstance(error, _SHARED):
    return
  failed = _collective(error)
  error = failed or error
  text = ' '.join(str(error).split())
  if failed:
    time.sleep(2 * _BEAT)  # the watch may hear how that one ended
    text = f'{type(error).__name__}: {text[:400]}.{_HINT}'
    text = f'a computation of all processes failed. {text}'
  elif not isinstance(error, InputError):
    text = crash.record(error) + _HINT
  _aborting.set()
  with contextlib.suppress(Exception):
    client().key_value_set(key('left', _index()), text)
  if _index() == 0:  # where the others hear of it, while it lives
    time.sleep(2 * _BEAT)
  _exit(text, getattr(error, 'exit_code', LOST))


def _collective(error: BaseException | None) -> BaseException | None:
  """Returns the failure of a computation of all processes behind an error.

  Another process has then ended, maybe in the middle of a checkpoint, so that
  the error itself speaks of that.
  """
  while error is not None:
    if not isinstance(error, InputError) and 'Gloo' in str(error):
      return error
    error = error.__cause__ or error.__context__
  return None


def _finish(watch: '_Watch') -> None:
  # The service lives in process 0, which has to be the last to go.
  client().wait_at_barrier('gen_jax/finished', 600_000)
  watch.stop()
  jax.distributed.shutdown()


class _Watch(threading.Thread):
  """Gives signs of life, and ends this process when another gives none.

  While the main thread waits for another process it needs the interpreter
  only for moments, also in a computation or while XLA compiles.
  """

  def __init__(self) -> None:
    super().__init__(daemon=True)
    self._stopped = threading.Event()

  def stop(self) -> None:
    self._stopped.set()
    self.join()

  def lost(self) -> None:
    """Ends this process, because process 0 closed a connection."""
    if not self._stopped.is_set():
      _exit('process 0 ended or cannot be reached.' + _HINT, LOST)

  def run(self):
    service, me = client(), _index()
    last = {i: ('', time.monotonic()) for i in range(_count())}
    del last[me]
    beat = 0
    while not self._stopped.wait(_BEAT):
      beat += 1
      now = time.monotonic()
      try:
        with _at_most(_PATIENCE):
          service.key_value_set(
            key('beat', me), str(beat), allow_overwrite=True
          )
          found = dict(service.key_value_dir_get('gen_jax/left'))
          beats = dict(service.key_value_dir_get('gen_jax/beat'))
      except Exception:
        self.lost()
        return
      if _aborting.is_set():
        return
      for name, text in found.items():
        _exit(f'process {name.rpartition("/")[2]} ended: {text}', LOST)
      for process, (old, since) in last.items():
        new = beats.get(key('beat', process), '')
        if new != old:
          last[process] = (new, now)
        elif now - since > _PATIENCE:
          with contextlib.suppress(Exception):
            service.key_value_set(
              key('left', process), 'it gave no sign of life.' + _HINT
            )
          _exit(
            f'process {process} gave no sign of life for {_PATIENCE:.0f} s.'
            + _HINT,
            LOST,
          )


_HINT = ' Start all processes again: the run goes on from its last checkpoint.'


@contextlib.contextmanager
def _at_most(seconds):
  """Ends this process when process 0 answers nothing for so long."""
  text = f'process 0 gave no sign of life for {seconds:.0f} s.{_HINT}'
  timer = threading.Timer(seconds, _exit, (text, LOST))
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


# The backend, which jax.process_count() starts, may wait for other processes.
def _count():
  return jax_private.coordination().num_processes


def _index():
  return jax_private.coordination().process_id


_ending = threading.Lock()  # several threads may notice the same loss


def _exit(text, code):
  _ending.acquire()  # and is not released: one line, of the first
  where = f'process {_index()} of {_count()}'
  host = socket.gethostname()
  print(f'gen_jax: {text} ({where}, on {host})', file=sys.stderr, flush=True)
  os._exit(code)
