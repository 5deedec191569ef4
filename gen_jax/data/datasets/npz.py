"""Images in a NumPy archive: `<split>_image` and, with labels, `<split>_label`.

Images are [N, H, W], [N, H, W, C] or [N, C, H, W], with 1, 3 or 4 channels, and
of any type: uint8 as they are, others as `pixels.py` maps them. Labels are
integers [N], one-hot rows [N, K], or names, whose classes are those of all
splits.
"""

import os
import pathlib
from typing import Any

import numpy as np

from gen_jax.data import inputs
from gen_jax.data.checks import check_labels, check_split, class_order
from gen_jax.data.formats import images, npz_files, pixels
from gen_jax.data.sources import Source, array_source
from gen_jax.errors import InputError
from gen_jax.registry.fields import Place

_ENDINGS = ('_image', '_label')
_KINDS = 'biufSU'  # of labels
_MOST_CLASSES = 10**6  # a name is made for each


def load(
  split: str,
  path: Place,
  shape: images.Shape | None = None,
  range: Any = 'auto',
) -> Source:
  """Returns a split of an archive.

  Args:
    split: 'train', 'test' or another one whose images it has.
    path: of the archive.
    shape: (H, W, C) of the images; as they are if None.
    range: the values that become 0 and 255, or 'auto', which looks at the
      images of all splits; see `pixels.py`.

  Raises:
    InputError: no such archive or split, arrays of another kind, or pixels of
      an unusual range.
  """
  limits = pixels.check_range(range)
  with inputs.reading(path):
    file = pathlib.Path(path).expanduser()
    if not path or not os.path.exists(file):
      raise InputError(f'data.path: there is no file "{path}".')
    arrays = npz_files.read(file, lambda name: name.endswith(_ENDINGS))
  found = _by_split(arrays, '_image')
  check_split(split, found, str(file))
  extents = []
  for name, image in found.items():
    with inputs.reading(f'{name}_image of {file}'):
      extents.append(pixels.extent(image))
  ranges, notes = pixels.resolve(extents, limits, str(file))
  with inputs.reading(f'{split}_image of {file}'):
    image, layout = _channels_last(found[split], f'{split}_image of {file}')
    image = pixels.to_uint8(image, ranges)
    if shape is not None:
      image = images.fit_array(image, images.check_shape(shape))
  fields, classes = {'image': image}, ()
  labels = _by_split(arrays, '_label')
  if split in labels:
    with inputs.reading(f'a label of {file}'):
      integers, classes = _integers(labels, str(file))
    if integers[split].shape != (len(image),):
      raise InputError(
        f'data.path: {split}_label of {file} has {len(integers[split])} labels '
        f'for {len(image)} images.'
      )
    fields['label'] = integers[split]
  return array_source(
    file.name,
    split,
    fields,
    classes,
    '\n'.join([*layout, *notes]),
    {'image': ranges},
  )


def _by_split(
  arrays: dict[str, np.ndarray], ending: str
) -> dict[str, np.ndarray]:
  """Returns the arrays whose names end so, by what is before it."""
  names = [name for name in arrays if name.endswith(ending)]
  return {name.removesuffix(ending): arrays[name] for name in names}


def _channels_last(
  image: np.ndarray, what: str
) -> tuple[np.ndarray, list[str]]:
  """Returns images as [N, H, W, C], and lines of the summary about it."""
  channels = (1, 3, 4)
  if image.ndim == 3 and image.shape[-1] not in channels:
    return image[..., None], ['axes: [N, H, W], one channel']
  if image.ndim == 4 and image.shape[-1] in channels:
    return image, []
  if image.ndim == 4 and image.shape[1] in channels:
    moved = np.ascontiguousarray(np.moveaxis(image, 1, -1))
    return moved, ['axes: [N, C, H, W], changed to [N, H, W, C]']
  raise InputError(
    f'data.path: {what} is {image.dtype} {list(image.shape)}; expected '
    '[N, H, W], [N, H, W, C] or [N, C, H, W] with 1, 3 or 4 channels.'
  )


def _integers(
  labels: dict[str, np.ndarray], file: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
  """Returns labels as int32 [N] by split, and the names of all classes."""
  labels = {
    name: x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x
    for name, x in labels.items()
  }
  for name, label in labels.items():
    wrong = _what_is_wrong(label)
    if wrong:
      raise InputError(f'data.path: {name}_label of {file} {wrong}.')
  kinds = {(x.dtype.kind in 'US', x.shape[1:]) for x in labels.values()}
  if len(kinds) > 1:
    listed = ', '.join(f'{x.dtype} {list(x.shape)}' for x in labels.values())
    raise InputError(
      f'data.path: the labels of {file} differ in kind: {listed}.'
    )
  ((are_names, columns),) = kinds
  whole = np.concatenate(
    [
      np.char.decode(x, 'utf-8') if x.dtype.kind == 'S' else x
      for x in labels.values()
    ]
  )
  if are_names:
    classes = sorted(set(whole.tolist()), key=class_order)
    index = {text: i for i, text in enumerate(classes)}
    integers = np.array([index[text] for text in whole.tolist()])
  else:
    for name, label in labels.items():
      check_labels(label, (), f'{name}_label of {file}')
    integers = whole.argmax(1) if columns else whole
    count = columns[0] if columns else int(whole.max()) + 1
    if count > _MOST_CLASSES:
      raise InputError(
        f'data.path: a label of {file} is {inputs.shown(count - 1)}; expected '
        f'{_MOST_CLASSES - 1} at most. Number the classes from 0 on, or give '
        'their names.'
      )
    classes = map(str, range(count))
  ends = np.cumsum([len(x) for x in labels.values()])
  parts = np.split(integers.astype(np.int32), ends[:-1])
  return dict(zip(labels, parts, strict=True)), tuple(classes)


def _what_is_wrong(label: np.ndarray) -> str:
  """Returns why an array cannot be labels, or ''."""
  kind, axes = label.dtype.kind, label.ndim
  if axes not in (1, 2) or not label.size or kind not in _KINDS:
    return (
      f'is {label.dtype} {list(label.shape)}; expected integers or names [N], '
      'or one-hot rows [N, K]'
    )
  if kind in 'US':
    return '' if axes == 1 else f'has names of {axes} axes; expected [N]'
  if axes == 2 and not (
    ((label == 0) | (label == 1)).all() and (label.sum(1) == 1).all()
  ):
    return 'has rows that are not one-hot'
  if not (np.isfinite(label).all() and (label == np.floor(label)).all()):
    return (
      f'has {label.dtype} that are not whole numbers; expected integers from 0 '
      'on'
    )
  return ''
