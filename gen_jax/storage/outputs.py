"""What `--out` of a command may be, and how it is written.

  a folder          a file for each image; the name ends with / or is that of an
                    existing folder
  a picture         .png, .jpg and the other formats that Pillow writes
  .npz, .csv, ...   where a command has them

A file is written under another name and renamed when it is whole, so that one
that is cut off is not taken for a result.
"""

import contextlib
import io
import os
import pathlib
import shutil
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gen_jax.errors import InputError
from gen_jax.runtime import startup
from gen_jax.storage import cloud

FOLDER, PICTURE = 'folder', 'picture'
NPZ, HTML, CSV = '.npz', '.html', '.csv'

_COMMON = ('.png', '.jpg', '.webp', '.tif', '.gif', '.bmp')
_BLOCK = 4096  # bytes that a file system gives to a file at a time


class Out(NamedTuple):
  """The place that a command writes to.

  Attributes:
    path: the file or the folder.
    kind: one of the kinds above.
  """

  path: pathlib.Path
  kind: str

  def __str__(self) -> str:
    return str(self.path)


class Stream(NamedTuple):
  """An array whose rows come in parts and are never all in memory.

  Attributes:
    shape: of the whole.
    dtype: of each part.
    parts: [N_i, ...], in the order of the rows.
  """

  shape: tuple[int, ...]
  dtype: Any
  parts: Iterator[np.ndarray]


def parse(text: str, kinds: Sequence[str], flag: str = '--out') -> Out:
  """Returns what the value of `--out` means.

  Args:
    text: of the command line; it may name a place in a cloud.
    kinds: that the command can write.
    flag: that has the value, for messages.

  Raises:
    InputError: the name is not that of one of the kinds.
  """
  path = (
    cloud.path(text, f'{flag}=') if cloud.names(text) else pathlib.Path(text)
  )
  slash = text.endswith(('/', os.sep))
  if text and FOLDER in kinds:
    if _is_folder(path) or (slash or len(kinds) == 1) and not _exists(path):
      return Out(path, FOLDER)
  suffix = path.suffix.lower()
  if text and not slash and not _is_folder(path):
    if suffix in kinds:
      return Out(path, suffix)
    if PICTURE in kinds and suffix and _writes(suffix):
      return Out(path, PICTURE)
  raise InputError(f'{flag}={text}: expected {_choices(kinds)}.')


def _is_folder(path: Any) -> bool:
  """Whether there is such a folder; False where nobody may look."""
  if isinstance(path, pathlib.Path):
    return os.path.isdir(path)
  return path.is_dir()


def _exists(path: Any) -> bool:
  if isinstance(path, pathlib.Path):
    return os.path.exists(path)
  return path.exists()


def _writes(suffix: str) -> bool:
  """Whether Pillow writes RGB pictures under names of a suffix."""
  kind = Image.registered_extensions().get(suffix)
  try:
    Image.new('RGB', (16, 16)).save(io.BytesIO(), format=kind or suffix)
  except (KeyError, OSError, ValueError, AttributeError, TypeError):
    return False  # unknown, without its library, or of other pictures
  return True


def _choices(kinds: Sequence[str]) -> str:
  choices = []
  if PICTURE in kinds:
    suffixes = ', '.join(x for x in _COMMON if _writes(x))
    choices.append(f'the name of a picture ({suffixes}, ...)')
  choices += [f'a name that ends in {k}' for k in kinds if k.startswith('.')]
  if kinds == (FOLDER,):
    choices.append('a folder')
  elif FOLDER in kinds:
    choices.append('a folder (a name that ends with /)')
  return ', or '.join(choices)


@contextlib.contextmanager
def writing(out: Any) -> Generator[None]:
  """Turns errors of the file system into an InputError."""
  try:
    yield
  except OSError as error:
    raise InputError(f'--out={out}: {error.strerror or error}.') from error


@contextlib.contextmanager
def replaced(path: Any) -> Generator[Any]:
  """Yields a name beside a file, which then takes the place of the file.

  When the body fails or is interrupted, also by a signal that ends the process
  at once, the file is left as it was. In a cloud a file appears only when it is
  whole, and the name is that of the file.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  if not isinstance(path, pathlib.Path):
    yield path
    return
  path = pathlib.Path(os.path.realpath(path))  # a link stays one
  # Short, for the name of the file may be as long as a name can be.
  digest = zlib.crc32(os.fsencode(path.name))
  partial = path.with_name(f'.{os.getpid()}-{digest:08x}.partial')
  startup.unfinished.add(str(partial))
  try:
    yield partial
    partial.replace(path)
  except BaseException:
    partial.unlink(missing_ok=True)
    raise
  finally:
    startup.unfinished.discard(str(partial))


def check_room(out: Out, size: float, fix: str) -> None:
  """Raises InputError when a disk has less than `size` bytes left.

  Args:
    out: where they are to be written.
    size: an estimate.
    fix: what the user can do, for the message.
  """
  if not isinstance(out.path, pathlib.Path):
    return  # a cloud has no end
  folder = out.path.absolute()
  while not folder.is_dir() and folder != folder.parent:
    folder = folder.parent
  free = shutil.disk_usage(folder).free
  if size > free:
    raise InputError(
      f'--out={out}: about {_bytes(size)} would be written, and the disk has '
      f'{_bytes(free)} left. {fix}'
    )


def _bytes(size: float) -> str:
  for unit in ('bytes', 'kB', 'MB', 'GB'):
    if size < 1000:
      return f'{size:.3g} {unit}'
    size /= 1000
  return f'{size:,.1f} TB'


def on_disk(size: int) -> int:
  """Returns how many bytes of a disk a file of a size takes."""
  return -(-size // _BLOCK) * _BLOCK


def write_npz(path: pathlib.Path, arrays: Mapping[str, Any]) -> None:
  """Writes a compressed `.npz`, part by part where a value is a `Stream`."""
  with (
    replaced(path) as partial,
    partial.open('wb') as file,
    zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive,
  ):
    for name, value in arrays.items():
      if not isinstance(value, Stream):
        value = np.asarray(value)
        value = Stream(value.shape, value.dtype, iter([value]))
      # Its length is not known to the archive, and may be 4 GiB or more.
      with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        _write_npy(member, value)


def _write_npy(file, stream):
  dtype = np.dtype(stream.dtype)
  np.lib.format.write_array_header_1_0(
    file,
    dict(
      descr=np.lib.format.dtype_to_descr(dtype),
      fortran_order=False,
      shape=tuple(stream.shape),
    ),
  )
  for part in stream.parts:
    file.write(np.ascontiguousarray(part, dtype).tobytes())
