"""The image files of a folder: which belong to a split, and their classes."""

import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gen_jax.data import inputs, splits
from gen_jax.data.checks import check_split, class_order
from gen_jax.data.formats import listing
from gen_jax.errors import InputError
from gen_jax.registry.fields import Place


def check_root(path: Place) -> pathlib.Path:
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
  wanted = splits.parse(split) or splits.Name(split)
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
    test = set(sorted(files, key=numbers.__getitem__)[: min(1, len(files) - 1)])
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
