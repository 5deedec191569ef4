"""Which files below a folder are images, and why the others are not read.

A file is an image if its name has a usual ending, or else if it starts as an
image does: a photo without an ending, or with one such as `.JPG_large`, is an
image too. Hidden files and folders are left out.
"""

import os
import pathlib
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gen_jax.data import inputs
from gen_jax.errors import InputError

EXTENSIONS = frozenset(
  '.avif .bmp .gif .j2k .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm '
  '.tif .tiff .webp'.split()
)

# The first bytes of each format, in full: a text may well start with "BM".
_SIGNATURE = re.compile(
  rb'\xff\xd8\xff'  # JPEG
  rb'|\x89PNG\r\n\x1a\n'
  rb'|GIF8[79]a'
  rb'|RIFF....WEBP'
  rb'|....ftyp(avif|avis)'
  rb'|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51'  # JPEG 2000
  rb'|II[*+]\0|MM\0[*+]'  # TIFF
  rb'|BM....\0\0\0\0'
  rb'|P[1-6]\s+[#\d]',  # PBM, PGM, PPM
  re.DOTALL,
)
_SIGNATURE_BYTES = 32

_SHOWN = 5  # names of each kind that a report has


class Entry(NamedTuple):
  """A file, or a folder that is left out.

  Attributes:
    path: of the file.
    left_out: why it is not read; '' for an image.
  """

  path: pathlib.Path
  left_out: str = ''


def walk(
  folder: pathlib.Path, above: tuple[str, ...] = (), strict: bool = True
) -> Iterator[Entry]:
  """Yields what lies below a folder.

  Args:
    folder: whose files are listed, and those of the folders in it.
    above: the folders around it.
    strict: whether every folder has to be readable; otherwise those inside of
      the first one are left out.

  Raises:
    InputError: a folder cannot be listed.
  """
  real = os.path.realpath(folder)
  if real in above:  # links are followed, but not in circles
    return
  try:
    with inputs.reading(folder):
      paths = list(folder.iterdir())
  except InputError as error:
    if strict or not above:
      raise
    yield Entry(folder, inputs.reason(error))
    return
  for path in paths:
    if os.path.isdir(path) and not path.name.startswith('.'):
      yield from walk(path, (*above, real), strict)
    else:
      yield examine(path)


def examine(path: pathlib.Path) -> Entry:
  """Returns whether a file is an image, or why it is left out."""
  if path.name.startswith('.'):
    return Entry(path, 'hidden')
  usual = path.suffix.lower() in EXTENSIONS
  try:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # a pipe would block
      return Entry(path, 'not a file')
    if usual:
      return Entry(path)
    with path.open('rb') as file:
      start = file.read(_SIGNATURE_BYTES)
  except OSError:
    # An image that is missing behind a link is an error when it is read.
    return Entry(path, '' if usual else 'cannot be opened')
  return Entry(path, '' if _SIGNATURE.match(start) else 'not an image')


def report(root: pathlib.Path, entries: Iterable[Entry]) -> list[str]:
  """Returns the line of a summary about what is left out, if anything is."""
  reasons: dict[str, list[str]] = {}
  for path, reason in sorted(entries):
    reasons.setdefault(reason, []).append(path.relative_to(root).as_posix())
  if not reasons:
    return []
  parts = [
    f'{reason} ({len(names)}): {abbreviate(names)}'
    for reason, names in sorted(reasons.items())
  ]
  return [f'left out: {"; ".join(parts)}']


def abbreviate(names: list[str]) -> str:
  """Returns the first names, and how many there are more."""
  more = [f'{len(names) - _SHOWN} more'] if len(names) > _SHOWN else []
  return ', '.join(names[:_SHOWN] + more)
