"""Batches are a pure function of (seed, step), however they are read."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data import pipeline
from gen_jax.data.pipeline import Batches, Preprocess, indices
from gen_jax.data.sources import array_source

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 1), np.uint8)


def source():
  labels = np.arange(50, dtype=np.int32)
  return array_source('toy', 'train', {'image': IMAGES, 'label': labels})


def batches(**fields):
  return Batches(source(), **{'batch_size': 8, 'seed': 3, **fields})


def seen(b, step, count, length=None):
  """The labels of the images of some steps, [T, B]."""
  inputs = b.inputs(step, count, length or count)
  rows = inputs['label'][:count]
  return b.data['label'][rows] if b.data is not None else rows


def test_every_epoch_shows_each_image_once_and_in_an_order_of_its_own():
  shown = indices(0, 'data', 0, 150, 50).reshape(3, 50)
  np.testing.assert_array_equal(np.sort(shown), np.tile(np.arange(50), (3, 1)))
  assert np.any(shown[0] != shown[1])
  assert np.any(shown[0] != indices(1, 'data', 0, 50, 50))
  assert np.any(shown[0] != indices(0, 'other', 0, 50, 50))


def test_the_order_never_changes():
  # What a run of an earlier version saw, a resume must see too.
  np.testing.assert_array_equal(indices(0, 'data', 0, 8, 50), GOLDEN)


GOLDEN = [22, 35, 37, 46, 32, 12, 6, 0]


def test_any_cut_gives_the_same_batches():
  whole = seen(batches(), 0, 20)
  late = seen(batches(), 13, 7)
  np.testing.assert_array_equal(whole[13:], late)


@pytest.mark.parametrize('length', [5, 9])
def test_streamed_batches_equal_resident_ones(length):
  streamed = batches(resident='no')
  resident = batches(resident='yes')
  assert streamed.data is None
  for step in (0, 5, 2):  # 2: a jump back, as after a resume
    np.testing.assert_array_equal(
      seen(streamed, step, 5, length), seen(resident, step, 5, length)
    )
  inputs = streamed.inputs(7, 2, 2)
  rows = resident.inputs(7, 2, 2)['image']
  np.testing.assert_array_equal(inputs['image'], IMAGES[rows])
  streamed.close()


def test_streamed_dispatches_are_of_64_mib():
  large = np.broadcast_to(np.uint8(0), (50, 512, 1024, 4))  # 2 MiB each
  stream = Batches(
    array_source('toy', 'train', {'image': large}),
    batch_size=8,
    seed=0,
    resident='no',
  )
  assert stream.length(2) == 2
  assert stream.length(50) == 4  # batches of 16 MiB
  # What is resident goes as asked for.
  assert batches(resident='yes').length(50) == 50


def test_up_to_a_gibibyte_is_resident():
  def pick(limit, monkeypatch):
    monkeypatch.setattr(pipeline, '_RESIDENT_BYTES', limit)
    return batches(resident='auto').data is not None

  assert pipeline._RESIDENT_BYTES == 2**30
  whole = 50 * (4 * 4 + 4)  # images, and labels of 4 bytes
  with pytest.MonkeyPatch.context() as patch:
    assert pick(whole, patch) and not pick(whole - 1, patch)


def test_consecutive_batches_are_read_once(monkeypatch):
  streamed, steps = batches(resident='no'), []
  read = streamed.read
  monkeypatch.setattr(
    streamed, 'read', lambda step: [steps.append(step), read(step)][1]
  )
  for step in (3, 5, 7):
    streamed.inputs(step, 2, 2)
  streamed.close()
  assert steps[:6] == [3, 4, 5, 6, 7, 8]
  assert len(steps) == len(set(steps))


def test_processes_read_disjoint_slices_of_one_batch():
  whole = seen(batches(), 4, 3)
  parts = [seen(batches(process=(p, 4)), 4, 3) for p in range(4)]
  np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_a_stage_goes_on_where_the_one_before_stopped():
  one = seen(batches(), 0, 10)
  second = batches(batch_size=16, start_step=4, start_images=32)
  np.testing.assert_array_equal(seen(second, 4, 3).ravel(), one.ravel()[32:80])


def test_an_error_of_the_reader_reaches_the_loop():
  def broken(rows):
    raise OSError('the disk is gone')

  whole = array_source('toy', 'train', {'image': IMAGES})
  reader = Batches(
    dataclasses.replace(whole, read=broken),
    batch_size=8,
    seed=0,
    resident='no',
  )
  with pytest.raises(OSError, match='the disk is gone'):
    reader.inputs(0, 1, 1)
  reader.close()


def preprocess(**fields):
  key = fields.pop('key', jax.random.key(0))
  batch = {'image': jnp.asarray(IMAGES), 'label': jnp.arange(50)}
  return Preprocess(**{'pixels': 'unit', **fields})(batch, key)


def test_pixels_are_in_the_range_that_the_objective_asks():
  unit = preprocess()['image']
  np.testing.assert_allclose(unit, IMAGES / 255, rtol=1e-6)
  symmetric = preprocess(pixels='symmetric')['image']
  np.testing.assert_allclose(symmetric, IMAGES / 127.5 - 1, atol=1e-6)
  assert unit.dtype == jnp.float32
  np.testing.assert_array_equal(preprocess()['label'], np.arange(50))


def test_static_binarization_is_a_threshold():
  np.testing.assert_array_equal(
    preprocess(binarize='static')['image'], IMAGES >= 128
  )


def test_dynamic_binarization_has_the_gray_values_as_means():
  draws = jnp.stack(
    [
      preprocess(binarize='dynamic', key=jax.random.key(n))['image']
      for n in range(400)
    ]
  )
  assert set(np.unique(draws)) == {0.0, 1.0}
  np.testing.assert_allclose(draws.mean(0), IMAGES / 255, atol=0.13)


def test_flips_mirror_some_images_whole():
  out = np.asarray(preprocess(flip=True)['image'])
  same = np.all(np.isclose(out, IMAGES / 255), axis=(1, 2, 3))
  mirrored = np.all(np.isclose(out, IMAGES[:, :, ::-1] / 255), axis=(1, 2, 3))
  assert np.all(same ^ mirrored)
  assert 10 < same.sum() < 40
