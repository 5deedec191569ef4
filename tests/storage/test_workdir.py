"""A workdir keeps the classes and shapes of its data, and refuses others."""

import json
import pathlib
import re
import shutil

import dense_vae
import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.commands import compare, evaluate, sample
from gen_jax.config import stages
from gen_jax.data.record import Record
from gen_jax.errors import InputError
from gen_jax.training import experiment, resume, trained
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = dense_vae.get_config()


def record(*classes, shape=(8, 8, 3), **fields):
  given = dict(
    dtypes={'image': 'uint8'}, ranges={}, examples=2, fingerprint='0' * 16
  )
  return Record(classes, {'image': shape}, **(given | fields))


def made(path, data):
  """A workdir with a checkpoint of a run with these data."""
  (path / 'checkpoints' / '1').mkdir(parents=True)
  resume.record(path, CONFIG, data)


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
    resume.check(tmp_path, CONFIG, [now])
  assert str(caught.value) == (
    f'workdir {tmp_path} was made with other data: {change}. Restore the data, '
    'or give another --workdir.'
  )
  resume.check(tmp_path, CONFIG, [record('cat', 'dog')])


def test_a_workdir_without_a_record_or_a_checkpoint_takes_any_data(tmp_path):
  made(tmp_path, [record('cat', 'dog')])
  (tmp_path / 'data.json').rename(tmp_path / 'away')
  resume.check(tmp_path, CONFIG, [record('cat')])
  (tmp_path / 'away').rename(tmp_path / 'data.json')
  (tmp_path / 'checkpoints' / '1').rmdir()
  resume.check(tmp_path, CONFIG, [record('cat')])


@pytest.mark.parametrize('text', ['[', '3', '[{}]', '{"classes": []}'])
def test_a_record_that_cannot_be_read_is_named(tmp_path, text):
  made(tmp_path, [])
  (tmp_path / 'data.json').write_text(text)
  with pytest.raises(InputError, match='data.json cannot be read'):
    resume.check(tmp_path, CONFIG, [record('cat')])


def test_a_range_of_pixels_stays_the_same(tmp_path):
  def ranges(**limits):
    return [record('cat', ranges={'image': limits})]

  made(tmp_path, ranges(integers=(0, 4095)))
  message = r'that are integers had the range \[0, 4095\], now \[0, 65535\]'
  with pytest.raises(InputError, match=message):
    resume.check(tmp_path, CONFIG, ranges(integers=(0, 65535)))
  resume.check(tmp_path, CONFIG, ranges(integers=(0, 4095), floats=(0, 1)))


def write(path, gray=200):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new('L', (4, 4), gray).save(path)


def test_classes_of_a_folder_have_names_and_stay_the_same(refused, tmp_path):
  images, run, out = (tmp_path / name for name in ('images', 'run', 'out.npz'))
  for split in ('train', 'test'):
    for name in ('cat', 'dog'):
      write(images / split / name / '1.png')
  config = config_lib.load(f'{ROOT}/configs/conditional_vae.py:test')
  config.steps, config.evals = 1, {}
  config.data.update(name='folder', path=str(images), shape=(4, 4, 1))
  config.data.update(train='train', test='test')
  train(config, run)
  (found,) = json.loads((run / 'data.json').read_text())
  assert re.fullmatch('[0-9a-f]{16}', found.pop('fingerprint'))
  assert found == {
    'classes': ['cat', 'dog'],
    'shapes': {'image': [4, 4, 1], 'label': []},
    'dtypes': {'image': 'uint8', 'label': 'int32'},
    'ranges': {'image': {}},
    'examples': 2,
  }
  stored = trained.read_config(run).objective
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
  # The model has the classes of its training, whatever the data are now.
  assert sample.main([*draw, '--label=dog']) == 0


def test_a_trained_model_is_used_without_its_data(
  refused, tmp_path, monkeypatch, capsys
):
  images, run = tmp_path / 'images', tmp_path / 'run'
  for split in ('train', 'test'):
    for index, name in enumerate(('cat', 'dog')):
      write(images / split / name / '1.png', 90 * index + 9)
  config = config_lib.load(f'{ROOT}/configs/conditional_vae.py:test')
  config.steps, config.evals = 1, {'elbo': {'name': 'likelihood.ELBO'}}
  config.evals.samples = {'name': 'figures.Samples', 'num': 4}
  config.data.update(name='folder', path='images', shape=(4, 4, 1))
  config.data.update(train='train', test='test')
  monkeypatch.chdir(tmp_path)  # where 'images' means something
  _, metrics = train(config, run)

  images = images.rename(tmp_path / 'elsewhere')
  experiment._open.cache_clear()  # as in another process
  (tmp_path / 'other').mkdir()
  monkeypatch.chdir(tmp_path / 'other')
  at = f'--workdir={run}'
  assert sample.main([at, '--label=dog', '--num=2']) == 0
  assert compare.main([at]) == 0
  assert evaluate.main([at, '--only=samples']) == 0

  error = refused(evaluate, at)  # after the others have run
  assert 'evaluators that need the data did not run (elbo): config' in error
  assert 'the data are not in' in error
  (run / 'evaluate' / 'images' / 'samples' / '1.png').unlink()
  assert refused(evaluate, at) == error
  assert (run / 'evaluate' / 'images' / 'samples' / '1.png').exists()
  assert '--config.data.path=PLACE' in error
  capsys.readouterr()
  place = f'--config.data.path={images}'
  assert evaluate.main([at, '--only=elbo', place]) == 0
  assert f'elbo = {metrics["elbo"]}\n' in capsys.readouterr().out
  error = refused(evaluate, at, '--config.data.classes=0')
  assert 'only --config.evals and the precision may change' in error

  write(images / 'train' / 'cat' / '2.png', 3)
  experiment._open.cache_clear()
  error = refused(evaluate, at, '--only=elbo', place)
  assert 'the training split had 2 examples, now 3' in error


@pytest.mark.parametrize(
  'change,said',
  [
    ('an image more', 'the training split had 3 examples, now 4'),
    ('another size', 'as many examples as before, but their content'),
    ('another place', None),
  ],
)
def test_a_run_goes_on_only_with_the_same_data_at_any_place(
  tmp_path, change, said
):
  images, run = tmp_path / 'images', tmp_path / 'run'
  for name in ('a', 'b', 'c'):
    write(images / 'train' / name / '1.png')
    write(images / 'test' / name / '1.png')

  def config(path):
    config = config_lib.load(f'{ROOT}/configs/vae.py:test')
    config.data.update(name='folder', path=str(path), shape=(4, 4, 1))
    config.data.update(train='train', test='test')
    return config

  def check(path):
    experiment._open.cache_clear()  # as in another process
    changed = experiment.resolve(config(path))
    one = experiment.Experiment(stages.plan(changed)[0])
    resume.check(run, changed, [one.data_record])
    return one

  (run / 'checkpoints' / '1').mkdir(parents=True)
  first = experiment.resolve(config(images))
  resume.record(run, first, [check(images).data_record])
  check(images)
  if change == 'an image more':
    shutil.copy(images / 'train/a/1.png', images / 'train/a/2.png')
  elif change == 'another size':
    Image.new('L', (4, 4), 9).save(images / 'train/a/1.png')
  else:
    images = images.rename(tmp_path / 'elsewhere')
  if said is None:
    check(images)
  else:
    with pytest.raises(InputError, match=said):
      check(images)
