"""A folder of images with captions, in one file or beside each image.

  path/captions.jsonl       a JSON object a line: {"file": "a/1.jpg",
                            "captions": ["a red bird", ...]}; also under the
                            names "file_name" and "caption" or "text"
  path/a/1.jpg, a/1.txt     or a text beside each image, a caption a line

Names are relative to the folder. Subfolders are splits and classes as in
`folder.py`; images without a caption are refused.
"""

import os
import pathlib
from typing import Any

from gen_jax.data import image_files, inputs
from gen_jax.data.datasets import folder
from gen_jax.data.formats import images, pixels
from gen_jax.data.sources import Source
from gen_jax.data.text import captions
from gen_jax.registry.fields import Count, Place

LISTS = ('captions.jsonl', 'metadata.jsonl')


def load(
  split: str,
  path: Place,
  shape: images.Shape,
  words: Count = 24,
  skip_unreadable: bool = False,
  sentence_model: str = '',
  range: Any = 'auto',
) -> Source:
  """Returns a split with 'image', 'text' and, with subfolders, 'label'.

  Args:
    split: as in `folder.load`.
    path: of the folder.
    shape: (H, W, C) that the images are cropped and resized to.
    words: that are read of each caption.
    skip_unreadable: leaves out the images that cannot be decoded.
    sentence_model: directory of a model of sentences, for 'embedding' as well;
      see `sentences.py`.
    range: of pixels of more than 8 bits, as in `folder.load`.

  Raises:
    InputError: as `folder.load`; or captions that cannot be read, or an image
      without one.
  """
  if words or not sentence_model:
    captions.check_words(words)
  shape, root = images.check_shape(shape), image_files.check_root(path)
  listed = read_list(root)
  found = image_files.find(root, split)

  def texts(files):
    names = [file.path.relative_to(root).as_posix() for file in files]
    lines = [
      listed.get(name, ()) if listed is not None else _beside(root / name)
      for name in names
    ]
    return captions.encode(lines, words, names, sentence_model)

  # Captions are no images, but they are read.
  captioned = [*found.files, *found.others]
  read = {file.path.with_suffix('.txt') for file in captioned}
  read |= {root / name for name in LISTS}
  left_out = [entry for entry in found.left_out if entry.path not in read]
  found = found._replace(left_out=left_out)
  limits = pixels.check_range(range)
  return folder.open_files(
    root, split, found, shape, skip_unreadable, limits, texts
  )


def read_list(root: pathlib.Path) -> dict[str, list[str]] | None:
  """Returns the captions by name of the image; None without a list.

  Raises:
    InputError: naming the line that is not what it should be.
  """
  files = [root / name for name in LISTS if os.path.exists(root / name)]
  if not files:
    return None
  found: dict[str, list[str]] = {}
  with inputs.reading(files[0]):
    lines = inputs.read_text(files[0]).splitlines()
  for number, line in enumerate(lines, start=1):
    if line.strip():
      with inputs.reading(f'line {number} of {files[0]}'):
        name, some = _parse(line)
      found.setdefault(name, []).extend(some)
  return found


def _parse(line: str) -> tuple[str, list[str]]:
  """Returns the name of an image and its captions; raises ValueError."""
  entry = inputs.parse_json(line)
  name = entry.get('file', entry.get('file_name'))
  some = entry.get('captions', entry.get('caption', entry.get('text')))
  some = [some] if isinstance(some, str) else some
  if (
    not isinstance(name, str)
    or not isinstance(some, list)
    or not all(isinstance(c, str) for c in some)
  ):
    raise ValueError(
      'expected an object like {"file": "1.jpg", "captions": ["a red bird"]}'
    )
  return pathlib.PurePosixPath(name).as_posix(), some  # ./1.jpg is 1.jpg


def _beside(image: pathlib.Path) -> list[str]:
  file = image.with_suffix('.txt')
  if not os.path.exists(file):
    return []
  with inputs.reading(file):
    return inputs.read_text(file).splitlines()
