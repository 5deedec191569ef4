"""Two domains of images, 'a' and 'b', for models that translate between them.

Each is a set of its own, or one set seen in two ways: emoji of two styles,
photographs of two folders, gray and color, low and high resolution.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.ndimage
from PIL import Image

from gen_jax.data import splits
from gen_jax.data.formats import listing
from gen_jax.data.formats.images import from_array
from gen_jax.data.opening import open_split
from gen_jax.data.sources import Source, array_source, unpaired
from gen_jax.errors import InputError, check_choice


def view(source: Source, name: str, change: str = '') -> Source:
  """Returns the images of a source, under another name and perhaps changed.

  Args:
    source: of the images.
    name: of the field that they become.
    change: a name in `CHANGES`, of a function uint8 [N, H, W, C] -> uint8 of
      the same shape.
  """
  arrays = None if change else source.arrays
  return dataclasses.replace(
    source,
    fields={name: source.fields['image']},
    read=lambda rows: {name: CHANGES[change](source.read(rows)['image'])},
    identity=lambda: ('view', source.fingerprint, name, change),
    classes=(),
    ranges={name: source.ranges.get('image', {})},
    arrays=arrays and {name: arrays['image']},
  )


def load(
  split: str,
  common: Mapping[str, Any],
  a: Mapping[str, Any],
  b: Mapping[str, Any],
  pairs: Sequence[str] = (),
) -> Source:
  """Returns a split of both domains, with fields 'a' and 'b'.

  A domain is described by the `name` of its data set (a module of
  `gen_jax.data`) and the fields of that; by `suffix`, which stands behind the
  split's name, 'A' for the customary folders trainA and testA; and by `change`:
  '', 'low' (a quarter of the resolution, at the same size), 'outline' (the
  edges of bright strokes) or 'negative'.

  Args:
    split: such as 'train' or 'test'.
    common: what is the same for both.
    a: of the first domain.
    b: of the second.
    pairs: the splits in which the images of one index show the same: they stay
      together, in memory. All others are shuffled separately.

  Raises:
    InputError: as the data sets, or sizes of the domains differ.
  """
  sides = {
    name: _open(name, split, {**common, **spec})
    for name, spec in (('a', a), ('b', b))
  }
  shapes = [x.fields[name][0] for name, x in sides.items()]
  if shapes[0][:2] != shapes[1][:2]:
    raise InputError(
      f'data: images of a are {shapes[0]}, of b {shapes[1]}: take one height '
      'and width for both, in data.common.shape.'
    )
  if split not in pairs:
    return unpaired(sides)
  _check_names(split, *sides.values())
  counts = [len(x) for x in sides.values()]
  if counts[0] != counts[1]:
    raise InputError(
      f'data.pairs: {split!r} has {counts[0]} images of a and {counts[1]} of '
      'b, which cannot be pairs.'
    )
  arrays: dict[str, np.ndarray] = {}
  for side in sides.values():
    arrays |= side.arrays or side.__getitems__(range(len(side)))
  notes = '\n'.join(f'{k}: {x.summary()}' for k, x in sides.items())
  ranges = {k: v for x in sides.values() for k, v in x.ranges.items()}
  return array_source('pairs', split, arrays, notes=notes, ranges=ranges)


def _check_names(split: str, a: Source, b: Source) -> None:
  """Raises InputError unless the files of both domains have the same names.

  The name of the split's folder and the ending do not count.
  """
  if not (a.names and b.names):
    return
  names = []
  for source in (a, b):
    paths = map(pathlib.PurePath, source.names)
    names.append(
      [
        str(path.relative_to(path.parts[0]).with_suffix(''))
        if splits.parse(path.parts[0])
        else str(path.with_suffix(''))
        for path in paths
      ]
    )
  if names[0] != names[1]:
    alone = sorted(set(names[0]) ^ set(names[1]))
    raise InputError(
      f'data.pairs: {split!r}: the two images of a pair must have the same '
      f'name in both domains, and {len(alone)} have no partner: '
      f'{listing.abbreviate(alone)}. Rename or remove them.'
    )


def _open(side: str, split: str, spec: dict[str, Any]) -> Source:
  name, suffix = spec.pop('name', ''), spec.pop('suffix', '')
  change = spec.pop('change', '')
  check_choice(f'data.{side}.change', change, CHANGES)
  try:
    source = open_split(name, split + suffix, **spec)
  except InputError as error:
    raise InputError(f'data.{side}, or data.common: {error}') from error
  return view(source, side, change)


def low_resolution(images: np.ndarray, factor: int = 4) -> np.ndarray:
  """Means over squares of `factor` pixels, enlarged again by cubics."""
  out = np.empty_like(images)
  height, width = images.shape[1:3]
  size = max(width // factor, 1), max(height // factor, 1)
  for x, y in zip(images, out, strict=True):
    image = from_array(x).resize(size, Image.Resampling.BOX)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    y[...] = np.asarray(image).reshape(y.shape)
  return out


def outline(images: np.ndarray) -> np.ndarray:
  """The brightest of each 3x3 pixels less the middle one."""
  size = (1, 3, 3, 1)
  return scipy.ndimage.maximum_filter(images, size, mode='nearest') - images


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  '': lambda images: images,
  'low': low_resolution,
  'outline': outline,
  'negative': lambda images: 255 - images,
}
