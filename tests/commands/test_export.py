"""Parameters in one file, and the classification accuracy score."""

import json
import pathlib

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
