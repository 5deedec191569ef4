"""A folder of images: one class per subfolder, or all in one place.

  path/cat/1.jpg  path/dog/2.png          two classes, split by a hash
  path/1.jpg      path/2.png              no classes, split by a hash
  path/train/...  path/test/...           the subfolders are the splits

Classes are numbered in the order of their names, where 2 comes before 10.

`splits.py` lists the names of splits, such as Train, testing, valid and trainA,
and when a folder of such a name is a class. If there are no splits, or only
folders for training, about a tenth of the images is 'test': those whose
relative name has a fixed hash, so that an image stays in its split when others
come and go. Where no image has that hash, one is 'test', unless there is only
one: then 'test' is empty. The summary says which folder is which split.

`listing.py` says which files are images; the summary names the others.

Every image of a split is decoded once when it is opened, so that a damaged
file is found then and not after hours of training.
"""

import collections
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm

from gen_jax.data import image_files, inputs
from gen_jax.data.formats import images, listing, pixels
from gen_jax.data.image_files import File, Found
from gen_jax.data.sources import Arrays, Fields, Source, array_source, describe
from gen_jax.errors import InputError
from gen_jax.registry.fields import Place

# A set up to this size is decoded once and kept.
MEMORY_BYTES = 2**30

_BAR = 1000  # files from which on progress is shown


def load(
  split: str,
  path: Place,
  shape: images.Shape,
  skip_unreadable: bool = False,
  range: Any = 'auto',
) -> Source:
  """Returns a split of a folder, in memory if it takes 1 GiB or less.

  Args:
    split: 'train', 'test' or 'val', also under the other names of `splits.py`,
      and with a domain: 'trainA'.
    path: of the folder.
    shape: (H, W, C) that the images are cropped and resized to.
    skip_unreadable: leaves out the files that cannot be decoded, which the
      summary then names.
    range: the values that become 0 and 255 in images of more than 8 bits, or
      'auto'; see `pixels.py`.

  Raises:
    InputError: a folder without images, an unknown split, files that cannot be
      decoded, or pixels of an unusual range.
  """
  shape, root = images.check_shape(shape), image_files.check_root(path)
  found = image_files.find(root, split)
  limits = pixels.check_range(range)
  return open_files(root, split, found, shape, skip_unreadable, limits)


def open_files(
  root: pathlib.Path,
  split: str,
  found: Found,
  shape: images.Shape,
  skip_unreadable: bool = False,
  limits: pixels.Limits | None = None,
  more: Callable[[list[File]], Arrays] | None = None,
) -> Source:
  """Returns a split of some files below `root`; see `load`.

  Args:
    root: the folder, for messages.
    split: its name.
    found: its files and classes; without classes there is no 'label'.
    shape: (H, W, C) of the images.
    skip_unreadable: leaves out what cannot be decoded.
    limits: the values that become 0 and 255 in images of more than 8 bits;
      None for those that `pixels.py` chooses.
    more: returns further fields [N, ...] of the files that are used.
  """
  files = found.files
  facts = examine(files)
  extents = [fact.extent for fact in facts if fact.extent]
  if extents and not limits:
    # Every split gets the range of all of them.
    extents += [fact.extent for fact in examine(found.others) if fact.extent]
  ranges, mapped = pixels.resolve(extents, limits, str(root))
  decode = functools.partial(_decode, shape=shape, ranges=ranges)
  in_memory = len(files) * int(np.prod(shape)) <= MEMORY_BYTES
  image = np.empty((len(files), *shape), np.uint8) if in_memory else None
  bad = _check(files, facts, decode, image)
  left_out = _leave_out(root, files, bad, skip_unreadable) if bad else []
  good = [i for i in range(len(files)) if i not in bad]
  notes = [
    *found.notes,
    *_report(root, [(files[i].path, facts[i]) for i in good]),
    *mapped,
    *left_out,
    *listing.report(root, found.left_out),
  ]
  files = [files[i] for i in good]
  beside = more(files) if more else {}
  if found.classes:
    labels = [found.classes.index(file.label) for file in files]
    beside['label'] = np.array(labels, np.int32)
  note = '\n'.join(notes)
  if image is None:
    source = _stream(
      root, split, files, beside, shape, found.classes, note, ranges
    )
  else:
    arrays = {'image': image[good] if bad else image, **beside}
    source = array_source(
      root.name, split, arrays, found.classes, note, {'image': ranges}
    )
  names = (file.path.relative_to(root).as_posix() for file in files)
  return dataclasses.replace(source, names=tuple(names))


def _leave_out(
  root: pathlib.Path,
  files: Sequence[File],
  bad: Mapping[int, str],
  skip_unreadable: bool,
) -> list[str]:
  """Returns the line of the summary about unreadable files, or refuses them."""
  listed = listing.abbreviate(
    [f'{files[i].path.relative_to(root)} ({why})' for i, why in bad.items()]
  )
  if not skip_unreadable or len(bad) == len(files):
    raise InputError(
      f'data.path: {len(bad)} of {len(files)} images of {root} cannot be '
      f'read: {listed}; repair or remove them, or set data.skip_unreadable.'
    )
  return [f'left out {len(bad)} unreadable: {listed}']


def _stream(root, split, files, beside, shape, classes, note, ranges) -> Source:
  """Returns files that are decoded as they are read."""
  fields: Fields = {'image': (shape, np.dtype(np.uint8))}
  fields |= {k: (x.shape[1:], x.dtype) for k, x in beside.items()}

  def decode(file):
    try:
      return _decode(file, shape, ranges)
    except InputError as error:
      raise InputError(
        f'data.path: {file.path} could be read at the start, and no longer: '
        f'{inputs.reason(error)}.'
      ) from error

  def read(rows):
    decoded = list(images.map_threads(decode, [files[i] for i in rows]))
    image = np.array(decoded, np.uint8).reshape(-1, *shape)
    return {'image': image, **{k: x[rows] for k, x in beside.items()}}

  def identity():
    sizes = images.map_threads(os.path.getsize, [file.path for file in files])
    entries = [
      [file.path.relative_to(root).as_posix(), size, file.box]
      for file, size in zip(files, sizes, strict=True)
    ]
    return 'folder', classes, shape, {'image': dict(ranges)}, entries, beside

  return Source(
    size=len(files),
    fields=fields,
    read=read,
    description=describe(root.name, split, len(files), fields, classes, note),
    identity=identity,
    classes=classes,
    ranges={'image': ranges},
    labels=beside.get('label'),
  )


def _decode(file: File, shape: images.Shape, ranges: pixels.Ranges):
  return images.read_file(file.path, shape, file.box, ranges)


class Fact(NamedTuple):
  """The properties of a file that are known before its pixels are read.

  Attributes:
    size: (width, height) in pixels.
    mode: of Pillow.
    extent: of pixels of more than 8 bits.
    several: whether it has several frames or pages.
    error: why it cannot be read; '' if it can.
  """

  size: tuple[int, int] = (0, 0)
  mode: str = ''
  extent: pixels.Extent | None = None
  several: bool = False
  error: str = ''


def examine(files: Sequence[File]) -> list[Fact]:
  """Returns what is known of files; only pixels beyond 8 bits are decoded."""

  def one(file: File) -> Fact:
    try:
      with inputs.reading(file.path), images.open_image(file.path) as image:
        several = getattr(image, 'is_animated', False)
        return Fact(image.size, image.mode, images.extent(image), several)
    except InputError as error:
      return Fact(error=inputs.reason(error))

  return list(images.map_threads(one, files))


def _check(
  files: Sequence[File],
  facts: Sequence[Fact],
  decode: Callable[[File], np.ndarray],
  out: np.ndarray | None,
) -> dict[int, str]:
  """Decodes every file, into `out` [N, H, W, C] if that is given.

  Returns why files cannot be decoded, by their index.
  """

  def check(i: int) -> str:
    try:
      decoded = None if facts[i].error else decode(files[i])
    except InputError as error:
      return inputs.reason(error)
    if out is not None and decoded is not None:
      out[i] = decoded
    return facts[i].error

  reasons = tqdm.tqdm(
    images.map_threads(check, range(len(files))),
    desc='checking images',
    total=len(files),
    disable=len(files) <= _BAR or None,  # not in log files
  )
  return {i: why for i, why in enumerate(reasons) if why}


def _report(
  root: pathlib.Path, facts: Sequence[tuple[pathlib.Path, Fact]]
) -> Iterator[str]:
  """Yields lines of the summary about the files that are read."""
  if not facts:
    yield 'files: none'
    return
  widths, heights = zip(*(fact.size for _, fact in facts), strict=True)
  modes = collections.Counter(fact.mode for _, fact in facts).most_common()
  yield (
    f'files: width {min(widths)}..{max(widths)}, height '
    f'{min(heights)}..{max(heights)} pixels; modes '
    + ', '.join(f'{mode} {count}' for mode, count in modes)
  )
  several = [path for path, fact in facts if fact.several]
  if several:
    names = [path.relative_to(root).as_posix() for path in several]
    yield (
      f'only the first frame or page of {len(several)} files with several: '
      + listing.abbreviate(names)
    )
