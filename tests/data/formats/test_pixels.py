"""The range of a data set decides which values become 0 and 255."""

import pathlib

import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax.data.formats import pixels
from gen_jax.errors import InputError

CONFIGS = pathlib.Path(__file__).parents[3] / 'configs'


def resolve(*arrays, limits=None):
  extents = [pixels.extent(np.array(x)) for x in arrays]
  return pixels.resolve(extents, limits, 'the set')


def mapped(values, *others, limits=None):
  ranges, _ = resolve(values, *others, limits=limits)
  return pixels.to_uint8(np.array(values), ranges).tolist()


U16, I32, F32 = np.uint16, np.int32, np.float32


@pytest.mark.parametrize('dtype', [np.uint16, np.int16, np.int32, np.int64])
@pytest.mark.parametrize('largest', [1, 255, 1023, 4095, 16383])
def test_integers_are_mapped_from_their_number_of_bits(dtype, largest):
  values = np.array([0, largest // 2, largest], dtype)
  expected = np.rint(values * (255 / largest)).tolist()
  assert mapped(values) == expected and expected[-1] == 255


def test_integers_of_16_bits_are_divided_by_257():
  assert mapped(np.array([0, 257, 0xABCD, 65535], U16)) == [0, 1, 0xAB, 255]


def test_integers_up_to_255_keep_their_values():
  values = np.arange(256, dtype=np.int64)
  assert mapped(values) == values.tolist()


@pytest.mark.parametrize(
  ('values', 'expected'),
  [
    ([0.0, 0.2, 1.0], [0, 51, 255]),
    ([-1.0, 0.2, 1.0], [0, 153, 255]),
    ([0.0, 51.0, 250.0], [0, 51, 250]),
  ],
)
@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_usual_floating_point_ranges_are_found(values, expected, dtype):
  assert (
    np.abs(np.subtract(mapped(np.array(values, dtype)), expected)).max() < 1
  )


def test_the_brightest_image_of_the_set_decides_for_all():
  dark, bright = np.array([0, 200], U16), np.array([0, 4095], U16)
  assert mapped(dark, bright) == [0, 12]
  assert mapped(np.array([0.5], F32), np.array([-1], F32)) == [191]


@pytest.mark.parametrize(
  ('values', 'suggested'),
  [
    (np.array([-1024, 3071], np.int16), '-1024,3071'),
    (np.array([0, 70000], I32), '0,70000'),
    (np.array([-0.5, 1.25], F32), '-0.5,1.25'),
    (np.array([0, 1.0625], F32), '0,1.0625'),
    (np.array([0, 1000], F32), '0,1000'),
  ],
)
def test_an_unusual_range_is_refused_with_what_to_set(values, suggested):
  with pytest.raises(InputError, match=f'data.range={suggested}[.]') as caught:
    resolve(values)
  assert '\n' not in str(caught.value)
  low, high = map(float, suggested.split(','))
  assert mapped(values, limits=(low, high)) == [0, 255]


def test_a_range_clips_and_the_summary_says_so():
  values = np.array([-2000, 0, 4000], np.int16)
  ranges, notes = resolve(values, limits=(0, 1000))
  assert pixels.to_uint8(values, ranges).tolist() == [0, 0, 255]
  assert 'found -2000..4000; 0..1000 becomes 0..255' in notes[0]
  assert 'clipped' in notes[0]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
  values = np.array([0.5, bad], F32)
  with pytest.raises(ValueError, match='not finite'):
    pixels.extent(values)
  with pytest.raises(ValueError, match='not finite'):
    pixels.to_uint8(values, pixels.fixed((0, 1)))


@pytest.mark.parametrize('value', ['auto', ('auto',)])
def test_auto_sets_no_limits(value):
  assert pixels.check_range(value) is None


@pytest.mark.parametrize(
  ('variant', 'field'),
  [
    ('vae.py:folder', 'data.range'),
    ('cyclegan.py:folder', 'data.common.range'),
    ('stackgan.py:folder', 'data.range'),
  ],
)
def test_the_command_line_sets_the_range(variant, field):
  config = config_lib.load(f'{CONFIGS}/{variant}')
  group, name = config_lib.find(config, field, 'test')
  assert pixels.check_range(group[name]) is None
  config_lib.apply(config, [(field, '-1024,3071')])
  assert pixels.check_range(group[name]) == (-1024, 3071)
  config_lib.apply(config, [(field, 'auto')])
  assert pixels.check_range(group[name]) is None


@pytest.mark.parametrize('value', ['10,300', '(10, 300)', (10, 300), [10, 300]])
def test_two_values_are_limits_also_as_text(value):
  assert pixels.check_range(value) == (10, 300)


@pytest.mark.parametrize(
  'value', ['4095', (0,), (5, 5), (1, 0), (0, np.inf), ('a', 'b'), None, 3]
)
def test_a_range_is_two_increasing_numbers(value):
  with pytest.raises(InputError, match="data.range=.*'auto' or the values"):
    pixels.check_range(value)
