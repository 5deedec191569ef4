"""Where numbers and pictures go: JSON lines, TensorBoard, PNG, GIF."""

import contextlib
import io
import json
import math
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from gen_jax.storage import events, outputs

_FRAME_MILLISECONDS = 80  # of an animation
# Of one of training, which has at most about so many.
_STEP_MILLISECONDS = 200
_FRAMES = 100


class Writer:
  """Writes the metrics and images of a run below its workdir.

  `metrics.jsonl` has one JSON object a line: the step, then names and values.
  Images are `images/<name>/<step>.png`, animations `<step>.gif`. All go to
  TensorBoard too, unless the workdir is in a cloud. At the end of a run
  `images/<name>/over_time.gif` shows the pictures of a name one after another.
  """

  def __init__(self, workdir: pathlib.Path, resume_step: int | None = 0):
    """Opens the files; lines of steps after `resume_step` are dropped.

    They were written after the checkpoint from which the run goes on, and
    will be written again. So is half a line, of a process that was killed.
    With None all whole lines are kept.
    """
    self._workdir = workdir
    self._path = workdir / 'metrics.jsonl'
    self._recorded: set[tuple[int, str]] = set()
    self.latest: dict[str, Any] = {}  # newest value of each name
    kept = []
    for line in read_metrics(self._path):
      if resume_step is None or line['step'] <= resume_step:
        kept.append(line)
        self._note(line['step'], line)
    workdir.mkdir(parents=True, exist_ok=True)
    partial = self._path.with_suffix('.partial')
    with _named(self._path):
      partial.write_text(''.join(json.dumps(line) + '\n' for line in kept))
      partial.replace(self._path)
    # A cloud appends to no file: there it is written anew.
    self._local = isinstance(self._path, pathlib.Path)
    self._file = self._path.open('a') if self._local else None
    self._events = events.Events(workdir / 'tensorboard')

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
        self._path.write_text(self._path.read_text() + line)
    self._note(step, values)
    for name, value in values.items():
      if self._local and isinstance(value, int | float):
        self._events.scalar(step, name, value)

  def image(self, step: int | None, name: str, image: np.ndarray) -> str:
    """Writes a picture, uint8 [H, W, C], or an animation, uint8 [T, H, W, C].

    Returns its name in the workdir.
    """
    suffix = 'gif' if image.ndim == 4 else 'png'
    file = f'images/{name}' if step is None else f'images/{name}/{step}'
    file = f'{file}.{suffix}'
    with _named(self._workdir / file):
      save_image(self._workdir / file, image)
    if step is not None and self._local:
      content = (self._workdir / file).read_bytes()
      self._events.image(step, name, image.shape, content)
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
    for name in {file.parent for file in folder.glob('**/*.png')}:
      files = [file for file in name.glob('*.png') if file.stem.isdecimal()]
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
        np.asarray(picture.resize(size, Image.NEAREST)) for picture in pictures
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
    self._events.close()

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

  def __init__(self, workdir: pathlib.Path, resume_step: int | None = 0):
    del workdir, resume_step
    self.latest: dict[str, Any] = {}

  def recorded(self, step: int, prefix: str) -> bool:
    return False

  def history(self, name: str) -> list[tuple[int, Any]]:
    return []

  def scalars(self, step: int, values: Mapping[str, Any]) -> None:
    self.latest |= {k: _plain(v) for k, v in values.items()}

  def image(self, step: int | None, name: str, image: np.ndarray) -> str:
    return name

  def failure(self, step: int, name: str, text: str) -> str:
    return name

  def animate(self) -> None:
    pass

  def close(self) -> None:
    pass


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


def read_picture(path: pathlib.Path) -> Image.Image | None:
  """Reads a picture as RGB; one that is damaged is named, and None returned."""
  try:
    with path.open('rb') as file, Image.open(file) as image:
      return image.convert('RGB')
  except Exception as error:  # Pillow raises errors of many kinds
    print(
      f'{path} is left out: it cannot be read ({error}).',
      file=sys.stderr,
      flush=True,
    )
    return None


def save_image(
  path: pathlib.Path,
  image: np.ndarray,
  milliseconds: int = _FRAME_MILLISECONDS,
) -> None:
  """Writes uint8 [H, W, C], C of 1, 3 or 4, as PNG or what the name says.

  [T, H, W, C] becomes an animation that is repeated for ever, of so many
  milliseconds a frame; its name is to end in .gif.
  """
  image = np.asarray(image)
  frames = image if image.ndim == 4 else image[None]
  first, *others = (
    Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in frames
  )
  kind = Image.registered_extensions()[path.suffix.lower()]
  if kind == 'JPEG' and first.mode == 'RGBA':
    first = first.convert('RGB')
  moving = dict(
    save_all=True,
    append_images=others,
    duration=milliseconds,
    loop=0,
  )
  with outputs.replaced(path) as partial, partial.open('wb') as file:
    try:
      first.save(file, format=kind, **(moving if image.ndim == 4 else {}))
    except ValueError as error:  # such as a picture too large for its format
      raise OSError(str(error)) from error


def encode_png(image: np.ndarray) -> bytes:
  """Returns uint8 [H, W, C] as the content of a PNG file."""
  file = io.BytesIO()
  Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(
    file, format='png'
  )
  return file.getvalue()


def to_unit(images: np.ndarray, pixels: str) -> np.ndarray:
  """Turns the networks' pixels, 'unit' or 'symmetric', into [0, 1]."""
  images = np.asarray(images, np.float32)
  if pixels == 'symmetric':
    images = (images + 1) / 2
  return np.clip(images, 0, 1)


def to_uint8(images: np.ndarray, pixels: str) -> np.ndarray:
  """Turns the networks' pixels, 'unit' or 'symmetric', into uint8."""
  return np.round(to_unit(images, pixels) * 255).astype(np.uint8)


class Sheet:
  """One picture of images [H, W, C], row by row, on white.

  Attributes:
    pixels: uint8 [H', W', C].
  """

  def __init__(
    self,
    count: int,
    shape: tuple[int, int, int],
    columns: int | None = None,
    pad: int = 2,
  ):
    height, width, channels = shape
    self._columns = columns or math.ceil(math.sqrt(count))
    self._pad = pad
    rows = math.ceil(count / self._columns)
    self.pixels = np.full(
      (
        rows * (height + pad) + pad,
        self._columns * (width + pad) + pad,
        channels,
      ),
      255,
      np.uint8,
    )

  def place(self, index: int, image: np.ndarray) -> None:
    """Puts uint8 [H, W, C] where the image of an index belongs."""
    (y, x), (height, width, _) = divmod(index, self._columns), image.shape
    top = self._pad + y * (height + self._pad)
    left = self._pad + x * (width + self._pad)
    self.pixels[top : top + height, left : left + width] = image


def grid(images: np.ndarray, columns: int | None = None, pad: int = 2):
  """Lays uint8 [N, H, W, C] out as one picture, row by row, on white."""
  sheet = Sheet(len(images), images.shape[1:], columns, pad)
  for index, image in enumerate(images):
    sheet.place(index, image)
  return sheet.pixels


def _plain(value):
  if isinstance(value, str | bool):
    return value
  return np.asarray(value).item()
