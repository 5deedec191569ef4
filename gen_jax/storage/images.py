"""Images as files and as grids: uint8 [H, W, C]."""

import io
import math
import pathlib
import sys

import numpy as np
from PIL import Image

from gen_jax.data.formats.images import from_array
from gen_jax.storage import outputs

_FRAME_MILLISECONDS = 80  # of an animation


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
  first, *others = map(from_array, frames)
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
  from_array(image).save(file, format='png')
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
  ) -> None:
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


def grid(
  images: np.ndarray, columns: int | None = None, pad: int = 2
) -> np.ndarray:
  """Lays uint8 [N, H, W, C] out as one picture, row by row, on white."""
  sheet = Sheet(len(images), images.shape[1:], columns, pad)
  for index, image in enumerate(images):
    sheet.place(index, image)
  return sheet.pixels
