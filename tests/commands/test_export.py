"""Files of trained models, and the classification accuracy score."""

import hashlib
import json
import pathlib
import sys

import jax
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax.commands import classification_score, export
from gen_jax.storage import weights
from gen_jax.training import tasks
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module')
def classifier(tmp_path_factory):
  """The workdir of a tiny classifier of 14x14 digits."""
  path = tmp_path_factory.mktemp('classifier')
  train(config_lib.load(f'{ROOT}/configs/classifier.py:test'), path)
  return path


@pytest.mark.slow('compiles a run')
def test_exported_parameters_are_those_of_the_workdir(classifier, tmp_path):
  out = tmp_path / 'digits.safetensors'
  args = [f'--workdir={classifier}', f'--out={out}']
  assert export.main([*args, '--metric=classification/accuracy']) == 0
  players, about = weights.read(out)
  model = tasks.open_model(str(classifier))
  for name, layer in model.players['model']['params'].items():
    for field, x in layer.items():
      np.testing.assert_array_equal(players['model']['params'][name][field], x)
  assert about['accuracy'] == model.metrics['classification/accuracy']
  assert about['config']['objective']['network']['channels'] == [4, 8]
  assert about['data']['shape'] == [28, 28, 1]
  assert 'path' not in json.dumps(about['config']['data'])


@pytest.mark.slow('compiles a run')
def test_a_metric_that_the_workdir_lacks_is_one_line(
  classifier, tmp_path, capsys
):
  out = tmp_path / 'digits.safetensors'
  args = [f'--workdir={classifier}', f'--out={out}', '--metric=nosuch']
  assert export.main(args) == 2
  assert 'no such metric' in capsys.readouterr().err
  assert not out.exists()


@pytest.mark.slow('compiles a run')
def test_a_program_is_written_with_its_description(classifier, tmp_path):
  out = tmp_path / 'digits.stablehlo'
  args = [f'--workdir={classifier}', f'--out={out}', '--capability=classify']
  assert export.main([*args, '--platforms=cpu,tpu']) == 0
  content = out.read_bytes()
  about = json.loads(out.with_suffix('.json').read_text())
  assert about['sha256'] == hashlib.sha256(content).hexdigest()
  assert about['platforms'] == ['cpu', 'tpu']
  assert about['config']['objective']['name'] == 'classifier.Classifier'
  model = tasks.open_model(str(classifier))
  images = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
  expected = model.objective.predict_fns()['classify'](
    model.players, {'image': images}
  )
  found = jax.export.deserialize(bytearray(content)).call(images)
  np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow('compiles a run')
@pytest.mark.parametrize(
  'args,message',
  [
    (['--out=a.stablehlo'], 'name a --capability'),
    (['--out=a.safetensors', '--capability=classify'], 'none for parameters'),
    (['--out=a.pb', '--capability=classify'], 'expected a name that ends in'),
    (['--out=a.stablehlo', '--capability=decode'], 'Known: classify, features'),
    (
      ['--out=a.stablehlo', '--capability=classify', '--platforms=gpu'],
      '--platforms=gpu: expected some of cpu, cuda, rocm, tpu',
    ),
  ],
)
def test_what_cannot_be_exported_is_one_line(
  classifier, tmp_path, monkeypatch, capsys, args, message
):
  monkeypatch.chdir(tmp_path)
  assert export.main([f'--workdir={classifier}', *args]) == 2
  (line,) = capsys.readouterr().err.strip().splitlines()
  assert message in line
  assert not list(tmp_path.iterdir())


@pytest.mark.slow('compiles a run')
def test_without_the_libraries_for_onnx_it_says_what_to_install(
  classifier, tmp_path, monkeypatch, capsys
):
  monkeypatch.setitem(sys.modules, 'jax2onnx', None)
  out = tmp_path / 'digits.onnx'
  args = [f'--workdir={classifier}', f'--out={out}', '--capability=classify']
  assert export.main(args) == 2
  assert "pip install 'gen_jax[onnx]'" in capsys.readouterr().err


@pytest.mark.slow('compiles two runs')
def test_a_classifier_is_trained_on_samples(tmp_path, capsys):
  config = config_lib.load(f'{ROOT}/configs/cgan.py:test')
  config.evals = {}
  train(config, tmp_path)
  args = [
    f'--workdir={tmp_path}',
    f'--config={ROOT}/configs/classifier.py:test',
    '--num=80',
  ]
  capsys.readouterr()
  assert classification_score.main(args) == 0
  *_, line = capsys.readouterr().out.strip().splitlines()
  name, _, value = line.partition(' = ')
  assert name == 'classification accuracy score'
  assert 0 <= float(value) <= 1
