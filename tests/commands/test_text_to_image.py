"""A model of captions, from its first stage to a sentence that is drawn."""

import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.commands import sample
from gen_jax.evaluation import sampling
from gen_jax.training.loop import train
from gen_jax.training.trained import open_trained

ROOT = pathlib.Path(__file__).parents[2]


def small(**fields):
  """The three stages of the test form, of three steps each.

  What is compiled is the same, so that one of the tests compiles it for all.
  """
  config = config_lib.load(f'{ROOT}/configs/stackgan.py:test')
  for stage in config.stages:
    stage['evals'] = {}
    # Its penalty would wait for the eighth step.
    if 'regularizers' in stage['objective']:
      stage['objective']['regularizers'] = {}
  config.checkpoint.update(every=1, keep=10)
  config.update(fields)
  return config


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  path = tmp_path_factory.mktemp('whole')
  train(small(), path)
  return path


def state_of(path, step=None):
  return jax.device_get(open_trained(path, step)[0])


def equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.slow('compiles three stages')
@pytest.mark.parametrize('cut', [5, 6])  # inside stage I, and at its end
def test_resume_is_exact_across_the_stages(trained, tmp_path, cut):
  shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
  for step in range(cut + 1, 10):
    os.rename(tmp_path / 'checkpoints' / str(step), tmp_path / f'gone-{step}')
  train(small(), tmp_path)
  equal(state_of(tmp_path), state_of(trained))


def test_a_player_that_learns_no_more_is_its_average(trained):
  reader, first, last = (state_of(trained, step) for step in (3, 6, 9))
  equal(first.players['text'], reader.ema['text'])
  equal(last.players['text'], reader.ema['text'])
  equal(last.players['gen1'], first.ema['gen1'])
  learned = reader.players['text']['params']['out']['kernel']
  kept = last.players['text']['params']['out']['kernel']
  assert np.abs(learned - kept).max() > 0


def draw(trained, out, *args):
  code = sample.main([f'--workdir={trained}', f'--out={out}', *args])
  assert code == 0
  return out


def test_sentences_become_rows_of_pictures(trained, tmp_path, capsys):
  texts = (
    '--text=a red heart',
    '--text=красный 心 ❤️',
    f'--text={"long " * 500}',
  )
  out = draw(trained, tmp_path / 'a.png', *texts, '--num=4')
  size = 16 + 2
  assert Image.open(out).size == (4 * size + 2, 3 * size + 2)
  assert 'its first 6 words are read' in capsys.readouterr().err
  arrays = [
    np.load(draw(trained, tmp_path / f'{n}.npz', *texts[:2], f'--num={n}'))
    for n in (2, 3)
  ]
  two, three = (a['images'].reshape(2, -1, 16, 16, 3) for a in arrays)
  np.testing.assert_array_equal(two, three[:, :2])
  draw(trained, f'{tmp_path}/b/', *texts[:2], '--num=3')
  files = sorted((tmp_path / 'b').iterdir())
  pictures = np.stack([np.asarray(Image.open(file)) for file in files])
  np.testing.assert_array_equal(pictures, three.reshape(6, 16, 16, 3))


def test_the_way_between_sentences(trained, tmp_path):
  texts = '--text=a red heart', '--text=a blue book', '--text=a cat'
  out = draw(trained, tmp_path / 'a.png', *texts, '--between=3', '--num=2')
  assert Image.open(out).size == (6 * 18 + 2, 2 * 18 + 2)


def test_the_first_ways_do_not_depend_on_the_number_of_rows(
  trained, tmp_path, monkeypatch
):
  monkeypatch.setattr(sampling, '_BATCH', 2)
  args = '--text=a red heart', '--text=a cat', '--between=2'
  few, many = (
    np.load(draw(trained, tmp_path / f'{n}.npz', *args, f'--num={n}'))['images']
    for n in (2, 5)
  )
  assert (few.shape, many.shape) == ((4, 16, 16, 3), (10, 16, 16, 3))
  np.testing.assert_array_equal(few, many[:4])
  assert np.any(many[:4] != many[4:8])


@pytest.mark.parametrize(
  ('args', 'message'),
  [
    ((), 'one or more of --text'),
    (('--text=',), '--text="": there is no word in it'),
    (('--text=...',), 'there is no word in it'),
    (('--text=a', '--between=4'), '--between=4: expected'),
    (('--text=a', '--text=b', '--between=1'), '--between=1: expected'),
  ],
)
def test_bad_sentences_are_refused(trained, refused, tmp_path, args, message):
  arguments = [f'--workdir={trained}', f'--out={tmp_path}/x.png', *args]
  assert message in refused(sample, *arguments)


def test_a_folder_with_captions_trains_with_one_changed_field(tmp_path):
  """As configs/stackgan.py:folder, in the test form's size."""
  folder = tmp_path / 'pictures'
  entries = []
  for split, count in (('train', 8), ('test', 2)):
    for i in range(count):
      file = folder / split / f'{i}.png'
      file.parent.mkdir(parents=True, exist_ok=True)
      Image.new('RGB', (20, 20), (20 * i, 0, 0)).save(file)
      entries.append({'file': f'{split}/{i}.png', 'captions': [f'red {i}']})
  (folder / 'captions.jsonl').write_text('\n'.join(map(json.dumps, entries)))
  own = config_lib.load(f'{ROOT}/configs/stackgan.py:folder')
  config = small(stages=small().stages[:1])
  config.data = own.data
  config.data.update(train='train', test='test', shape=(16, 16, 3))
  config_lib.apply(config, [('data.path', str(folder))])
  state, metrics = train(config, tmp_path / 'run')
  assert int(state.step) == 3
  assert np.isfinite(metrics['match/loss'])
