"""What moves in latent space: paths, attributes and sweeps, pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.figures.directions import Arithmetic, Traversal
from gen_jax.evaluation.figures.latent_figures import Interpolation, lerp, slerp
from gen_jax.storage.images import save_image

KEY = jax.random.key(0)


def test_slerp_keeps_the_length_and_the_angle_even():
  start, end = jnp.array([2.0, 0, 0]), jnp.array([0, 2.0, 0])
  t = jnp.linspace(0, 1, 5)[:, None]
  path = slerp(start, end, t)
  np.testing.assert_allclose(jnp.linalg.norm(path, axis=-1), 2, rtol=1e-6)
  angles = jnp.arctan2(path[:, 1], path[:, 0])
  np.testing.assert_allclose(angles, t[:, 0] * np.pi / 2, atol=1e-6)


@pytest.mark.parametrize('end', [[2.0, 0], [-3.0, 0], [0.0, 0]])
def test_slerp_is_straight_where_there_is_no_circle(end):
  start, end = jnp.array([1.0, 0]), jnp.array(end)
  t = jnp.linspace(0, 1, 3)[:, None]
  np.testing.assert_allclose(slerp(start, end, t), lerp(start, end, t))


class Pixels:
  """The code is the image, two pixels in [0, 1]."""

  pixels = 'unit'

  def predict_fns(self):
    return {
      'encode': lambda _, batch: batch['image'].reshape(-1, 2),
      'decode': lambda _, latents: latents.reshape(-1, 1, 2, 1),
    }


def task(images, labels=None):
  images = np.asarray(images, np.uint8).reshape(-1, 1, 2, 1)
  arrays = {'image': images}
  if labels is not None:
    arrays['label'] = np.asarray(labels, np.int32)
  source = array_source('toy', 'test', arrays)
  return Task(Pixels(), lambda split: source, Preprocess('unit'))


def tiles(sheet, rows, columns):
  """The images of a grid, [rows, columns, 2]."""
  return np.array(
    [
      [sheet[2 + 3 * r, 2 + 4 * c : 4 + 4 * c, 0] for c in range(columns)]
      for r in range(rows)
    ]
  )


def test_both_paths_stand_side_by_side_from_0_to_1():
  both = Interpolation(task([[200, 0], [0, 200]]), rows=1, columns=3)
  sheet = dict(both.run({}, KEY))['interpolation']
  width = 3 * 4 + 2
  left, right = sheet[:, :width], sheet[:, -width:]
  np.testing.assert_array_equal(
    tiles(left, 1, 3)[0], [[200, 0], [100, 100], [0, 200]]
  )
  np.testing.assert_array_equal(
    tiles(right, 1, 3)[0], [[200, 0], [141, 141], [0, 200]]
  )


def test_vectors_are_differences_of_means():
  images = [[50, 50], [100, 100], [100, 100], [150, 150], [100, 110]]
  evaluator = Arithmetic(
    task(images, [0, 1, 1, 1, 0]), reach=0.5, columns=3, rows=2
  )
  out = dict(evaluator.run({}, KEY))
  # Ink: [150, 150] - [50, 50]. The image itself stands first.
  np.testing.assert_array_equal(
    tiles(out['ink'], 2, 4),
    [
      [[50, 50], [0, 0], [50, 50], [100, 100]],
      [[100, 100], [50, 50], [100, 100], [150, 150]],
    ],
  )
  # The means of the classes are [75, 80] and [350 / 3, 350 / 3].
  shown = tiles(out['0_to_1'], 2, 4)
  np.testing.assert_array_equal(shown[:, 0], [images[0], images[4]])
  np.testing.assert_array_equal(shown[0, 3], [50 + 21, 50 + 18])


def test_without_two_classes_there_is_ink_alone():
  assert list(dict(Arithmetic(task([[1, 2], [3, 4]])).run({}, KEY))) == ['ink']
  with pytest.raises(InputError, match='classes=.*expected two'):
    Arithmetic(task([[1, 2]]), classes=(1,))


def test_classes_are_those_that_occur_in_both_splits():
  train = task([[50, 50], [100, 100], [90, 90]], [0, 1, 2]).source('train')
  test = task([[60, 60], [70, 70]], [1, 2]).source('test')
  sources = {'train': train, 'test': test}
  both = Task(Pixels(), sources.__getitem__, Preprocess('unit'))
  assert set(dict(Arithmetic(both).run({}, KEY))) == {'ink', '1_to_2'}
  with pytest.raises(InputError, match="the split 'test', has the label 0"):
    dict(Arithmetic(both, classes=(0, 1)).run({}, KEY))


def test_a_traversal_sweeps_the_widest_dimensions_there_and_back(tmp_path):
  images = [[100, 100], [100, 60], [100, 140], [110, 100], [90, 100]]
  evaluator = Traversal(task(images), dimensions=2, reach=1.0, columns=3)
  out = dict(evaluator.run({}, KEY))
  one, two = (np.std([x[k] for x in images]) for k in (0, 1))
  first, second = tiles(out['sheet'], 2, 3)
  np.testing.assert_allclose(first[:, 1], [100 - two, 100, 100 + two], atol=0.5)
  np.testing.assert_allclose(
    second[:, 0], [100 - one, 100, 100 + one], atol=0.5
  )
  assert (first[:, 0] == 100).all()
  assert (second[:, 1] == 100).all()
  frames = out['sweep']  # low, middle, high, middle
  np.testing.assert_array_equal(frames[1], frames[3])
  save_image(tmp_path / 'sweep.gif', frames)
  with Image.open(tmp_path / 'sweep.gif') as gif:
    assert gif.n_frames == 4
    assert gif.info['loop'] == 0
    for index, frame in enumerate(frames[..., 0]):
      gif.seek(index)
      np.testing.assert_array_equal(np.asarray(gif.convert('L')), frame)
  with pytest.raises(InputError, match='index=-1: expected 0 or more'):
    Traversal(task(images), index=-1)
