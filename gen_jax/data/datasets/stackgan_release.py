"""CUB-200 birds and Oxford flowers in the layout of StackGAN's release.

  path/train/filenames.pickle                    names, without '.jpg'
  path/train/char-CNN-RNN-embeddings.pickle      [N, 10, 1024]
  path/train/class_info.pickle                   numbers of classes, [N]
  path/test/...                                  the same
  path/text_c10/<name>.txt                       ten captions of each image
  path/CUB_200_2011/images/<name>.jpg            the birds, with images.txt and
                                                 bounding_boxes.txt beside
  path/<name>.jpg                                or the flowers, jpg/image_...

Birds are cropped to a square around their bounding box, as by the authors. The
text of a flower lies in a folder for its class, text_c10/class_.../image_....
"""

import glob
import operator
import os
import pathlib

import numpy as np

from gen_jax.data import image_files, inputs
from gen_jax.data.checks import check_split
from gen_jax.data.datasets import folder
from gen_jax.data.formats import images, pickles
from gen_jax.data.sources import Arrays, Source
from gen_jax.data.text import captions
from gen_jax.errors import InputError
from gen_jax.registry.fields import Count, Place

_SPLITS = ('train', 'test')
_NAMES = 'filenames.pickle'
_CLASSES = 'class_info.pickle'
_BIRDS = 'CUB_200_2011'
_MARGIN = 0.75  # of the larger side of the box: half the side of the square


def load(
  split: str,
  path: Place,
  shape: images.Shape,
  words: Count = 0,
  embeddings: bool = True,
) -> Source:
  """Returns a split with 'image', 'label' and what is known of the captions.

  Args:
    split: 'train' or 'test'.
    path: of the release's folder, such as Data/birds.
    shape: (H, W, C) that the images are cropped and resized to.
    words: that are read of each caption, for 'text'; 0 for none.
    embeddings: whether to read 'embedding', float32 [10, 1024], vectors of the
      captions by the authors' char-CNN-RNN.

  Raises:
    InputError: a file is missing, or holds something else.
  """
  check_split(split, _SPLITS, 'the release')
  shape, root = images.check_shape(shape), image_files.check_root(path)
  names = _names(root, split)
  numbers = _numbers(root, split)
  if numbers and len(numbers) != len(names):
    raise InputError(
      f'data.path: {root / split / _CLASSES} has {len(numbers)} entries for '
      f'{len(names)} images.'
    )
  boxes = _boxes(root / _BIRDS, root)
  birds = root / _BIRDS / 'images'
  place = birds if birds.is_dir() else root
  with inputs.reading(root / split / _NAMES):
    files = [
      image_files.File(
        _inside(root, place, f'{name}.jpg'),
        str(number),
        boxes.get(f'{name}.jpg'),
      )
      for name, number in zip(names, numbers or [''] * len(names), strict=True)
    ]
  missing = [str(f.path) for f in files if not os.path.exists(f.path)]
  if missing:
    raise InputError(
      f'data.path: {len(missing)} of {len(files)} images that '
      f'{root / split / _NAMES} names are missing, such as {missing[0]}.'
    )
  fields: Arrays = {}
  if embeddings:
    fields['embedding'] = _vectors(root, split, len(names))
  if words:
    texts = [_captions(root, name) for name in names]
    fields |= captions.encode(texts, words, names)
  classes = ()
  if numbers:  # of all splits, so that labels mean the same
    known = {number for name in _SPLITS for number in _numbers(root, name)}
    classes = tuple(map(str, sorted(known)))
  found = image_files.Found(files, classes)
  # All images are readable, or none is read.
  return folder.open_files(root, split, found, shape, more=lambda _: fields)


def _inside(
  root: pathlib.Path, folder: pathlib.Path, name: str
) -> pathlib.Path:
  """Returns a file of a folder of the release.

  The names stand in files that others made. They are not to lead elsewhere on
  this machine, by themselves or through a link.

  Raises:
    ValueError: it leads out of the release, which is `root`.
  """
  parts = pathlib.PurePosixPath(name)
  path = folder / parts
  if (
    parts.is_absolute()
    or '..' in parts.parts
    or not path.resolve().is_relative_to(root.resolve())
  ):
    raise ValueError(
      f'the name {inputs.shown(name)} leads out of {root}, by itself or by '
      'a link; copy a folder that is linked'
    )
  return path


def _names(root, split):
  """The names of the images of a split, without '.jpg'."""
  file = root / split / _NAMES
  names = _list(file)
  with inputs.reading(file):
    for name in names:
      if not isinstance(name, str) or '\0' in name:
        raise ValueError(f'{inputs.shown(name)} is no name of an image')
    if not names:
      raise ValueError('it has no names')
  return names


def _list(file):
  """The list, tuple or array of a pickle, as a list."""
  value = pickles.read(file)
  with inputs.reading(file):
    if isinstance(value, np.ndarray) and value.ndim:
      value = value.tolist()
    if not isinstance(value, list | tuple):
      raise ValueError(f'expected a list, found {inputs.shown(value)}')
  return list(value)


def _numbers(root, split):
  """The class of each image of a split; empty without that file."""
  file = root / split / _CLASSES
  if not os.path.exists(file):
    return []
  numbers = _list(file)
  with inputs.reading(file):
    return [operator.index(x) for x in numbers]


def _vectors(root, split, count):
  """Vectors of captions, float32 [N, K, D]."""
  file = root / split / 'char-CNN-RNN-embeddings.pickle'
  value = pickles.read(file)
  with inputs.reading(file):
    vectors = np.asarray(value, np.float32)
    if vectors.ndim == 2:
      vectors = vectors[:, None]
    if vectors.ndim != 3 or len(vectors) != count or not vectors.size:
      raise ValueError(
        f'it has an array of {vectors.shape}; expected [{count}, captions, '
        'numbers]'
      )
    if not np.all(np.isfinite(vectors)):
      raise ValueError('it has numbers that are not finite')
  return vectors


def _captions(root, name):
  folder = root / 'text_c10'
  with inputs.reading(folder):
    found = _inside(root, folder, f'{name}.txt')
    if not os.path.exists(found):  # of a flower, by its class
      image = glob.escape(pathlib.PurePosixPath(name).name)
      by_class = sorted(folder.glob(f'*/{image}.txt'))
      if by_class:
        found = _inside(root, folder, str(by_class[0].relative_to(folder)))
  with inputs.reading(found):
    return inputs.read_text(found, errors='replace').splitlines()


def _boxes(root: pathlib.Path, release: pathlib.Path) -> dict[str, images.Box]:
  """The squares around the birds, by name of the image."""
  lists = [root / 'images.txt', root / 'bounding_boxes.txt']
  if not all(os.path.exists(file) for file in lists):
    return {}
  names, boxes = {}, {}
  for where, words in _lines(lists[0]):
    with inputs.reading(where):
      number, name = words
      _inside(release, root / 'images', name)
      names[number] = name
  for where, words in _lines(lists[1]):
    with inputs.reading(where):
      number, *box = words
      if number not in names:
        raise ValueError(f'{lists[0]} has no image {inputs.shown(number)}')
      name = names[number]
      boxes[name] = _square(root / 'images' / name, box)
  return boxes


def _lines(file):
  """Yields the words of each line, after what it is called in messages."""
  with inputs.reading(file):
    lines = inputs.read_text(file).splitlines()
  for number, line in enumerate(lines, start=1):
    if line.strip():
      yield f'line {number} of {file}', line.split()


def _square(path, box):
  """The square around a box (x, y, width, height) that is cut from an image."""
  x, y, width, height = (int(float(v)) for v in box)
  # Beyond the border Pillow's crop is black, so the square is cut there.
  size = _size(path)
  half = int(max(width, height) * _MARGIN)
  middle_x, middle_y = (2 * x + width) // 2, (2 * y + height) // 2
  left, top = max(0, middle_x - half), max(0, middle_y - half)
  right, bottom = min(size[0], middle_x + half), min(size[1], middle_y + half)
  if left >= right or top >= bottom:
    raise ValueError(f'the box {" ".join(box)} has nothing of {path}')
  return left, top, right, bottom


def _size(path: pathlib.Path) -> tuple[int, int]:
  if not path.is_file():
    return (2**31, 2**31)
  with inputs.reading(path), images.open_image(path) as image:
    return image.size
