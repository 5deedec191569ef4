"""Writes the metrics and images of a run: JSON lines, PNG, GIF, loggers."""

import contextlib
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from gen_jax.storage import cloud, loggers
from gen_jax.storage.images import read_picture, save_image

# The name of the animation over training, and its largest number of frames.
_STEP_MILLISECONDS = 200
_FRAMES = 100


class Writer:
  """Writes the metrics and images of a run below its workdir.

  `metrics.jsonl` has one JSON object a line: the step, then names and values.
  Images are `images/<name>/<step>.png`, animations `<step>.gif`. All go to
  the loggers too, such as TensorBoard. At the end of a run
  `images/<name>/over_time.gif` shows the pictures of a name one after another.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    resume_step: int | None = 0,
    log: Sequence[str] = loggers.DEFAULT,
    config: Mapping[str, Any] | None = None,
  ) -> None:
    """Opens the files; lines of steps after `resume_step` are dropped.

    They were written after the checkpoint from which the run goes on, and
    will be written again. So is half a line, of a process that was killed.
    With None all whole lines are kept. With a negative step, loggers show
    another run than the one from before.

    Args:
      workdir: of the run.
      resume_step: of the checkpoint from which the run goes on.
      log: names of loggers.
      config: of the run, for the loggers, as JSON holds it.

    Raises:
      InputError: when a logger cannot be started.
    """
    with _named(workdir):
      workdir.mkdir(parents=True, exist_ok=True)
    resumes = resume_step is None or resume_step >= 0
    self._loggers = loggers.start(log, workdir, config or {}, resumes)
    self._workdir = workdir
    self._path = workdir / 'metrics.jsonl'
    self._recorded: set[tuple[int, str]] = set()
    self.latest: dict[str, Any] = {}  # newest value of each name
    kept = []
    for line in read_metrics(self._path):
      if resume_step is None or line['step'] <= resume_step:
        kept.append(line)
        self._note(line['step'], line)
    text = ''.join(json.dumps(line) + '\n' for line in kept)
    partial = self._path.with_suffix('.partial')
    with _named(self._path):
      partial.write_text(text)
      partial.replace(self._path)
    # A cloud appends to no file: there it is written anew.
    self._local = isinstance(self._path, pathlib.Path)
    self._file: Any = self._path.open('a') if self._local else None
    self._text = '' if self._local else text

  def recorded(self, step: int, prefix: str) -> bool:
    """Whether a line of this step has a name that starts with `prefix/`."""
    return (step, prefix) in self._recorded

  def history(self, name: str) -> list[tuple[int, Any]]:
    """Returns the steps and values of a name, oldest first."""
    lines = read_metrics(self._path)
    return [(line['step'], line[name]) for line in lines if name in line]

  def scalars(self, step: int, values: Mapping[str, Any]) -> None:
    """Writes one line of numbers; text is kept beside them as it is."""
    values = {k: _plain(v) for k, v in values.items()}
    line = json.dumps({'step': step, **values}) + '\n'
    with _named(self._path):
      if self._local:
        self._file.write(line)
        self._file.flush()
      else:
        self._text += line
        self._path.write_text(self._text)
    self._note(step, values)
    numbers = {k: v for k, v in values.items() if isinstance(v, int | float)}
    if numbers:
      for logger in self._loggers:
        logger.scalars(step, numbers)

  def image(self, step: int | None, name: str, image: np.ndarray) -> str:
    """Writes a picture, uint8 [H, W, C], or an animation, uint8 [T, H, W, C].

    Returns its name in the workdir.
    """
    suffix = 'gif' if image.ndim == 4 else 'png'
    file = f'images/{name}' if step is None else f'images/{name}/{step}'
    file = f'{file}.{suffix}'
    with _named(self._workdir / file):
      save_image(self._workdir / file, image)
    if step is not None and self._loggers:
      content = (self._workdir / file).read_bytes()
      for logger in self._loggers:
        logger.image(step, name, image.shape, content)
    return file

  def failure(self, step: int, name: str, text: str) -> str:
    """Writes the traceback of an evaluator that failed; returns its path."""
    path = self._workdir / 'failures' / f'{name}-{step}.txt'
    with _named(path):
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text)
    return str(path)

  def animate(self) -> None:
    """Makes `images/<name>/over_time.gif` of the pictures of every name.

    They are read from the workdir, so that those from before a resume are in
    it. Of many about a hundred are shown; all are as large as the last.
    """
    folder = self._workdir / 'images'
    by_name: dict[Any, list] = {}
    for file in cloud.files(folder):
      if file.suffix == '.png' and file.stem.isdecimal():
        by_name.setdefault(file.parent, []).append(file)
    for name, files in by_name.items():
      files.sort(key=lambda file: int(file.stem))
      if len(files) < 2:
        continue
      chosen = files[:: math.ceil(len(files) / _FRAMES)]
      if chosen[-1] != files[-1]:
        chosen.append(files[-1])
      pictures = [x for x in map(read_picture, chosen) if x is not None]
      if len(pictures) < 2:
        continue
      size = pictures[-1].size
      frames = [
        np.asarray(picture.resize(size, Image.Resampling.NEAREST))
        for picture in pictures
      ]
      file = name / 'over_time.gif'
      with _named(file):
        save_image(file, np.stack(frames), _STEP_MILLISECONDS)

  def close(self) -> None:
    """Flushes and closes everything."""
    if self._local:
      # Every line was flushed, and an error of it raised.
      with contextlib.suppress(OSError):
        self._file.close()
    for logger in self._loggers:
      logger.close()

  def _note(self, step, values):
    self._recorded |= {(step, k.split('/')[0]) for k in values}
    self.latest |= {k: v for k, v in values.items() if k != 'step'}


@contextlib.contextmanager
def _named(path):
  """Gives an error of the disk the name of the file, which it may lack."""
  try:
    yield
  except OSError as error:
    text = error.strerror or str(error)
    raise OSError(error.errno, text, str(path)) from error


class NullWriter:
  """Takes what a Writer takes, and writes nothing: for all processes but 0."""

  def __init__(
    self,
    workdir: pathlib.Path,
    resume_step: int | None = 0,
    log: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
  ) -> None:
    del workdir, resume_step, log, config
    self.latest: dict[str, Any] = {}

  def recorded(self, step: int, prefix: str) -> bool:
    """Returns False: nothing is recorded."""
    return False

  def history(self, name: str) -> list[tuple[int, Any]]:
    """Returns no values."""
    return []

  def scalars(self, step: int, values: Mapping[str, Any]) -> None:
    """Keeps the newest values."""
    self.latest |= {k: _plain(v) for k, v in values.items()}

  def image(self, step: int | None, name: str, image: np.ndarray) -> str:
    """Writes nothing; returns the name."""
    return name

  def failure(self, step: int, name: str, text: str) -> str:
    """Writes nothing; returns the name."""
    return name

  def animate(self) -> None:
    """Does nothing."""

  def close(self) -> None:
    """Does nothing."""


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the whole lines of a `metrics.jsonl`, oldest first.

  Others are skipped: half a line, what a full disk left of one, and what no
  Writer writes.
  """
  if not path.is_file():
    return []
  lines = []
  for content in path.read_bytes().split(b'\n'):
    try:
      line = json.loads(content.decode())
    except (ValueError, RecursionError):
      continue
    if isinstance(line, dict) and all(map(_is_written, line.values())):
      if type(line.get('step')) is int and line['step'] >= 0:
        lines.append(line)
  return lines


def _is_written(value):
  if isinstance(value, int):
    return -(2**63) <= value < 2**64  # as seeds may be
  return isinstance(value, str | float)


def _plain(value):
  if isinstance(value, str | bool):
    return value
  return np.asarray(value).item()
