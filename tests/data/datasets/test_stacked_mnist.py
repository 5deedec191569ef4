"""Stacks of digits: which they are, and that they are made when read."""

import numpy as np
import pytest

from gen_jax.data.datasets import mnist, stacked_mnist
from gen_jax.data.opening import open_split
from gen_jax.data.pipeline import Batches
from gen_jax.errors import InputError


def rows_of(split, draw=0):
  return stacked_mnist.choose_digits(split, draw, len(mnist.load(split)))


def test_each_channel_is_the_digit_that_the_label_spells():
  source, digits = open_split('stacked_mnist', 'test'), mnist.load('test')
  out = source.__getitems__([5, 25_999])
  assert out['image'].shape == (2, 28, 28, 3)
  assert out['label'].dtype == np.int32
  for image, label, index in zip(
    out['image'], out['label'], (5, 25_999), strict=True
  ):
    rows = rows_of('test')[index]
    spelt = ''.join(str(digits.arrays['label'][row]) for row in rows)
    assert source.classes[label] == spelt
    for channel, row in enumerate(rows):
      np.testing.assert_array_equal(
        image[..., channel], digits.arrays['image'][row, ..., 0]
      )


def test_the_splits_have_the_sizes_of_the_paper_and_all_modes():
  sizes = {'train': 128_000, 'test': 26_000}
  for split, size in sizes.items():
    source = open_split('stacked_mnist', split)
    digits = mnist.load(split).arrays['label']
    labels = digits[rows_of(split)] @ [100, 10, 1]
    assert len(source) == size
    assert len(set(labels.tolist())) == 1000
    assert f'{size} images of 28x28x3, 1000 classes' in source.summary()


def test_a_stack_is_a_function_of_its_draw_and_index():
  first, again, other = (rows_of('train', draw) for draw in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert np.mean(first == other) < 0.01
  np.testing.assert_array_equal(first[:2], GOLDEN)
  test = rows_of('test')
  assert np.mean(first[: len(test)] % len(mnist.load('test')) == test) < 0.01


def test_stacks_are_not_held_in_memory():
  source = open_split('stacked_mnist', 'train')
  assert source.arrays is None
  batches = Batches(source, batch_size=8, seed=0, resident='no')
  try:
    inputs = batches.inputs(0, 2, 3)
  finally:
    batches.close()
  assert inputs['image'].shape == (3, 8, 28, 28, 3)
  expected = batches.read(1)['image']
  np.testing.assert_array_equal(inputs['image'][1], expected)


@pytest.mark.parametrize(
  'split,fields,match',
  [
    ('val', {}, 'no split "val"'),
    ('train', dict(draw=-1), 'data.draw=-1'),
    ('train', dict(shape=(32, 32, 3)), 'data.shape: .* has no field'),
  ],
)
def test_bad_input_is_named(split, fields, match):
  with pytest.raises(InputError, match=match):
    open_split('stacked_mnist', split, **fields)


GOLDEN = ((25874, 56356, 34021), (50971, 16232, 53134))
