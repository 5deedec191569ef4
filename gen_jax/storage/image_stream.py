"""Writes images that are generated while they are written."""

import dataclasses
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from gen_jax.errors import InputError
from gen_jax.storage import outputs, plot
from gen_jax.storage.images import Sheet, encode_png, save_image

KINDS = (outputs.PICTURE, outputs.NPZ, outputs.FOLDER)

_LABELS = 2**16  # that are written at a time
_IMAGES = 4096  # in one picture
_POINTS = 1_000_000


@dataclasses.dataclass(frozen=True)
class ImageStream:
  """Images that are generated when they are asked for.

  Attributes:
    count: of all images.
    parts: uint8 [N, H, W, C] or points float32 [N, 1, 1, 2], in order.
    columns: of a picture of all; None for about as many as rows.
    labels: `indices [N] -> classes [N]`, or None without classes.
    names: of the files in a folder, in PNG; None to number them.
  """

  count: int
  parts: Iterable[np.ndarray]
  columns: int | None = None
  labels: Callable[[np.ndarray], np.ndarray] | None = None
  names: Sequence[str] | None = None

  def name(self, index: int) -> str:
    """Returns the name of an image in a folder."""
    return self.names[index] if self.names else f'{index:06d}.png'


def write(
  out: outputs.Out, stream: ImageStream, notes: Mapping[str, int]
) -> None:
  """Writes all images; only a picture needs them at once.

  Args:
    out: of one of KINDS.
    stream: the images.
    notes: numbers that a .npz holds beside them.

  Raises:
    InputError: when there are more images than a picture or the disk can hold.
  """
  parts = _shown(stream)
  first = next(parts)
  check(out, stream, first)
  parts = itertools.chain([first], parts)
  if out.kind == outputs.NPZ:
    shape = (stream.count, *first.shape[1:])
    whole = outputs.Stream(shape, first.dtype, parts)
    arrays: dict[str, Any] = {'images': whole, **notes}
    if stream.labels is not None:
      starts = range(0, stream.count, _LABELS)
      labels = (
        stream.labels(np.arange(i, min(i + _LABELS, stream.count)))
        for i in starts
      )
      arrays['labels'] = outputs.Stream((stream.count,), np.int32, labels)
    if stream.names:
      arrays['names'] = np.array(stream.names)
    outputs.write_npz(out.path, arrays)
  elif plot.is_points(first):
    save_image(out.path, plot.scatter(np.concatenate(list(parts))))
  elif out.kind == outputs.FOLDER:
    for index, image in enumerate(itertools.chain.from_iterable(parts)):
      save_image(out.path / stream.name(index), image)
  else:
    sheet = Sheet(stream.count, first.shape[1:], stream.columns)
    for index, image in enumerate(itertools.chain.from_iterable(parts)):
      sheet.place(index, image)
    save_image(out.path, sheet.pixels)


def _shown(stream: ImageStream) -> Iterator[np.ndarray]:
  """Yields the parts, and shows in a terminal how far they are."""
  with tqdm(total=stream.count, desc='samples', disable=None, delay=1) as bar:
    for images in stream.parts:
      yield images
      bar.update(len(images))


def check(out: outputs.Out, stream: ImageStream, first: np.ndarray) -> None:
  """Checks that a picture or the disk can hold all images.

  Args:
    out: where they are to be written.
    stream: the images.
    first: part of the stream.

  Raises:
    InputError: when there are too many of them, or points are to be a folder.
  """
  count, points = stream.count, plot.is_points(first)
  if out.kind == outputs.FOLDER and points:
    raise InputError(
      f'--out={out}: this model draws points, which are no images: write '
      '--out=NAME.png or --out=NAME.npz.'
    )
  if out.kind == outputs.PICTURE:
    height, width = (size + 2 for size in first.shape[1:3])  # with the edge
    # Readers take a larger picture for an attack.
    most = min(_IMAGES, Image.MAX_IMAGE_PIXELS // (height * width))
    most = _POINTS if points else max(most, 1)
    if count > most:
      folder = '' if points else ' or a folder, --out=NAME/'
      raise InputError(
        f'--out={out}: a picture holds {most:,} of these samples at most, and '
        f'{count:,} are asked for. Take fewer, or write --out=NAME.npz{folder}.'
      )
  few = first[: max(1, 2**22 // first[0].nbytes)]  # compressed in no time
  if out.kind == outputs.FOLDER:
    size = sum(outputs.on_disk(len(encode_png(image))) for image in few)
  else:
    size = len(zlib.compress(few.tobytes()))
  fix = 'Take fewer images, or another disk.'
  outputs.check_room(out, count * size / len(few), fix)
