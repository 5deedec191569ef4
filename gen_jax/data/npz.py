"""Images in a NumPy archive: `<split>_image`, uint8 [N, H, W, C], and
`<split>_label`, integers [N], for each split that it has.
"""

import os
import pathlib
import zipfile

import numpy as np

from gen_jax.data import images
from gen_jax.data.sources import ArraySource, check_split
from gen_jax.errors import InputError


def load(
  split: str, path: str, shape: images.Shape | None = None
) -> ArraySource:
  """Returns a split of an archive.

  Args:
    split: 'train', 'test' or another one whose images it has.
    path: of the archive.
    shape: (H, W, C) of the images; as they are if None.

  Raises:
    InputError: no such archive or split, or arrays of another kind.
  """
  file = pathlib.Path(path).expanduser()
  if not path or not file.is_file():
    raise InputError(f'data.path: there is no file "{path}".')
  try:
    _check_size(file)
    # Without pickle, which could run code.
    with np.load(file, allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
  except (OSError, ValueError, MemoryError, zipfile.BadZipFile) as error:
    raise InputError(f'data.path: {file} cannot be read: {error}') from error
  known = [n.removesuffix('_image') for n in arrays if n.endswith('_image')]
  check_split(split, known, str(file))
  image = arrays[f'{split}_image']
  if image.dtype != np.uint8 or image.ndim != 4:
    raise InputError(
      f'data.path: {split}_image of {file} is {image.dtype} of '
      f'{image.ndim} axes; expected uint8 [N, H, W, C].'
    )
  if shape is not None:
    image = images.fit_array(image, images.check_shape(shape))
  fields, classes = {'image': image}, ()
  labels = [n for n in arrays if n.endswith('_label')]
  if f'{split}_label' in arrays:
    label = arrays[f'{split}_label']
    if label.shape != (len(image),) or label.dtype.kind not in 'iu':
      raise InputError(
        f'data.path: {split}_label of {file}: expected {len(image)} integers.'
      )
    fields['label'] = label.astype(np.int32)
    count = max(int(arrays[name].max()) for name in labels) + 1
    classes = tuple(str(index) for index in range(count))
  return ArraySource(file.name, split, fields, classes)


def _check_size(file):
  """Raises ValueError for an archive that would fill the memory."""
  with zipfile.ZipFile(file) as archive:
    size = sum(member.file_size for member in archive.infolist())
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  if size > memory:
    raise ValueError(
      f'it unpacks to {size / 2**30:.0f} GiB, more than the memory'
    )
