"""Images from a NumPy archive."""

import io
import zipfile

import numpy as np
import pytest

from gen_jax.data.datasets import npz
from gen_jax.data.opening import open_split
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
  message = r'2 of 5 labels of train_label of .*, such as -1; expected 0 or'
  with pytest.raises(InputError, match=message):
    open_split('npz', 'train', path=path)


@pytest.mark.parametrize(
  'arrays,match',
  [
    (dict(test_image=IMAGE), 'no split "train"'),
    (dict(train_image=IMAGE * 1j), 'complex128 is no type of pixels'),
    (dict(train_image=IMAGE / 255 + [[[np.nan]]]), 'train_image .*not finite'),
    (dict(train_image=IMAGE / 39), 'data.range=0,2.02564'),
    (dict(train_image=IMAGE[0]), r'uint8 \[4, 4, 1\]; expected'),
    (dict(train_image=IMAGE[:, 0, 0]), r'uint8 \[5, 1\]; expected'),
    (dict(train_image=np.zeros((5, 8, 8, 2))), r'\[5, 8, 8, 2\]; expected'),
    (dict(train_image=IMAGE, train_label=np.zeros(3, int)), '3 labels for 5'),
    (dict(train_image=IMAGE, train_label=np.full(5, 0.5)), 'not whole numbers'),
    (dict(train_image=IMAGE, train_label=np.ones((5, 3))), 'not one-hot'),
    (dict(train_image=IMAGE, train_label=np.ones((5, 3, 2))), 'one-hot rows'),
    (
      dict(
        train_image=IMAGE,
        train_label=np.array(['a'] * 5),
        test_label=np.zeros(5, int),
      ),
      'differ in kind: <U1',
    ),
  ],
)
def test_other_arrays_are_refused(save, arrays, match):
  with pytest.raises(InputError, match=match):
    open_split('npz', 'train', path=save(**arrays))


@pytest.mark.parametrize(
  'convert',
  [
    lambda x: (x / 255).astype(np.float32),
    lambda x: x / 127.5 - 1,
    lambda x: x.astype(np.float32),
    lambda x: x.astype(np.int64),
    lambda x: x.astype(np.uint16) * 257,
  ],
)
def test_pixels_of_other_types_are_converted(save, convert):
  image = np.linspace(0, 255, 64).astype(np.uint8).reshape(4, 4, 4, 1)
  path = save(train_image=convert(image), test_image=convert(image)[:1] * 0)
  source = open_split('npz', 'train', path=path)
  np.testing.assert_array_equal(source.arrays['image'], image)
  assert source.arrays['image'].dtype == np.uint8
  assert 'becomes 0..255' in source.summary()


def test_splits_are_mapped_alike(save):
  dark, bright = np.full((2, 4, 4, 1), 0.25), np.full((1, 4, 4, 1), 250.0)
  path = save(train_image=dark, test_image=bright)
  assert (open_split('npz', 'train', path=path).arrays['image'] == 0).all()
  bright = np.full((1, 4, 4, 1), -1.0)
  path = save(train_image=dark, test_image=bright)
  assert (open_split('npz', 'train', path=path).arrays['image'] == 159).all()


def test_a_range_says_what_becomes_black_and_white(save):
  path = save(train_image=IMAGE.astype(np.int16) * 40 - 1000)
  with pytest.raises(InputError, match='data.range=-1000,2160'):
    open_split('npz', 'train', path=path)
  source = open_split('npz', 'train', path=path, range=(-1000, 2160))
  expected = np.rint(IMAGE * (255 / 79))
  np.testing.assert_array_equal(source.arrays['image'], expected)


def test_binary_images_are_black_and_white(save):
  for dtype in (bool, np.uint8, np.int64, np.float32):
    path = save(train_image=(IMAGE > 40).astype(dtype))
    source = open_split('npz', 'train', path=path)
    expected = np.where(IMAGE > 40, 255, 0)
    np.testing.assert_array_equal(source.arrays['image'], expected)


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_axes_of_other_orders_are_recognized(save, channels):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (2, 28, 20, channels), np.uint8)
  path = save(train_image=image.transpose(0, 3, 1, 2))
  source = open_split('npz', 'train', path=path)
  np.testing.assert_array_equal(source.arrays['image'], image)
  assert '[N, C, H, W]' in source.summary()
  path = save(train_image=image[..., 0])
  source = open_split('npz', 'train', path=path)
  np.testing.assert_array_equal(source.arrays['image'], image[..., :1])


@pytest.mark.parametrize(
  ('label', 'classes'),
  [
    (np.array([0, 2, 1, 0, 1], np.uint8), '012'),
    (np.array([[0], [2], [1], [0], [1]]), '012'),
    (np.array([0.0, 2, 1, 0, 1]), '012'),
    (np.eye(3)[[0, 2, 1, 0, 1]], '012'),
    (np.eye(4, dtype=bool)[[0, 2, 1, 0, 1]], '0123'),
    (np.array(['a', 'c', 'b', 'a', 'b']), 'abc'),
    (np.array(['2', 'a', '10', '2', '10']), ('2', '10', 'a')),
    (np.array([b'a', b'c', b'b', b'a', b'b']), 'abc'),
  ],
)
def test_labels_of_other_kinds_are_converted(save, label, classes):
  source = open_split(
    'npz', 'train', path=save(train_image=IMAGE, train_label=label)
  )
  assert source.arrays['label'].tolist() == [0, 2, 1, 0, 1]
  assert source.arrays['label'].dtype == np.int32
  assert source.classes == tuple(classes)


@pytest.mark.parametrize(
  ('label', 'message'),
  [
    (np.array([0, 10**8, 1, 0, 1]), 'is 100000000; expected 999999 at most'),
    (np.array([0, 2**63, 1, 0, 1], np.uint64), 'expected 999999 at most'),
    (np.array([0, -(2**32), 1, 0, 1]), 'such as -4294967296'),
    (np.array([0, 1e300, 1, 0, 1]), 'expected 999999 at most'),
    (np.array([0, np.nan, 1, 0, 1]), 'not whole numbers'),
    (np.zeros(5, complex), 'train_label of .* is complex128'),
    (np.zeros(5, 'M8[s]'), 'train_label of .* is datetime64'),
    (np.zeros(5, [('a', 'i4')]), 'train_label of '),
    (np.array(5), 'is int64 \\[\\]'),
    (
      np.array([b'a', b'\xff', b'b', b'c', b'd']),
      'a label of .* cannot be read',
    ),
    (np.full((5, 2), 'a'), 'train_label of .* has names of 2 axes'),
  ],
)
def test_labels_of_a_wrong_kind_are_named(save, label, message):
  path = save(train_image=IMAGE, train_label=label)
  with pytest.raises(InputError, match=message):
    npz.load('train', path)


def test_arrays_of_other_names_are_not_read(save):
  path = save(train_image=IMAGE, about=np.array([{'by': 'me'}], object))
  assert len(npz.load('train', path)) == len(IMAGE)


def test_a_name_has_one_label_in_all_splits(save):
  path = save(
    train_image=IMAGE[:2],
    train_label=np.array(['dog', 'bee']),
    test_image=IMAGE[:1],
    test_label=np.array(['cat']),
  )
  for split, labels in (('train', [2, 0]), ('test', [1])):
    source = open_split('npz', split, path=path)
    assert source.classes == ('bee', 'cat', 'dog')
    assert source.arrays['label'].tolist() == labels


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
  with pytest.raises(InputError, match='train_image holds objects of Python'):
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
