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
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm

from gen_jax.data import fingerprints, inputs, splits
from gen_jax.data.checks import check_split, class_order
from gen_jax.data.formats import images, listing, pixels
from gen_jax.data.sources import (
  ArraySource,
  Fields,
  Indices,
  check_indices,
  describe,
)
from gen_jax.errors import InputError
from gen_jax.registry.fields import Place

# A set up to this size is decoded once and kept.
MEMORY_BYTES = 2**30

_BAR = 1000  # files from which on progress is shown


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSource:
  """A split that is decoded as it is read.

  Attributes:
    root: the folder.
    split: of the folder.
    files: of the split, below the root.
    beside: the fields beside the image, [N, ...]: 'label' where there are
      classes.
    shape: (H, W, C) of the images.
    classes: names by label.
    notes: what the check found, for the summary.
    ranges: how pixels of more than 8 bits are mapped to 0..255, by field.
  """

  root: pathlib.Path
  split: str
  files: tuple['File', ...]
  beside: dict[str, np.ndarray]
  shape: images.Shape
  classes: tuple[str, ...] = ()
  notes: str = ''
  ranges: Mapping[str, pixels.Ranges] = dataclasses.field(default_factory=dict)
  arrays: None = None

  @property
  def fields(self) -> Fields:
    fields = {'image': (self.shape, np.dtype(np.uint8))}
    return fields | {k: (x.shape[1:], x.dtype) for k, x in self.beside.items()}

  @property
  def labels(self) -> np.ndarray | None:
    return self.beside.get('label')

  def __len__(self) -> int:
    return len(self.files)

  def __getitems__(self, indices: Indices) -> dict[str, np.ndarray]:
    indices = check_indices(indices, len(self))
    out = {'image': np.empty((len(indices), *self.shape), np.uint8)}
    files = [self.files[i] for i in indices]
    read = functools.partial(
      _read, shape=self.shape, ranges=self.ranges['image']
    )
    for i, image in enumerate(images.map_threads(read, files)):
      out['image'][i] = image
    return out | {k: x[indices] for k, x in self.beside.items()}

  def summary(self) -> str:
    return f'{describe(self, self.root.name, self.split)}\n{self.notes}'

  @functools.cached_property
  def fingerprint(self) -> str:
    files = [
      [file.path.relative_to(self.root).as_posix(), size, file.box]
      for file, size in zip(self.files, self._sizes(), strict=True)
    ]
    ranges = {k: dict(x) for k, x in self.ranges.items()}
    return fingerprints.digest(
      'folder', self.classes, self.shape, ranges, files, self.beside
    )

  def _sizes(self) -> list[int]:
    paths = [file.path for file in self.files]
    return list(images.map_threads(os.path.getsize, paths))


def load(
  split: str,
  path: Place,
  shape: images.Shape,
  skip_unreadable: bool = False,
  range: Any = 'auto',
) -> ArraySource | FolderSource:
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
  shape, root = images.check_shape(shape), check_root(path)
  found = find(root, split)
  limits = pixels.check_range(range)
  return open_files(root, split, found, shape, skip_unreadable, limits)


def open_files(
  root: pathlib.Path,
  split: str,
  found: 'Found',
  shape: images.Shape,
  skip_unreadable: bool = False,
  limits: pixels.Limits | None = None,
  more: Callable[[list['File']], dict[str, np.ndarray]] | None = None,
) -> ArraySource | FolderSource:
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
  files, classes = found.files, found.classes
  in_memory = len(files) * int(np.prod(shape)) <= MEMORY_BYTES
  image = np.empty((len(files), *shape), np.uint8) if in_memory else None
  facts = _check(files, shape, image, limits)
  bad = [i for i, fact in enumerate(facts) if fact.error]
  if bad:
    listed = _list_bad(root, [(files[i].path, facts[i].error) for i in bad])
    if not skip_unreadable or len(bad) == len(files):
      raise InputError(
        f'data.path: {len(bad)} of {len(files)} images of {root} cannot be '
        f'read: {listed}; repair or remove them, or set data.skip_unreadable.'
      )
  good = [i for i, fact in enumerate(facts) if not fact.error]
  extents = [fact.extent for fact in facts if fact.extent]
  if extents and not limits:
    # Every split gets the range of all of them.
    extents += measure(found.others)
  ranges, mapped = pixels.resolve(extents, limits, str(root))
  if image is not None:
    late = [i for i in good if facts[i].waits]
    read = functools.partial(_read, shape=shape, ranges=ranges)
    decoded = images.map_threads(read, [files[i] for i in late])
    for i, x in zip(late, decoded, strict=True):
      image[i] = x
  notes = [*found.notes, _report([facts[i] for i in good]), *mapped]
  several = [files[i].path for i in good if facts[i].several]
  if several:
    names = [path.relative_to(root).as_posix() for path in several]
    notes.append(
      f'only the first frame or page of {len(several)} files with several: '
      + listing.abbreviate(names)
    )
  if bad:
    notes.append(f'left out {len(bad)} unreadable: {listed}')
  notes += listing.report(root, found.left_out)

  files = [files[i] for i in good]
  beside = more(files) if more else {}
  if classes:
    labels = [classes.index(f.label) for f in files]
    beside['label'] = np.array(labels, np.int32)
  if image is None:
    return FolderSource(
      root,
      split,
      tuple(files),
      beside,
      shape,
      classes,
      '\n'.join(notes),
      {'image': ranges},
    )
  arrays = {'image': image[good] if bad else image, **beside}
  return ArraySource(
    root.name, split, arrays, classes, '\n'.join(notes), {'image': ranges}
  )


def check_root(path: str) -> pathlib.Path:
  """Returns the folder; raises InputError when there is none."""
  with inputs.reading(path):
    root = pathlib.Path(path).expanduser()
  if not path or not os.path.isdir(root):  # "" would be this folder
    raise InputError(f'data.path: there is no folder "{path}".')
  return root


class File(NamedTuple):
  """One image of a folder."""

  path: pathlib.Path
  label: str  # name of the class, '' without
  box: tuple[int, int, int, int] | None = None  # left, top, right, bottom


class _Fact(NamedTuple):
  """What the check of a file found."""

  size: tuple[int, int] = (0, 0)  # width, height in pixels
  mode: str = ''
  extent: pixels.Extent | None = None  # of more than 8 bits
  waits: bool = False  # for the range of the data set
  several: bool = False  # frames or pages
  error: str = ''


class Found(NamedTuple):
  """The files of a split.

  Attributes:
    files: of the split.
    classes: names by label, of the whole folder.
    others: files of the other splits of the same domain.
    left_out: what is no image, of the whole folder.
    notes: lines of the summary.
  """

  files: list[File]
  classes: tuple[str, ...] = ()
  others: Sequence[File] = ()
  left_out: Sequence[listing.Entry] = ()
  notes: Sequence[str] = ()


def find(root: pathlib.Path, split: str) -> Found:
  """Returns the files of a split and the classes of the whole folder.

  Raises:
    InputError: no such split, no images in it, or unclear names of folders.
  """
  layout = splits.find(root, _has_images)
  folders = list(layout.folders.values()) or [root]
  entries = {folder: list(listing.walk(folder)) for folder in folders}
  parts, note = _parts(root, layout, entries)
  wanted = splits.parse(split)
  if wanted not in parts:
    check_split(split, map(str, parts), str(root))
  files = parts[wanted]
  others = [
    file
    for name, part in parts.items()
    if name.domain == wanted.domain and name != wanted
    for file in part
  ]
  if not files and wanted in layout.folders:
    raise InputError(
      f'data.split: none of the {len(others)} images of {root} is in the '
      f'split "{split}". Move some into a subfolder of that name.'
    )
  # The classes of all splits, since a class has one label in each of them.
  labels = {f.label for part in parts.values() for f in part} - {''}
  classes = tuple(sorted(labels, key=class_order))
  left_out = [x for part in entries.values() for x in part if x.left_out]
  if layout.folders:
    left_out += _beside_splits(root)
  notes = [note, layout.note] if layout.note else [note]
  return Found(files, classes, others, left_out, notes)


def _has_images(folder: pathlib.Path) -> bool:
  return any(not entry.left_out for entry in listing.walk(folder))


def _beside_splits(root: pathlib.Path) -> Iterator[listing.Entry]:
  for path in root.iterdir():
    entry = listing.examine(path)
    if entry.left_out == 'hidden' or not path.is_dir():
      yield listing.Entry(path, entry.left_out or 'beside the splits')


_Entries = Mapping[pathlib.Path, Sequence[listing.Entry]]  # by folder


def _parts(
  root: pathlib.Path, layout: splits.Layout, entries: _Entries
) -> tuple[dict[splits.Name, list[File]], str]:
  """Returns the files of every split, and a line that says where they are."""
  hashed = 'splits: train and test, chosen by a hash of the names'
  if not layout.folders:
    return _divide(root, entries), hashed
  if all(name.kind == 'train' for name in layout.folders):
    parts = {}
    for name, folder in layout.folders.items():
      parts |= _divide(folder, entries, name.domain)
    names = ', '.join(folder.name for folder in layout.folders.values())
    return parts, f'{hashed} in {names}, as there is no folder "test"'
  parts = {k: _list(path, entries) for k, path in layout.folders.items()}
  folders = [f'{path.name} is {k}' for k, path in layout.folders.items()]
  return parts, f'splits by folder: {", ".join(folders)}'


def _divide(
  folder: pathlib.Path, entries: _Entries, domain: str = ''
) -> dict[splits.Name, list[File]]:
  """Returns about a tenth of the images of a folder as 'test'."""
  files = _list(folder, entries)
  if not files:
    left_out = ['', *listing.report(folder, entries[folder])]
    raise InputError(f'data.path: {folder} has no images{"; ".join(left_out)}.')
  numbers = {file: _hash(folder, file.path) for file in files}
  test = {file for file in files if numbers[file] % 10 == 0}
  if len(test) in (0, len(files)):  # too few images for a tenth
    test = set(sorted(files, key=numbers.get)[: min(1, len(files) - 1)])
  return {
    splits.Name('train', domain): [f for f in files if f not in test],
    splits.Name('test', domain): [f for f in files if f in test],
  }


def _list(folder: pathlib.Path, entries: _Entries) -> list[File]:
  """Returns the images below a folder, sorted by their relative name."""
  files = []
  for path, left_out in entries[folder]:
    if not left_out:
      name = path.relative_to(folder)
      files.append(File(path, name.parts[0] if len(name.parts) > 1 else ''))
  files.sort(key=lambda f: f.path.as_posix())
  beside = [f for f in files if not f.label]
  if beside and len(beside) < len(files):
    raise InputError(
      f'data.path: {folder} has {len(beside)} images beside the class '
      f'folders, such as {beside[0].path.name}; move them into one.'
    )
  return files


def _hash(root: pathlib.Path, path: pathlib.Path) -> int:
  name = path.relative_to(root).as_posix()
  return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest(), 'big')


def measure(files: Sequence[File]) -> list[pixels.Extent]:
  """Returns the extents of the images with pixels of more than 8 bits."""

  def one(file: File) -> pixels.Extent | None:
    try:
      with inputs.reading(file.path), images.open_image(file.path) as image:
        return images.extent(image)
    except InputError:  # reported when the split of this file is opened
      return None

  return [x for x in images.map_threads(one, files) if x]


def _read(file: File, shape: images.Shape, ranges: pixels.Ranges) -> np.ndarray:
  """Decodes a file that has been checked."""
  try:
    return images.read_file(file.path, shape, file.box, ranges)
  except InputError as error:
    raise InputError(
      f'data.path: {file.path} could be read at the start, and no longer: '
      f'{inputs.reason(error)}.'
    ) from error


def _check(
  files: list[File],
  shape: images.Shape,
  out: np.ndarray | None,
  limits: pixels.Limits | None,
) -> list[_Fact]:
  """Decodes every file, into `out` [N, H, W, C] if that is given.

  Without limits, images of more than 8 bits wait for those of the data set.
  """
  ranges = pixels.fixed(limits) if limits else {}

  def check(i: int) -> _Fact:
    try:
      path = files[i].path
      with inputs.reading(path), images.open_image(path) as image:
        size, mode, extent = image.size, image.mode, images.extent(image)
        fact = _Fact(size, mode, extent, several=images.has_several(image))
        if extent and extent.kind != pixels.COLOR and not limits:
          return fact._replace(waits=True)
        decoded = images.fit(image, shape, files[i].box, ranges)
    except InputError as e:
      return _Fact(error=inputs.reason(e))
    if out is not None:
      out[i] = decoded
    return fact

  facts = images.map_threads(check, range(len(files)))
  progress = tqdm.tqdm(
    facts,
    desc='checking images',
    total=len(files),
    disable=len(files) <= _BAR or None,  # not in log files
  )
  return list(progress)


def _list_bad(root: pathlib.Path, bad: list[tuple[pathlib.Path, str]]) -> str:
  return listing.abbreviate(
    [f'{path.relative_to(root)} ({why})' for path, why in bad]
  )


def _report(facts: list[_Fact]) -> str:
  if not facts:
    return 'files: none'
  widths, heights = zip(*(fact.size for fact in facts), strict=True)
  modes = collections.Counter(fact.mode for fact in facts).most_common()
  return (
    f'files: width {min(widths)}..{max(widths)}, height '
    f'{min(heights)}..{max(heights)} pixels; modes '
    + ', '.join(f'{mode} {count}' for mode, count in modes)
  )
