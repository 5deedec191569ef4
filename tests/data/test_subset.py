"""Parts of a labeled set: which examples, and that they follow the seed."""

import numpy as np
import pytest

from gen_jax.data.sources import array_source
from gen_jax.data.subset import class_index, select
from gen_jax.errors import InputError

LABELS = np.tile(np.arange(3, dtype=np.int32), 20)
IMAGES = np.arange(60, dtype=np.uint8).reshape(60, 1, 1, 1)


def source(**fields):
  arrays = {'image': IMAGES, 'label': LABELS, **fields}
  return array_source('toy', 'train', arrays, ('ant', 'bee', 'cat'))


def test_everything_is_the_source_itself():
  whole = source()
  assert select(whole) is whole


@pytest.mark.parametrize('classes', [(0, 2), ('ant', 'cat')])
def test_classes_are_kept_in_their_order(classes):
  part = select(source(), classes=classes)
  np.testing.assert_array_equal(part.arrays['label'], LABELS[LABELS != 1])
  np.testing.assert_array_equal(
    part.__getitems__([0, 1, 2])['image'].ravel(), [0, 2, 3]
  )
  assert len(part) == 40


@pytest.mark.parametrize('name', [10, '10', '010'])
def test_where_names_are_numbers_a_number_is_a_name(name):
  names = tuple(str(number) for number in range(1, 13))
  assert class_index(name, names, len(names), '--label') == 9
  with pytest.raises(InputError, match='no class 0 among 12'):
    class_index(0, names, len(names), '--label')


def test_so_many_of_each_class_by_the_seed():
  parts = [select(source(), labels_per_class=(4,), seed=s) for s in (0, 0, 1)]
  images = [p.arrays['image'].ravel() for p in parts]
  np.testing.assert_array_equal(images[0], images[1])
  assert not np.array_equal(images[0], images[2])
  for part in parts:
    np.testing.assert_array_equal(np.bincount(part.arrays['label']), [4, 4, 4])


def test_an_unbalanced_set():
  part = select(source(), labels_per_class=(100, 5, 0))
  np.testing.assert_array_equal(np.bincount(part.arrays['label']), [20, 5])


@pytest.mark.parametrize(
  'fields,match',
  [
    ({'classes': (3,)}, 'no class 3'),
    ({'classes': ('catt',)}, '"cat"'),
    ({'labels_per_class': (1, 2)}, 'each of the 3 classes'),
    ({'labels_per_class': (-1,)}, 'expected one number'),
    ({'labels_per_class': (0,)}, 'no example is left'),
  ],
)
def test_what_cannot_be_chosen_is_named(fields, match):
  with pytest.raises(InputError, match=match):
    select(source(), **fields)


def test_without_labels_there_are_no_classes():
  plain = array_source('toy', 'train', {'image': IMAGES})
  with pytest.raises(InputError, match='no labels'):
    select(plain, classes=(0,))
