"""Patches of photographs, cut at random from the images of a folder.

The folder is laid out as `data/datasets/folder.py` describes; photos keep their
resolution. For the statistics of natural images, such as a denoiser needs, a
few photos then go a long way.
"""

from typing import Any

import numpy as np

from gen_jax.data import image_files
from gen_jax.data.datasets import folder
from gen_jax.data.formats import images, listing, pixels
from gen_jax.data.shuffling import random_bits
from gen_jax.data.sources import Source, array_source
from gen_jax.errors import InputError
from gen_jax.registry.fields import Place, Size


def load(
  split: str,
  path: Place,
  shape: images.Shape = (32, 32, 1),
  num: Size = 20_000,
  range: Any = 'auto',
) -> Source:
  """Returns `num` patches of a split, the same ones each time.

  Every place of every photo is as likely as any other.

  Args:
    split: 'train' or 'test', or the name of a subfolder.
    path: of the folder.
    shape: (H, W, C) of a patch.
    num: of patches.
    range: of pixels of more than 8 bits, as in `folder.load`.

  Raises:
    InputError: as `folder.load`, or no photo is as large as a patch.
  """
  height, width, channels = shape = images.check_shape(shape)
  if num < 1:
    raise InputError(f'data.num={num}: expected 1 or more.')
  limits = pixels.check_range(range)
  root = image_files.check_root(path)
  found = image_files.find(root, split)
  files = found.files
  facts = folder.examine([*files, *found.others])
  extents = [fact.extent for fact in facts if fact.extent]
  ranges, mapped = pixels.resolve(extents, limits, str(path))
  photos, left_out = [], 0
  for file in files:
    photo = images.read_whole(file.path, channels, ranges)  # [h, w, C]
    if photo.shape[0] < height or photo.shape[1] < width:
      left_out += 1
    else:
      photos.append(photo)
  if not photos:
    raise InputError(
      f'data.shape: none of the {len(files)} photos of {path} in the split '
      f'{split!r} has {height}x{width} pixels.'
    )
  arrays = {'image': _cut(photos, split, shape, num)}
  note = f'cut from {len(photos)} photos'
  if left_out:
    note += f'; {left_out} smaller than a patch were left out'
  return array_source(
    'patches',
    split,
    arrays,
    notes='\n'.join(
      [*found.notes, note, *mapped, *listing.report(root, found.left_out)]
    ),
    ranges={'image': ranges},
  )


def _cut(photos, split, shape, num):
  """Patches at places drawn by the name of the split, uint8 [N, H, W, C]."""
  height, width, _ = shape
  spans = [(p.shape[0] - height + 1, p.shape[1] - width + 1) for p in photos]
  ends = np.cumsum([rows * columns for rows, columns in spans])
  seed = [len(split), *split.encode()]
  bits = random_bits(seed, num)
  places = (bits % np.uint64(ends[-1])).astype(np.int64)
  out = np.empty((num, *shape), np.uint8)
  for i, place in enumerate(places):
    index = int(np.searchsorted(ends, place, side='right'))
    start = ends[index - 1] if index else 0
    top, left = divmod(int(place - start), spans[index][1])
    out[i] = photos[index][top : top + height, left : left + width]
  return out
