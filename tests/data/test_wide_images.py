"""Folders with images of more than 8 bits keep their brightness."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.datasets import domains, folder, patches
from gen_jax.data.formats import pixels
from gen_jax.data.opening import open_split
from gen_jax.errors import InputError

SHAPE = (4, 4, 1)
RAMP = np.linspace(0, 1, 16).reshape(4, 4)


def write(path, values, dtype=np.uint16):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.asarray(values).astype(dtype)).save(path)


def color_png(values):
  """Encodes [H, W, 3] as a PNG of 16 bits, which Pillow cannot write."""

  def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', crc)

  height, width, _ = values.shape
  head = struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0)
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  parts = (b'IHDR', head), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')
  return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*part) for part in parts)


def gray(values):
  return np.rint(255 * np.asarray(values)).astype(np.uint8)[..., None]


@pytest.mark.parametrize(
  ('name', 'dtype', 'scale'),
  [
    ('a.png', np.uint16, 65535),
    ('a.png', np.uint16, 4095),
    ('a.png', np.uint16, 255),
    ('a.tif', '>u2', 1023),
    ('a.tif', np.int32, 255),
    ('a.tif', np.int32, 65535),
    ('a.tif', np.float32, 1),
    ('a.tif', np.float32, 255),
  ],
)
def test_the_whole_range_is_kept(tmp_path, name, dtype, scale):
  values = RAMP * scale if dtype == np.float32 else np.rint(RAMP * scale)
  write(tmp_path / 'train' / name, values, dtype)
  write(tmp_path / 'test' / name, values, dtype)
  source = folder.load('train', tmp_path, SHAPE)
  error = source.arrays['image'][0].astype(int) - gray(RAMP)
  assert np.abs(error).max() <= 1
  assert f'0..{scale} becomes 0..255' in source.summary()


def test_signed_values_need_a_range(tmp_path):
  write(tmp_path / 'train' / 'a.tif', RAMP * 4095 - 1024, np.int32)
  with pytest.raises(InputError, match='config.data.range=-1024,3071'):
    folder.load('train', tmp_path / 'train', SHAPE)
  source = open_split(
    'folder', 'train', path=tmp_path / 'train', shape=SHAPE, range=(-1024, 3071)
  )
  error = source.arrays['image'][0].astype(int) - gray(RAMP)
  assert np.abs(error).max() <= 1
  assert '-1024..3071 becomes 0..255 (as data.range' in source.summary()


@pytest.fixture
def scans(tmp_path):
  """Dark images for training, and the brightest one for testing."""
  for i in range(3):
    write(tmp_path / 'train' / f'{i}.png', RAMP * 200)
  Image.fromarray(gray(RAMP)[..., 0]).save(tmp_path / 'train' / '3.png')
  write(tmp_path / 'test' / 'a.png', RAMP * 4095)
  return tmp_path


def test_the_range_is_that_of_all_splits(scans):
  train = folder.load('train', scans, SHAPE)
  assert train.arrays['image'][:3].max() == round(200 * 255 / 4095)
  assert folder.load('test', scans, SHAPE).arrays['image'].max() == 255
  for split in ('train', 'test'):
    summary = folder.load(split, scans, SHAPE).summary()
    assert 'found 0..4095; 0..4095 becomes 0..255' in summary


def test_images_of_8_bits_beside_them_keep_their_pixels(scans):
  for chosen in ('auto', (0, 4095)):
    source = folder.load('train', scans, SHAPE, range=chosen)
    np.testing.assert_array_equal(source.arrays['image'][3], gray(RAMP))


def test_a_stream_has_the_same_pixels(scans, monkeypatch):
  kept = folder.load('train', scans, SHAPE)
  monkeypatch.setattr(folder, 'MEMORY_BYTES', 0)
  stream = folder.load('train', scans, SHAPE)
  assert stream.arrays is None and stream.summary() == kept.summary()
  batch = stream.__getitems__(range(4))
  np.testing.assert_array_equal(batch['image'], kept.arrays['image'])


def test_patches_and_captioned_images_are_mapped_alike(scans):
  source = patches.load('train', scans, (4, 4, 1), num=20)
  assert 'found 0..4095' in source.summary()
  assert sorted(set(source.arrays['image'].max((1, 2, 3)))) == [12, 255]
  lines = [
    json.dumps({'file': f'train/{i}.png', 'text': 'a scan'}) for i in range(4)
  ]
  (scans / 'captions.jsonl').write_text('\n'.join(lines))
  source = open_split('captioned_folder', 'train', path=scans, shape=SHAPE)
  assert source.arrays['image'][:3].max() == 12


def test_each_domain_has_its_own_range(tmp_path):
  for name, scale, dtype in (('A', 4095, np.uint16), ('B', 65535, np.uint16)):
    for split in ('train', 'test'):
      write(tmp_path / f'{split}{name}' / 'x.png', RAMP * scale, dtype)
  common = dict(name='folder', path=tmp_path, shape=SHAPE)
  sides = dict(suffix='A'), dict(suffix='B')
  for pairs in ((), ('train',)):
    source = domains.load('train', common, *sides, pairs=pairs)
    batch = source.__getitems__([0])
    assert batch['a'].max() == batch['b'].max() == 255
    limits = {k: x[pixels.INTEGER] for k, x in source.ranges.items()}
    assert limits == {'a': (0, 4095), 'b': (0, 65535)}
  source = domains.load('train', {**common, 'range': (0, 65535)}, *sides)
  assert source.__getitems__([0])['a'].max() == 16


def test_a_file_with_values_that_are_not_finite_is_named(tmp_path):
  for i in range(2):
    write(tmp_path / 'train' / f'{i}.tif', RAMP, np.float32)
  write(tmp_path / 'test' / 'a.tif', RAMP, np.float32)
  write(tmp_path / 'train' / 'bad.tif', np.where(RAMP > 0.5, np.nan, 0), 'f4')
  for chosen in ('auto', (0, 1)):
    with pytest.raises(InputError, match='1 of 3 .*bad.tif .*not finite'):
      folder.load('train', tmp_path, SHAPE, range=chosen)
  with pytest.raises(InputError, match='bad.tif cannot .*not finite'):
    patches.load('train', tmp_path, SHAPE)


def test_colors_of_16_bits_are_read_unless_they_would_be_black(tmp_path):
  values = np.rint(np.dstack([RAMP, RAMP, RAMP]) * 65535)
  file = tmp_path / '0.png'
  file.write_bytes(color_png(values))
  assert Image.open(io.BytesIO(file.read_bytes())).mode == 'RGB'
  source = folder.load('train', tmp_path, (4, 4, 3))
  error = source.arrays['image'][0].astype(int) - gray(RAMP)
  assert np.abs(error).max() <= 1
  assert '16-bit colors, reduced' in source.summary()
  file.write_bytes(color_png(values // 16))
  with pytest.raises(InputError, match='16-bit colors of at most 4095'):
    folder.load('train', tmp_path, (4, 4, 3))
  source = folder.load('train', tmp_path, (4, 4, 3), range=(0, 65535))
  assert source.arrays['image'].max() == 15
