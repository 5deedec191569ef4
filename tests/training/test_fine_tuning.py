"""A run starts from a trained model, and parts of it stay as they are."""

import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.__main__ import main
from gen_jax.core import averaged
from gen_jax.errors import InputError
from gen_jax.training import fine_tuning, trained
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]


def config_of(name='dcgan', **fields):
  config = config_lib.load(f'{ROOT}/configs/{name}.py:test')
  config.evals, config.seed, config.steps = {}, 1, 2
  for field, value in fields.items():
    config_lib.override(config, field.replace('__', '.'), str(value))
  return config


def equal(a, b):
  """Whether all parameters of two players are equal."""
  return jax.tree.all(jax.tree.map(np.array_equal, a['params'], b['params']))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """The workdir of a DCGAN that was trained for some steps."""
  workdir = tmp_path_factory.mktemp('init') / 'run'
  train(config_of(seed=0, steps=4), workdir)
  return workdir


@pytest.mark.parametrize('weights', ['averaged', 'raw'])
def test_a_frozen_player_stays_what_it_was(run, weights, tmp_path):
  source, _ = trained.open_trained(run)
  before = averaged(source) if weights == 'averaged' else source.players
  state, _ = train(
    config_of(init__path=run, init__weights=weights, freeze='gen'), tmp_path
  )
  assert equal(state.players['gen'], before['gen'])
  assert not equal(state.players['disc'], before['disc'])
  assert not equal(source.ema['gen'], source.players['gen'])


def test_the_players_start_from_those_of_the_model(run, tmp_path):
  source, _ = trained.open_trained(run)
  fields = dict(init__path=run, freeze='gen,disc')
  state, _ = train(config_of(**fields), tmp_path)
  for name, player in averaged(source).items():
    assert equal(state.players[name], player)


@pytest.mark.parametrize('bound', [0, 0.001])  # of weights, as WGAN has it
def test_only_the_modules_that_are_named_stay(run, bound, tmp_path):
  source, _ = trained.open_trained(run)
  before = source.players['disc']['params']
  name, *rest = before
  fields = dict(freeze=f'disc/{name}', objective__clip_weights=bound)
  state, _ = train(config_of(init__path=run, **fields), tmp_path)
  after = state.players['disc']['params']
  assert equal({'params': before[name]}, {'params': after[name]})
  assert not any(
    np.array_equal(x, y)
    for other in rest
    for x, y in zip(
      jax.tree.leaves(before[other]), jax.tree.leaves(after[other]), strict=True
    )
  )


@pytest.mark.slow('trains three times')
def test_a_run_with_frozen_modules_resumes_exactly(run, tmp_path):
  fields = dict(
    init__path=run,
    freeze='disc/Conv_0',
    optim__disc__schedule='constant',
    optim__gen__schedule='constant',
  )
  whole, _ = train(config_of(**fields, steps=4), tmp_path / 'whole')
  train(config_of(**fields, steps=2), tmp_path / 'parts')
  parts, _ = train(config_of(**fields, steps=4), tmp_path / 'parts')
  jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_another_start_is_another_run(run, tmp_path):
  train(config_of(), tmp_path)
  with pytest.raises(InputError, match='another config .*init.path'):
    train(config_of(init__path=run, steps=4), tmp_path)


def test_arrays_of_other_shapes_are_initialized(run, tmp_path, capsys):
  source, _ = trained.open_trained(run)
  config = config_of(init__path=run, steps=1)
  config.objective.disc.channels = (8,)
  state, _ = train(config, tmp_path)
  printed = capsys.readouterr().out
  assert 'gen: 5 of 5 arrays are taken' in printed
  assert 'disc: 1 of 4 arrays are taken' in printed
  assert 'disc/Dense_0/kernel' in printed
  assert state.players['disc']['params'].keys() == (
    source.players['disc']['params'].keys()
  )


def test_images_of_a_folder_get_the_shape_of_the_model(run, tmp_path):
  """The command of the README; the images have another size and color."""
  for index in range(20):
    path = tmp_path / 'images' / f'{index}.png'
    path.parent.mkdir(exist_ok=True)
    Image.new('RGB', (40, 30), (index, 2 * index, 90)).save(path)
  flags = ['--config.data.name=folder', f'--config.data.path={path.parent}']
  flags += ['--config.data.train=train', '--config.data.test=test']
  flags += [f'--init={run}', '--config.steps=1']
  code = main(
    [
      'train',
      f'--config={ROOT}/configs/dcgan.py:test',
      '--config.evals={}',
      f'--workdir={tmp_path}/run',
      *flags,
    ]
  )
  assert code == 0
  assert trained.open_trained(tmp_path / 'run')[1].config.data.shape == (
    28,
    28,
    1,
  )


@pytest.mark.slow('compiles three steps of a StyleGAN')
def test_every_stage_takes_the_arrays_that_it_adds(tmp_path):
  def stylegan(stages, **fields):
    config = config_of('stylegan', **fields)
    keep = ('objective.gen.shape', 'batch_size')
    first, *_, last = config.stages
    chosen = (first, last)[2 - stages :]
    config.stages = tuple(
      {'steps': 1, **{k: stage[k] for k in keep}} for stage in chosen
    )
    return config

  train(stylegan(1, seed=0), tmp_path / 'source')
  source, _ = trained.open_trained(tmp_path / 'source')
  config = stylegan(2, init__path=tmp_path / 'source', freeze='gen')
  state, _ = train(config, tmp_path / 'run')
  assert equal(state.players['gen'], averaged(source)['gen'])


def error_of(capsys, tmp_path, *flags):
  arguments = [f'--config={ROOT}/configs/dcgan.py:test', '--config.evals={}']
  code = main(['train', *arguments, f'--workdir={tmp_path}/run', *flags])
  (line,) = capsys.readouterr().err.splitlines()
  return code, line


@pytest.mark.parametrize(
  'flag,message',
  [
    ('--init=zoo:nothing', 'zoo:nothing: the package has no such'),
    ('--init=nowhere', 'nowhere does not exist'),
    ('--init=x.safetensors', 'x.safetensors cannot be used'),
    ('--freeze=disk', "config.freeze: no parameters are below 'disk'. Did "),
    ('--freeze=disc/Conv', "no parameters are below 'disc/Conv'"),
    ('--config.init.weights=ema', 'config.init.weights'),
    ('--init_weights=ema', '--init_weights=ema'),
  ],
)
def test_bad_flags_are_refused_in_one_line(flag, message, capsys, tmp_path):
  code, line = error_of(capsys, tmp_path, flag)
  assert code == 2 and message in line


def test_a_model_without_any_such_array_is_refused(run, capsys, tmp_path):
  config = config_of('vae', init__path=run)
  with pytest.raises(InputError, match='none of their arrays'):
    train(config, tmp_path)


def test_a_file_has_no_raw_weights(run, tmp_path):
  out = tmp_path / 'x.safetensors'
  assert main(['publish', f'--workdir={run}', f'--out={out}']) == 0
  init = config_of(init__path=out, init__weights='raw').init
  with pytest.raises(InputError, match='averaged weights alone'):
    fine_tuning.players(init)
  init.weights = 'averaged'
  source, _ = trained.open_trained(run)
  found = fine_tuning.players(init)
  assert equal(found['gen'], averaged(source)['gen'])
