"""A config names a data set and a split of it; mistakes are named in a line."""

import functools

import numpy as np
import pytest

from gen_jax.data.checks import check_labels
from gen_jax.data.opening import open_split, overlap
from gen_jax.data.sources import array_source, subset
from gen_jax.errors import InputError


@pytest.fixture
def source():
  image = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
  label = np.arange(10, dtype=np.int32) % 3
  arrays = {'image': image, 'label': label}
  return array_source('ten', 'train', arrays, ('a', 'b', 'c'), 'a note')


def test_examples_are_stacked_in_the_requested_order(source):
  batch = source.__getitems__([7, 0, 7])
  np.testing.assert_array_equal(batch['image'].ravel(), [7, 0, 7])
  np.testing.assert_array_equal(batch['label'], [1, 0, 1])
  assert batch['image'].shape == (3, 1, 1, 1)
  assert source.__getitems__([])['image'].shape == (0, 1, 1, 1)


def test_fields_are_of_one_example(source):
  assert source.fields == {
    'image': ((1, 1, 1), np.uint8),
    'label': ((), np.int32),
  }


def test_summary(source):
  assert source.summary() == (
    'ten train: 10 images of 1x1x1, 3 classes (a, b, c)\na note'
  )
  assert (
    subset(source, slice(2, 5)).summary().startswith('3 examples, [2:5] of ten')
  )


def test_a_subset_is_a_window(source):
  part = subset(source, slice(2, 5))
  assert len(part) == 3
  assert part.classes == source.classes
  assert part.fields == source.fields
  np.testing.assert_array_equal(part.arrays['image'].ravel(), [2, 3, 4])
  np.testing.assert_array_equal(
    part.__getitems__(range(2, -1, -1))['image'].ravel(), [4, 3, 2]
  )


@pytest.mark.parametrize('index', [-1, 3])
def test_a_subset_does_not_reach_beyond_its_window(source, index):
  with pytest.raises(IndexError):
    subset(source, slice(2, 5)).__getitems__([index])


@pytest.mark.parametrize(
  ('split', 'start', 'stop'),
  [
    ('test', 0, 10000),
    ('test[:]', 0, 10000),
    ('test[:-400]', 0, 9600),
    ('test[-400:]', 9600, 10000),
    ('test[100:300]', 100, 300),
    ('test[:90%]', 0, 9000),
    ('test[-10%:]', 9000, 10000),
  ],
)
def test_splits_are_sliced(split, start, stop):
  whole = open_split('mnist', 'test')
  part = open_split('mnist', split)
  assert len(part) == stop - start
  for field in ('image', 'label'):
    np.testing.assert_array_equal(
      part.arrays[field], whole.arrays[field][start:stop]
    )


def test_slices_of_a_sorted_split_have_all_classes_and_are_disjoint(tmp_path):
  labels = np.repeat(np.arange(4), 25)
  image = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
  file = tmp_path / 'sorted.npz'
  np.savez(file, train_image=image, train_label=labels)
  first, last = (
    open_split('npz', split, path=str(file)).arrays
    for split in ('train[:60%]', 'train[60%:]')
  )
  assert set(first['label']) == set(last['label']) == set(range(4))
  both = np.concatenate([first['image'], last['image']]).ravel()
  assert sorted(both) == list(range(100))


@pytest.mark.parametrize(
  ('a', 'b', 'shared'),
  [
    ('train[:-5]', 'train[-5:]', False),
    ('train[:90%]', 'train[90%:]', False),
    ('train[:16]', 'train[15:]', True),
    ('train', 'train[-5:]', True),
  ],
)
def test_slices_overlap_where_they_share_examples(a, b, shared):
  assert overlap(a, b, size=20) == overlap(b, a, size=20) == shared


@pytest.mark.parametrize(
  ('arguments', 'fields', 'message'),
  [
    (('mnits', 'train'), {}, 'data.name: .*"mnits".* mean "mnist"'),
    (('sources', 'train'), {}, 'data.name: .*"sources"'),
    (('os', 'train'), {}, 'data.name: .*emoji, folder, mnist, .*tfds.*'),
    (('mnist', 'tset'), {}, 'data.split: .*"tset".* mean "test"'),
    (('mnist', 'test[5'), {}, 'data.split: "test.5" is neither'),
    (('mnist', 'test[::2]'), {}, 'data.split: .* is neither'),
    (('mnist', 'test[:10001]'), {}, 'data.split: .*beyond the 10000'),
    (('mnist', 'test[-10001:]'), {}, 'data.split: .*beyond the 10000'),
    (('mnist', 'test[7:7]'), {}, 'data.split: .* is empty'),
    (('mnist', 'test'), {'shap': (8, 8, 1)}, 'data.shap: .* mean "shape"'),
    (('mnist', 'test'), {'shape': (8, 8)}, 'data.shape=.*height, width'),
    (('mnist', 'test'), {'shape': (8, 8, 2)}, 'data.shape: .*channels'),
    (('folder', 'test'), {'shape': (8, 8, 1)}, 'data.path: .* needs it'),
  ],
)
def test_mistakes_are_named_in_one_line(arguments, fields, message):
  with pytest.raises(InputError, match=message) as caught:
    open_split(*arguments, **fields)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'label,fits', [(0, True), (2, True), (3, False), (-1, False)]
)
def test_a_label_is_an_index_into_the_classes(label, fits):
  check = functools.partial(check_labels, np.array([1, label]), ('a', 'b', 'c'))
  if fits:
    check('set.npz')
    return
  message = f'1 of 2 labels of set.npz .*, such as {label}; expected 0 to 2'
  with pytest.raises(InputError, match=message):
    check('set.npz')
