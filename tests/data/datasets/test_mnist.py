"""MNIST is complete, original and guarded by checksums."""

import gzip
import hashlib

import numpy as np
import pytest

from gen_jax.data.datasets import embedded, mnist
from gen_jax.data.formats import idx
from gen_jax.errors import InputError


@pytest.mark.parametrize(
  ('split', 'count', 'first', 'mean', 'std'),
  [
    ('train', 60000, [5, 0, 4, 1, 9], 0.1307, 0.3081),
    ('test', 10000, [7, 2, 1, 0, 4], 0.1325, 0.3105),
  ],
)
def test_it_is_the_published_set(split, count, first, mean, std):
  source = mnist.load(split)
  image, label = source.arrays['image'], source.arrays['label']
  assert len(source) == count
  assert image.shape == (count, 28, 28, 1) and image.dtype == np.uint8
  assert label.shape == (count,) and label.dtype == np.int32
  np.testing.assert_array_equal(label[:5], first)
  assert image.mean() / 255 == pytest.approx(mean, abs=5e-5)
  assert image.std() / 255 == pytest.approx(std, abs=5e-5)
  assert source.classes == tuple('0123456789')


def test_digits_of_the_train_split_are_counted_as_published():
  counts = np.bincount(mnist.load('train').arrays['label'])
  assert counts.tolist() == [
    5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
  ]  # fmt: skip


def test_another_shape_resizes():
  source = mnist.load('test', (32, 32, 3))
  image = source.arrays['image']
  assert image.shape == (10000, 32, 32, 3)
  assert image.mean() / 255 == pytest.approx(0.1325, abs=2e-3)
  assert (image[..., 0] == image[..., 2]).all()


@pytest.fixture
def shipped(tmp_path, monkeypatch):
  """Stands in for the folder of embedded files."""
  monkeypatch.setattr(
    embedded.importlib.resources, 'files', lambda package: tmp_path
  )
  return tmp_path


def test_a_damaged_file_is_refused(shipped):
  name, _ = mnist.FILES['test'][0]
  (shipped / 'mnist').mkdir()
  (shipped / 'mnist' / name).write_bytes(b'\x1f\x8b damaged')
  with pytest.raises(InputError, match=f'{name} is damaged: reinstall gen_jax'):
    mnist.load('test')


def test_a_missing_file_is_named(shipped):
  name, _ = mnist.FILES['test'][0]
  with pytest.raises(InputError, match=f'{name} is missing: reinstall gen_jax'):
    mnist.load('test')


def test_an_intact_file_passes_its_checksum(shipped):
  (shipped / 'a.bin').write_bytes(b'intact')
  digest = hashlib.sha256(b'intact').hexdigest()
  assert embedded.read('a.bin', digest) == b'intact'


HEADER = b'\x00\x00\x08\x02' + b'\x00\x00\x00\x02' + b'\x00\x00\x00\x03'


@pytest.mark.parametrize('pack', [bytes, gzip.compress])
def test_idx_is_parsed_gzipped_or_not(pack):
  array = idx.parse(pack(HEADER + bytes(range(6))), 'x')
  np.testing.assert_array_equal(array, [[0, 1, 2], [3, 4, 5]])
  assert array.dtype == np.uint8


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (b'', 'x cannot be read: not an idx file'),
    (HEADER[:3], 'x cannot be read: not an idx file'),
    (b'PNG and so on', 'x cannot be read: not an idx file'),
    (HEADER[:9], 'x cannot be read: not an idx file'),
    (HEADER + b'short', 'x cannot be read: 5 bytes in place of the 6'),
    (gzip.compress(HEADER + bytes(6), mtime=0)[:-9], 'x cannot be read'),
  ],
)
def test_what_is_not_idx_is_refused(data, message):
  with pytest.raises(InputError, match=message):
    idx.parse(data, 'x')


def test_a_gzip_bomb_is_refused(monkeypatch):
  monkeypatch.setattr(idx, '_MOST_BYTES', 1000)
  with pytest.raises(InputError, match='x cannot be read: more than 0 MiB'):
    idx.parse(gzip.compress(bytes(10_000)), 'x')
