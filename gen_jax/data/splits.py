"""Names of splits, and which subfolders of a folder are its splits.

`train`, `training`, `test`, `testing`, `val`, `valid` and `validation` are
names of splits in upper or lower case, also with the domain of an unpaired
set behind them: `trainA`, `Test_B`.
"""

import pathlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gen_jax.data import inputs
from gen_jax.errors import InputError

_KINDS = {
  'train': 'train',
  'training': 'train',
  'test': 'test',
  'testing': 'test',
  'val': 'val',
  'valid': 'val',
  'validation': 'val',
}
_NAME = re.compile(f'({"|".join(_KINDS)})(?:[_-]?([ab]))?', re.IGNORECASE)


class Name(NamedTuple):
  """The usual name of a split."""

  kind: str  # 'train', 'test' or 'val'
  domain: str = ''  # 'A' or 'B' in an unpaired set

  def __str__(self) -> str:
    return self.kind + self.domain


class Layout(NamedTuple):
  """How a folder is divided.

  Attributes:
    folders: the subfolder of each split; empty where there are none.
    note: what the other folders are, for the summary; '' without any.
  """

  folders: Mapping[Name, pathlib.Path]
  note: str = ''


def parse(text: str) -> Name | None:
  """Returns the usual name of a split, or None if `text` is no such name."""
  match = _NAME.fullmatch(text)
  if not match:
    return None
  return Name(_KINDS[match[1].lower()], (match[2] or '').upper())


def find(
  root: pathlib.Path, has_images: Callable[[pathlib.Path], bool]
) -> Layout:
  """Returns which subfolders of `root` are splits.

  Subfolders with the names of splits are splits if one of them is for
  training, or if no other subfolder has images. Else they are classes, as in
  a set with the classes `car`, `road` and `test`.

  Args:
    root: the folder.
    has_images: returns whether a subfolder has images.

  Raises:
    InputError: two subfolders for one split, or a subfolder `train` that may
      be a split or a class.
  """
  folders: dict[Name, pathlib.Path] = {}
  others = []
  with inputs.reading(root):
    paths = sorted(p for p in root.iterdir() if p.is_dir())
  for path in paths:
    name = parse(path.name)
    if name is None:
      if not path.name.startswith('.') and has_images(path):
        others.append(path.name)
    elif name in folders:
      raise InputError(
        f'data.path: {root} has two folders for the split "{name}": '
        f'{folders[name].name} and {path.name}. Rename or merge them.'
      )
    else:
      folders[name] = path
  if not folders or not others:
    return Layout(folders)
  listed = ', '.join(others[:5]) + (', ...' if len(others) > 5 else '')
  if set(folders) == {Name('train')}:
    raise InputError(
      f'data.path: {root} has the folder {folders[Name("train")].name} beside '
      f'{listed}, so it may be a split or a class. Move the classes into '
      f'{root}/train, or move the folders that are not to be read away.'
    )
  if any(name.kind == 'train' for name in folders):
    return Layout(folders, f'folders that are not read: {listed}')
  classes = ', '.join(path.name for path in folders.values())
  return Layout(
    {}, f'{classes}: taken as class names, as there is no folder "train"'
  )
