"""Event files for TensorBoard, which never stop a run.

The `SummaryWriter` of tensorboardX writes from a thread. On a full disk that
thread ends, its queue fills, and the run then waits for it without end. Here
the caller writes, and a failure costs these files alone.
"""

import contextlib
import os
import pathlib
import socket
import sys
import time
from typing import Any

_FLUSH_SECONDS = 30.0


class Events:
  """Writes numbers and pictures below a folder until that fails."""

  def __init__(self, folder: pathlib.Path) -> None:
    self._folder = folder
    self._records: Any = None  # opened when there is something to write
    self._ended = False
    self._flushed = time.monotonic()

  def scalar(self, step: int, name: str, value: int | float) -> None:
    """Adds a number."""
    self._add(step, {'tag': name, 'simple_value': float(value)})

  def image(
    self, step: int, name: str, shape: tuple[int, ...], content: bytes
  ) -> None:
    """Adds a picture or an animation.

    Args:
      step: of the training.
      name: under which it is shown.
      shape: [..., H, W, C].
      content: of a PNG or GIF file. TensorBoard shows both as they are.
    """
    height, width, channels = shape[-3:]
    picture: dict[str, Any] = dict(
      height=height, width=width, colorspace=channels
    )
    picture['encoded_image_string'] = content
    self._add(step, {'tag': name, 'image': picture})

  def close(self) -> None:
    """Writes what is left; what comes later is dropped."""
    with self._survives():
      if self._records is not None:
        self._records.close()
    self._ended = True

  def _add(self, step, value):
    if self._ended:
      return
    with self._survives():
      records = self._records or self._open()
      self._write(step=step, summary={'value': [value]})
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
  def _survives(self):
    """Takes an error of the disk for the end of these files."""
    try:
      yield
    except OSError as error:
      self._ended = True
      if self._records is not None:
        with contextlib.suppress(OSError):  # of what is left in its buffer
          self._records.close()
      print(
        f'TensorBoard files in {self._folder} cannot be written: '
        f'{error.strerror or error}. The run continues without them; '
        'metrics.jsonl and images/ have the same.',
        file=sys.stderr,
        flush=True,
      )


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
