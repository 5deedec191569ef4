"""A published model is one file that is used like a workdir."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

import gen_jax
from gen_jax import config as config_lib
from gen_jax.__main__ import main
from gen_jax.errors import InputError
from gen_jax.storage import published
from gen_jax.training import report, trained
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]


def run(name, workdir):
  config = config_lib.load(f'{ROOT}/configs/{name}.py:test')
  evals = config.evals.to_dict()
  config.evals = {k: evals[k] for k in ('nll',) if k in evals}
  for stage in config.stages:
    stage['evals'], stage['steps'] = {}, 1
  train(config, workdir)


@pytest.fixture(scope='module')
def vae(tmp_path_factory):
  """A published VAE in a folder of its own; its workdir is gone."""
  folder = tmp_path_factory.mktemp('published')
  run('vae', folder / 'run')
  flags = ['--license=CC0', '--command=make run']
  out = folder / 'vae.safetensors'
  assert (
    main(['publish', f'--workdir={folder}/run', f'--out={out}', *flags]) == 0
  )
  before = gen_jax.load(folder / 'run').sample(num=3, seed=1)
  (metrics,) = [
    x
    for x in map(json.loads, (folder / 'run/metrics.jsonl').open())
    if 'nll/nll' in x or 'nll' in x
  ][-1:]
  shutil.rmtree(folder / 'run')
  return out, before, metrics


def error_of(capsys, *arguments):
  assert main([*arguments]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  return line


@pytest.mark.slow('trains a model')
def test_a_published_model_is_the_model(vae):
  out, before, _ = vae
  model = gen_jax.load(out)
  np.testing.assert_array_equal(model.sample(num=3, seed=1), before)
  assert model.step == 6
  about = published.read(out)[1]
  assert (about.license, about.command) == ('CC0', 'make run')


@pytest.mark.slow('trains a model')
def test_the_metrics_are_those_of_the_step(tmp_path):
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  config.evals = {'elbo': {'name': 'likelihood.ELBO', 'every': 2}}
  config.checkpoint.every, config.checkpoint.keep = 2, 9
  train(config, tmp_path / 'run')
  lines = map(json.loads, (tmp_path / 'run/metrics.jsonl').open())
  elbos = {x['step']: x['elbo'] for x in lines if 'elbo' in x}
  assert len(set(elbos.values())) == 3
  for step, elbo in elbos.items():
    flags = [f'--workdir={tmp_path}/run', f'--step={step}', '--license=CC0']
    out = tmp_path / f'{step}.safetensors'
    assert main(['publish', *flags, f'--out={out}', '--result=elbo']) == 0
    about = published.read(out)[1]
    assert (about.step, about.metrics['elbo']) == (step, elbo)
  # From a file, the notes are kept.
  flags = [f'--workdir={out}', '--title=x', f'--out={tmp_path}/y.safetensors']
  assert main(['publish', *flags]) == 0
  about = published.read(tmp_path / 'y.safetensors')[1]
  assert (about.license, about.result, about.title) == ('CC0', 'elbo', 'x')
  # A step of NumPy is one, too.
  assert gen_jax.load(tmp_path / 'run', np.int64(2)).step == 2
  for step in ('2', 2.0, True):
    with pytest.raises(InputError, match='expected the number of a step'):
      gen_jax.load(tmp_path / 'run', step)
  # An old checkpoint that is evaluated last is not the result of the run.
  assert main(['evaluate', f'--workdir={tmp_path}/run', '--step=2']) == 0
  line = [x for x in report.read(tmp_path / 'run').lines if 'elbo' in x][-1]
  assert line['step'] == 6


@pytest.mark.slow('evaluates a model')
def test_an_evaluation_reproduces_the_recorded_number(
  vae, tmp_path, monkeypatch, capsys
):
  out, _, metrics = vae
  monkeypatch.chdir(tmp_path)
  assert main(['evaluate', f'--workdir={out}', '--only=nll']) == 0
  printed = dict(
    line.split(' = ')
    for line in capsys.readouterr().out.splitlines()
    if ' = ' in line
  )
  assert printed
  for name, value in printed.items():
    assert float(value) == pytest.approx(metrics[name], rel=1e-6)
  assert (tmp_path / 'runs/published/vae/evaluate/metrics.jsonl').is_file()


@pytest.mark.slow('trains a model of three stages')
def test_the_stage_of_the_model_is_published(tmp_path):
  run('stackgan', tmp_path / 'run')
  out = tmp_path / 'half.safetensors'
  flags = [f'--workdir={tmp_path}/run', f'--out={out}', '--dtype=float16']
  assert main(['publish', *flags]) == 0
  whole, half = gen_jax.load(tmp_path / 'run'), gen_jax.load(out)
  a, b = (m.draw('a red heart', num=4).astype(int) for m in (whole, half))
  assert 0 < np.abs(a).mean() and np.abs(a - b).mean() < 1


@pytest.mark.slow('trains a model')
def test_only_what_a_model_needs_is_in_the_file(tmp_path):
  config = config_lib.load(f'{ROOT}/configs/cyclegan.py:test')
  config.evals, config.steps = {}, 1
  train(config, tmp_path / 'run')
  out = tmp_path / 'x.safetensors'
  assert main(['publish', f'--workdir={tmp_path}/run', f'--out={out}']) == 0
  arrays, _ = published.read(out)
  assert not any('image_pool' in name for name in arrays)
  state, experiment = trained.open_trained(out)
  jax.tree.map(
    lambda x, y: (
      (x.shape, x.dtype) == (y.shape, y.dtype) or pytest.fail(str(y))
    ),
    state.players,
    dict(experiment.abstract_state().players),
  )


def test_a_player_without_parameters_stays_one():
  """As the one of StyleGAN that holds the weight of a new resolution."""
  expected = {
    'fade_in': {'params': {}, 'fade_in': {}},
    'gen': {'params': {'x': jax.ShapeDtypeStruct((2,), np.float32)}},
  }
  arrays = {'gen/params/x': np.ones(2, np.float16)}
  found = published.fit(arrays, expected, 'x.safetensors')
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  assert found['gen']['params']['x'].dtype == np.float32


def test_a_file_does_not_say_where_the_data_were():
  config = config_lib.load(f'{ROOT}/configs/cyclegan.py:folder')
  config.data.common.path = '/home/me/secret'
  text = config_lib.to_json(config_lib.without_places(config))
  assert 'secret' not in text
  assert config.data.common.path == '/home/me/secret'


def test_files_that_cannot_be_used_are_refused_in_one_line(
  vae, tmp_path, capsys
):
  good, file = vae[0], tmp_path / 'x.safetensors'

  def refused():
    return error_of(
      capsys, 'sample', f'--workdir={file}', f'--out={tmp_path}/x.png'
    )

  assert 'No such file' in refused()
  file.write_bytes(b'not this')
  assert 'cannot be used' in refused()
  content = bytearray(good.read_bytes())
  content[-5] ^= 1
  file.write_bytes(content)
  assert 'SHA-256' in refused()
  safetensors.numpy.save_file({'x': np.zeros(3)}, file)
  assert 'gen_jax publish' in refused()
  arrays, about = published.read(good)
  name = 'model/params/decoder/Dense_0/bias'
  rest = {k: x for k, x in arrays.items() if k != name}
  assert len(rest) == len(arrays) - 1
  write(file, rest, about)
  assert f'{name} is missing' in refused()
  write(file, {**arrays, name: arrays[name][:-1]}, about)
  assert f'{name} has the shape' in refused()
  config = json.loads(about.config)
  config['objective']['name'] = 'os.system'
  write(file, arrays, about.model_copy(update={'config': json.dumps(config)}))
  assert 'os.system' in refused()
  assert '--step=3: ' in error_of(
    capsys, 'sample', f'--workdir={good}', '--step=3', f'--out={tmp_path}/x.png'
  )


def write(file, arrays, about):
  """Writes a file whose SHA-256 is right."""
  about = about.model_copy(update={'sha256': published._digest(arrays)})
  header = {'gen_jax': about.model_dump_json()}
  safetensors.numpy.save_file(arrays, file, metadata=header)
