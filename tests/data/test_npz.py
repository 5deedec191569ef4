"""Images from a NumPy archive."""

import io
import zipfile

import numpy as np
import pytest

from gen_jax.data import npz
from gen_jax.data.sources import open_split
from gen_jax.errors import InputError

IMAGE = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4, 1)


@pytest.fixture
def save(tmp_path):
  def save(**arrays):
    file = tmp_path / 'set.npz'
    np.savez(file, **arrays)
    return str(file)

  return save


def test_splits_and_their_labels(save):
  path = save(
    train_image=IMAGE,
    train_label=np.array([0, 2, 1, 0, 1]),
    test_image=IMAGE[:2],
  )
  train = open_split('npz', 'train', path=path)
  np.testing.assert_array_equal(train.arrays['image'], IMAGE)
  assert train.arrays['label'].dtype == np.int32
  assert train.classes == ('0', '1', '2')
  assert 'label' not in open_split('npz', 'test', path=path).fields
  small = open_split('npz', 'train', path=path, shape=(2, 2, 3))
  assert small.arrays['image'].shape == (5, 2, 2, 3)


def test_negative_labels_are_refused(save):
  path = save(train_image=IMAGE, train_label=np.array([0, -1, 1, 0, -1]))
  message = r'2 of 5 labels of split "train" .*, such as -1; expected 0 to 1\.'
  with pytest.raises(InputError, match=message):
    open_split('npz', 'train', path=path)


@pytest.mark.parametrize(
  'arrays,match',
  [
    (dict(test_image=IMAGE), 'no split "train"'),
    (dict(train_image=IMAGE / 255), 'float64 of 4 axes'),
    (dict(train_image=IMAGE[0]), 'of 3 axes'),
    (dict(train_image=IMAGE, train_label=np.zeros(3, int)), '5 integers'),
    (dict(train_image=IMAGE, train_label=np.zeros(5)), '5 integers'),
  ],
)
def test_other_arrays_are_refused(save, arrays, match):
  with pytest.raises(InputError, match=match):
    open_split('npz', 'train', path=save(**arrays))


def test_a_file_that_is_no_archive(tmp_path):
  file = tmp_path / 'set.npz'
  file.write_bytes(b'no archive')
  with pytest.raises(InputError, match='cannot be read'):
    open_split('npz', 'train', path=str(file))
  with pytest.raises(InputError, match='no file'):
    open_split('npz', 'train', path=str(tmp_path / 'none.npz'))


def test_nothing_that_is_read_can_run_code(tmp_path):
  class Evil:
    def __reduce__(self):
      return (exec, ('raise SystemExit("ran")',))

  np.savez(tmp_path / 'a.npz', train_image=np.array([Evil()], object))
  with pytest.raises(InputError, match='cannot be read: Object arrays'):
    npz.load('train', str(tmp_path / 'a.npz'))


def test_what_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
  np.savez_compressed(
    tmp_path / 'a.npz', train_image=np.zeros((100, 64, 64, 1), np.uint8)
  )
  monkeypatch.setattr(npz.os, 'sysconf', lambda name: 500)  # 250,000 bytes
  with pytest.raises(InputError, match='more than the memory'):
    npz.load('train', str(tmp_path / 'a.npz'))


def test_a_header_that_promises_too_much_is_refused(tmp_path):
  header = io.BytesIO()
  np.lib.format.write_array_header_1_0(
    header,
    {'descr': '|u1', 'fortran_order': False, 'shape': (2**60, 8, 8, 1)},
  )
  with zipfile.ZipFile(tmp_path / 'a.npz', 'w') as archive:
    archive.writestr('train_image.npy', header.getvalue())
  with pytest.raises(InputError, match='cannot be read'):
    npz.load('train', str(tmp_path / 'a.npz'))
