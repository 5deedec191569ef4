"""Images of any size and mode, brought to the one shape that a model takes."""

import concurrent.futures
import functools
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from gen_jax.data import inputs
from gen_jax.data.formats import pixels
from gen_jax.errors import InputError
from gen_jax.registry.fields import Shape

_ORIENTATION = 0x0112  # the EXIF tag
MAX_PIXELS = 100_000_000

_NO_RANGES: pixels.Ranges = MappingProxyType({})
_MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}


def check_shape(shape: Iterable[int]) -> Shape:
  """Returns (H, W, C) as a tuple of ints.

  Raises:
    InputError: it is not three positive numbers, C is not 1, 3 or 4, or it has
      more than 100 megapixels.
  """
  try:
    h, w, c = map(int, shape)
  except (TypeError, ValueError, OverflowError):
    h, w, c = 0, 0, 0
  if h < 1 or w < 1 or c not in _MODES:
    raise InputError(
      f'data.shape: {shape} is not (height, width, channels) with 1 (gray), 3 '
      '(RGB) or 4 (RGBA) channels.'
    )
  if h * w > MAX_PIXELS:
    raise InputError(
      f'data.shape: {shape} has more than {MAX_PIXELS // 10**6} megapixels.'
    )
  return h, w, c


def open_image(file: str | os.PathLike | bytes) -> Image.Image:
  """Reads an image's header; the pixels are decoded on first use.

  Pillow raises errors of many kinds on a damaged file, now or later; callers
  open and decode within `inputs.reading`.

  Args:
    file: a path, or the encoded bytes.

  Raises:
    ValueError: it is no image, or the header promises more than 100
      megapixels: decoding such a file could exhaust the memory (a
      "decompression bomb").
    OSError: there is no such file, or it is a pipe or a device.
  """
  if not isinstance(file, bytes):
    inputs.check_regular(file)
  try:
    image = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)
    width, height = image.size
    if width * height > MAX_PIXELS:
      image.close()
      raise Image.DecompressionBombError(f'{width}x{height} pixels')
  except Image.DecompressionBombError as e:
    raise ValueError(f'more than {MAX_PIXELS // 10**6} megapixels ({e})') from e
  except UnidentifiedImageError as e:
    raise ValueError('not an image') from e
  return image


Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


def extent(image: Image.Image) -> pixels.Extent | None:
  """Returns the extent of pixels of more than 8 bits, None for others.

  Only an image with such pixels is decoded.

  Raises:
    ValueError: some are not finite; further errors are those of Pillow.
  """
  if _is_wide(image):
    return pixels.extent(np.asarray(image))
  return color_extent(image)


def color_extent(image: Image.Image) -> pixels.Extent | None:
  """Returns the extent of colors of 16 bits, None for other pixels.

  Only an image with such colors is decoded.
  """
  # Pillow has no mode for colors of 16 bits, which it reduces as it reads them;
  # those of PPM files are scaled by the largest value that their header names.
  tiles = () if _is_wide(image) else getattr(image, 'tile', ())
  if any(';16' in str(tile.args) for tile in tiles):
    _, low, high = pixels.extent(np.asarray(image.convert('RGB')))
    return pixels.Extent(pixels.COLOR, 256 * low, 256 * high + 255)
  return None


def fit(
  image: Image.Image,
  shape: Shape,
  box: Box | None = None,
  ranges: pixels.Ranges = _NO_RANGES,
) -> np.ndarray:
  """Returns an image as uint8 [H, W, C].

  The camera's orientation is applied; transparency is composited on white
  where C is 1 or 3; the center is cropped to the aspect ratio of the shape
  and resized with an antialiased Lanczos filter. An image that has the shape
  is returned as it is.

  Args:
    image: of any size and mode.
    shape: (H, W, C), with C of 1 (gray), 3 (RGB) or 4 (RGBA).
    box: the part of the image that counts; all of it if None.
    ranges: how pixels of more than 8 bits are mapped to 0..255.

  Raises:
    ValueError: there is no range for the pixels of this image.
  """
  if box is not None:
    image = image.crop(box)
  return _fit_upright(ImageOps.exif_transpose(image), shape, ranges)


def fit_array(images: np.ndarray, shape: Shape) -> np.ndarray:
  """Does the same for a batch: uint8 [N, h, w, c] -> [N, H, W, C]."""
  if images.shape[1:] == tuple(shape):
    return images
  out = np.empty((len(images), *shape), np.uint8)
  # Not in threads: so little work per image is slower there.
  for x, y in zip(images, out, strict=True):
    y[...] = _fit_upright(from_array(x), shape)
  return out


def from_array(image: np.ndarray) -> Image.Image:
  """Returns uint8 [H, W, C] as an image of Pillow; C is 1, 3 or 4."""
  return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def read_file(
  path: pathlib.Path,
  shape: Shape,
  box: Box | None = None,
  ranges: pixels.Ranges = _NO_RANGES,
) -> np.ndarray:
  """Decodes one file as `fit` does; raises InputError if that fails."""
  with inputs.reading(path), open_image(path) as image:
    return fit(image, shape, box, ranges)


def read_whole(
  path: pathlib.Path,
  channels: int,
  ranges: pixels.Ranges = _NO_RANGES,
) -> np.ndarray:
  """Decodes one file at its own size, uint8 [H, W, C], as `read_file`."""
  with inputs.reading(path), open_image(path) as image:
    width, height = ImageOps.exif_transpose(image).size
    return fit(image, (height, width, channels), ranges=ranges)


def upright_size(image: Image.Image) -> tuple[int, int]:
  """Returns (width, height) after the camera's orientation is applied."""
  # Pillow already swaps the sides of some formats, so only it knows.
  if image.getexif().get(_ORIENTATION, 1) >= 5:
    return ImageOps.exif_transpose(image).size
  return image.size


def map_threads(fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator:
  """Maps in threads, in order: decoding gives the interpreter lock free."""
  return _pool().map(fn, items)


@functools.cache
def _pool() -> concurrent.futures.ThreadPoolExecutor:
  return concurrent.futures.ThreadPoolExecutor(min(32, os.cpu_count() or 1))


def _fit_upright(
  image: Image.Image,
  shape: Shape,
  ranges: pixels.Ranges = _NO_RANGES,
) -> np.ndarray:
  height, width, channels = shape
  if _is_wide(image):
    image = Image.fromarray(pixels.to_uint8(np.asarray(image), ranges))
  image = _convert(image, _MODES[channels])
  if image.size != (width, height):
    image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
  return np.asarray(image, np.uint8).reshape(shape)


def _is_wide(image: Image.Image) -> bool:
  """Returns whether the pixels are 'I;16', 'I' or 'F'."""
  return image.mode[0] in 'IF'


def _convert(image: Image.Image, mode: str) -> Image.Image:
  """Converts an image of 8 bits to 'L', 'RGB' or 'RGBA'."""
  if image.mode == 'LAB':  # which `convert` does not know
    lab, rgb = map(ImageCms.createProfile, ('LAB', 'sRGB'))
    converted = ImageCms.profileToProfile(image, lab, rgb, outputMode='RGB')
    image = converted or image
  if image.has_transparency_data and mode != 'RGBA':
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    image = Image.alpha_composite(white, image).convert('RGB')
  return image if image.mode == mode else image.convert(mode)
