"""A workdir keeps the classes and shapes of its data, and refuses others."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax import experiment, sample, workdir
from gen_jax.errors import InputError
from gen_jax.train import train

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = config_lib.default()


def record(*classes, shape=(8, 8, 3)):
  return {'classes': list(classes), 'shapes': {'image': list(shape)}}


def made(path, data):
  """A workdir with a checkpoint of a run with these data."""
  (path / 'checkpoints' / '1').mkdir(parents=True)
  workdir.record(path, CONFIG, data)


CLASSES = 'the classes changed ({}), so that labels would mean other classes'


@pytest.mark.parametrize(
  'now,change',
  [
    (record('bird', 'cat', 'dog'), CLASSES.format('new: bird')),
    (record('cat'), CLASSES.format('missing: dog')),
    (record('cat', 'cow'), CLASSES.format('new: cow; missing: dog')),
    (record('dog', 'cat'), CLASSES.format('another order')),
    (
      record('cat', 'dog', shape=(8, 8, 1)),
      "'image' had the shape [8, 8, 3], now [8, 8, 1]",
    ),
  ],
)
def test_other_data_than_that_of_the_first_run_is_refused(
  tmp_path, now, change
):
  made(tmp_path, [record('cat', 'dog')])
  with pytest.raises(InputError) as caught:
    workdir.check(tmp_path, CONFIG, [now])
  assert str(caught.value) == (
    f'workdir {tmp_path} was made with other data: {change}. Restore the data, '
    'or give another --workdir.'
  )
  workdir.check(tmp_path, CONFIG, [record('cat', 'dog')])


def test_a_workdir_without_a_record_or_a_checkpoint_takes_any_data(tmp_path):
  made(tmp_path, [record('cat', 'dog')])
  (tmp_path / 'data.json').rename(tmp_path / 'away')
  workdir.check(tmp_path, CONFIG, [record('cat')])
  (tmp_path / 'away').rename(tmp_path / 'data.json')
  (tmp_path / 'checkpoints' / '1').rmdir()
  workdir.check(tmp_path, CONFIG, [record('cat')])


@pytest.mark.parametrize('text', ['[', '3', '[{}]', '{"classes": []}'])
def test_a_record_that_cannot_be_read_is_named(tmp_path, text):
  made(tmp_path, [])
  (tmp_path / 'data.json').write_text(text)
  with pytest.raises(InputError, match='data.json cannot be read'):
    workdir.check(tmp_path, CONFIG, [record('cat')])


def test_a_range_of_pixels_stays_the_same(tmp_path):
  def ranges(**limits):
    return [{**record('cat'), 'ranges': {'image': limits}}]

  made(tmp_path, ranges(integers=[0, 4095]))
  message = r'that are integers had the range \[0, 4095\], now \[0, 65535\]'
  with pytest.raises(InputError, match=message):
    workdir.check(tmp_path, CONFIG, ranges(integers=[0, 65535]))
  workdir.check(tmp_path, CONFIG, ranges(integers=[0, 4095], floats=[0, 1]))


def write(path):
  path.parent.mkdir(parents=True)
  Image.new('L', (4, 4), 200).save(path)


def test_classes_of_a_folder_are_asked_for_by_name_and_stay_the_same(
  refused, tmp_path
):
  images, run, out = (tmp_path / name for name in ('images', 'run', 'out.npz'))
  for split in ('train', 'test'):
    for name in ('cat', 'dog'):
      write(images / split / name / '1.png')
  config = config_lib.load(f'{ROOT}/configs/conditional_vae.py:test')
  config.steps, config.evals = 1, {}
  config.data.update(name='folder', path=str(images), shape=(4, 4, 1))
  config.data.update(train='train', test='test')
  train(config, run)
  assert json.loads((run / 'data.json').read_text()) == [
    {
      'classes': ['cat', 'dog'],
      'shapes': {'image': [4, 4, 1]},
      'ranges': {'image': {}},
    }
  ]
  stored = workdir.read_config(run).objective
  assert (stored.classes, stored.decoder.shape) == (2, (4, 4, 1))

  draw = [f'--workdir={run}', f'--out={out}', '--num=2']
  assert sample.main([*draw, '--label=dog']) == 0
  np.testing.assert_array_equal(np.load(out)['labels'], [1, 1])
  error = refused(sample, *draw, '--label=dgo')
  assert error.endswith('no class \'dgo\' among 2. Did you mean "dog"?')

  write(images / 'train' / 'bird' / '1.png')
  experiment._open.cache_clear()  # as in another process
  with pytest.raises(InputError, match=r'the classes changed \(new: bird\)'):
    train(config, run)
  # A trained model does not have the classes of the data any more.
  error = refused(sample, *draw)
  assert 'the classes changed (new: bird)' in error
