"""Patches are cut from photos at random, and the same each time."""

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.opening import open_split
from gen_jax.errors import InputError


@pytest.fixture
def photos(tmp_path):
  """Two photos whose pixels tell where they are from."""
  for index, (height, width) in enumerate([(40, 60), (30, 20)]):
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([y, x, np.full_like(x, index)], axis=-1)
    folder = tmp_path / 'train'
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(folder / f'{index}.png')
  (tmp_path / 'test').mkdir()
  Image.new('RGB', (9, 9)).save(tmp_path / 'test' / 'small.png')
  return str(tmp_path)


def test_patches_are_windows_and_cover_every_photo(photos):
  fields = dict(path=photos, shape=(8, 6, 3), num=5000)
  source = open_split('patches', 'train', **fields)
  image = source.arrays['image']
  assert image.shape == (5000, 8, 6, 3)
  top, left, photo = image[:, 0, 0].T
  window = np.stack(np.mgrid[:8, :6], axis=-1)
  np.testing.assert_array_equal(
    image[..., :2] - image[:, :1, :1, :2],
    np.broadcast_to(window, (5000, 8, 6, 2)),
  )
  # Each of the 33 x 55 + 23 x 15 places is as likely as any other.
  assert np.mean(photo == 1) == pytest.approx(345 / 2160, abs=0.02)
  assert (top.max(), left.max()) == (32, 54)
  again = open_split('patches', 'train', **fields)
  np.testing.assert_array_equal(image, again.arrays['image'])


@pytest.mark.parametrize(
  'split,fields,match',
  [
    ('test', dict(shape=(16, 16, 1)), 'none of the 1 photos .* 16x16'),
    ('train', dict(num=0), 'num=0'),
    ('val', {}, 'no split "val"'),
  ],
)
def test_what_is_wrong_is_named(photos, split, fields, match):
  with pytest.raises(InputError, match=match):
    open_split('patches', split, path=photos, **fields)


def test_a_damaged_photo_is_named(photos, tmp_path):
  file = tmp_path / 'train' / '0.png'
  file.write_bytes(file.read_bytes()[:100])
  with pytest.raises(InputError, match=r'0\.png'):
    open_split('patches', 'train', path=photos)
