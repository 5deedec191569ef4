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

import pathlib

import numpy as np

from gen_jax.data import captions, folder, images, pickles
from gen_jax.data.sources import ArraySource, check_split
from gen_jax.errors import InputError

_SPLITS = ('train', 'test')
_CLASSES = 'class_info.pickle'
_BIRDS = 'CUB_200_2011'
_MARGIN = 0.75  # of the larger side of the box: half the side of the square


def load(
  split: str,
  path: str,
  shape: images.Shape,
  words: int = 0,
  embeddings: bool = True,
) -> ArraySource | folder.FolderSource:
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
  shape, root = images.check_shape(shape), folder.check_root(path)
  names = pickles.read(_there(root / split / 'filenames.pickle'))
  names = [str(name) for name in names]
  numbers = _numbers(root, split) or [None] * len(names)
  if len(numbers) != len(names):
    raise InputError(
      f'data.path: {root / split / _CLASSES} has {len(numbers)} entries for '
      f'{len(names)} images.'
    )
  vectors = _vectors(root, split, len(names)) if embeddings else None
  boxes = _boxes(root / _BIRDS)
  birds = root / _BIRDS / 'images'
  files = [
    folder.File(
      _inside(birds if birds.is_dir() else root, f'{name}.jpg'),
      '' if number is None else str(number),
      boxes.get(f'{name}.jpg'),
    )
    for name, number in zip(names, numbers, strict=True)
  ]
  missing = [str(f.path) for f in files if not f.path.is_file()]
  if missing:
    raise InputError(
      f'data.path: {len(missing)} of {len(files)} images of {root} are '
      f'missing, such as {missing[0]}.'
    )

  def more(files):
    del files  # all are readable, or none is read
    fields = {}
    if vectors is not None:
      fields['embedding'] = vectors
    if words:
      texts = [_captions(root, name) for name in names]
      fields |= captions.encode(texts, words, names)
    return fields

  classes = ()
  if _numbers(root, split):  # of all splits, so that labels mean the same
    known = {number for name in _SPLITS for number in _numbers(root, name)}
    classes = tuple(map(str, sorted(known)))
  found = folder.Found(files, classes)
  return folder.open_files(root, split, found, shape, more=more)


def _there(path: pathlib.Path) -> pathlib.Path:
  if not path.is_file():
    raise InputError(f'data.path: there is no file {path}.')
  return path


def _inside(root: pathlib.Path, name: str) -> pathlib.Path:
  """A file below `root`: a name of a pickle is not to lead elsewhere."""
  parts = pathlib.PurePosixPath(name)
  if parts.is_absolute() or '..' in parts.parts:
    raise InputError(f'data.path: the name "{name}" leads out of {root}.')
  return root / parts


def _numbers(root, split):
  """The class of each image of a split; empty without that file."""
  file = root / split / _CLASSES
  return [int(x) for x in pickles.read(file)] if file.is_file() else []


def _vectors(root, split, count):
  """Vectors of captions, float32 [N, K, D]."""
  file = _there(root / split / 'char-CNN-RNN-embeddings.pickle')
  try:
    vectors = np.asarray(pickles.read(file), np.float32)
  except (TypeError, ValueError):
    vectors = np.zeros(0, np.float32)
  if vectors.ndim == 2:
    vectors = vectors[:, None]
  if vectors.ndim != 3 or len(vectors) != count:
    raise InputError(
      f'data.path: {file} has an array of {vectors.shape}; expected '
      f'[{count}, captions, numbers].'
    )
  if not np.all(np.isfinite(vectors)):
    raise InputError(f'data.path: {file} has numbers that are not finite.')
  return vectors


def _captions(root, name):
  found = _inside(root / 'text_c10', f'{name}.txt')
  if not found.is_file():  # of a flower, by its class
    image = pathlib.PurePosixPath(name).name
    by_class = sorted((root / 'text_c10').glob(f'*/{image}.txt'))
    found = by_class[0] if by_class else found
  _there(found)
  return found.read_text('utf-8', errors='replace').splitlines()


def _boxes(root: pathlib.Path) -> dict[str, images.Box]:
  """The squares around the birds, by name of the image."""
  lists = [root / 'images.txt', root / 'bounding_boxes.txt']
  if not all(file.is_file() for file in lists):
    return {}
  rows = [[line.split() for line in f.read_text().splitlines()] for f in lists]
  try:
    names = {row[0]: row[1] for row in rows[0] if row}
    boxes = {}
    for number, *box in filter(None, rows[1]):
      x, y, width, height = (int(float(v)) for v in box)
      # Beyond the border Pillow's crop is black, so the square is cut there.
      size = _size(root / 'images' / names[number])
      half = int(max(width, height) * _MARGIN)
      middle_x, middle_y = (2 * x + width) // 2, (2 * y + height) // 2
      boxes[names[number]] = (
        max(0, middle_x - half),
        max(0, middle_y - half),
        min(size[0], middle_x + half),
        min(size[1], middle_y + half),
      )
  except (KeyError, ValueError, IndexError) as error:
    raise InputError(f'data.path: {lists[1]} cannot be read: {error}') from None
  return boxes


def _size(path: pathlib.Path) -> tuple[int, int]:
  if not path.is_file():
    return (2**31, 2**31)
  with images.open_image(path) as image:
    return image.size
