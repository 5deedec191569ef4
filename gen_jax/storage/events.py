"""Event files for TensorBoard.

The `SummaryWriter` of tensorboardX writes from a thread. On a full disk that
thread ends, its queue fills, and the run then waits for it without end. Here
the caller writes, and gets the error.
"""

import contextlib
import os
import pathlib
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from gen_jax.storage.logger import Run

_FLUSH_SECONDS = 30.0


def start(run: Run) -> tuple['Events', None]:
  """Returns the event files of a run, which need no identifier."""
  return Events(run.workdir / 'tensorboard'), None


class Events:
  """Writes numbers and pictures below a folder."""

  def __init__(self, folder: pathlib.Path) -> None:
    self._folder = folder
    self._records: Any = None  # opened when there is something to write
    self._flushed = time.monotonic()

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the numbers of a step."""
    self._add(
      step, [{'tag': k, 'simple_value': float(v)} for k, v in values.items()]
    )

  def image(
    self, step: int, name: str, shape: tuple[int, ...], content: bytes
  ) -> None:
    """Adds a picture or an animation; TensorBoard shows PNG and GIF files."""
    height, width, channels = shape[-3:]
    picture: dict[str, Any] = dict(
      height=height, width=width, colorspace=channels
    )
    picture['encoded_image_string'] = content
    self._add(step, [{'tag': name, 'image': picture}])

  def close(self) -> None:
    """Writes what is left."""
    if self._records is not None:
      self._records.close()

  def _add(self, step, values):
    records = self._records or self._open()
    self._write(step=step, summary={'value': values})
    if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
      records.flush()
      self._flushed = time.monotonic()

  def _open(self) -> Any:
    with _without('torch'):
      import tensorboardX

    self._folder.mkdir(parents=True, exist_ok=True)
    # Two writers within one second must not have one file.
    names = f'{time.time():.6f}', socket.gethostname(), str(os.getpid())
    file = self._folder / '.'.join(['events.out.tfevents', *names])
    self._records = tensorboardX.RecordWriter(str(file))
    self._write(file_version='brain.Event:2')
    return self._records

  def _write(self, **fields):
    from tensorboardX.proto.event_pb2 import Event

    event = Event(wall_time=time.time(), **fields)
    self._records.write(event.SerializeToString())


@contextlib.contextmanager
def _without(package):
  """Imports as if a package were not there, unless it is in use already.

  TensorBoardX takes two seconds to import PyTorch for the name of a type.
  """
  if package in sys.modules:
    yield
    return
  modules: Any = sys.modules
  modules[package] = None
  try:
    yield
  finally:
    del modules[package]
