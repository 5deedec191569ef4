"""Metrics and pictures for trackio, https://github.com/gradio-app/trackio.

They go to a database on this machine, in the folder TRACKIO_DIR, which
`trackio show` displays. With TRACKIO_SPACE_ID or TRACKIO_SERVER_URL they go to
a Space of Hugging Face or to a server.
"""

import io
import os
import pathlib
import re
import tempfile
import uuid
from collections.abc import Mapping
from typing import Any

from PIL import Image

from gen_jax.storage.logger import Run


def start(run: Run) -> tuple['TrackioLogger', str]:
  """Starts a run, or continues the one of the identifier."""
  import trackio

  # A run is known by its name, which two workdirs may have.
  stem = re.sub(r'[^\w=-]', '_', run.name)
  name = run.identifier or f'{stem}-{uuid.uuid4().hex[:6]}'
  made = trackio.init(
    project=os.environ.get('TRACKIO_PROJECT') or 'gen_jax',
    name=name,
    resume='allow',
    config=dict(run.config),
    embed=False,  # no dashboard in a notebook
    auto_log_gpu=False,
    auto_log_cpu=False,
  )
  return TrackioLogger(made), name


class TrackioLogger:
  """Adds to a run of trackio, whose thread writes what it gets."""

  def __init__(self, run: Any) -> None:
    self._run = run

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the numbers of a step."""
    self._run.log(dict(values), step=step)

  def image(
    self, step: int, name: str, shape: tuple[int, ...], content: bytes
  ) -> None:
    """Adds a picture or an animation."""
    import trackio

    if len(shape) == 4:
      with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, 'animation.gif')
        file.write_bytes(content)
        self._run.log({name: trackio.Video(file)}, step=step)
    else:
      picture = trackio.Image(Image.open(io.BytesIO(content)))
      self._run.log({name: picture}, step=step)

  def close(self) -> None:
    """Waits until all is written."""
    self._run.finish()
