"""Code that a workdir names is imported only if the user confirms it."""

import sys

import pytest

from gen_jax import config as config_lib
from gen_jax import main
from gen_jax.commands import evaluate

TEST = '--config=tests/dense_vae.py'
NAME = 'code_of_somebody.features'


@pytest.fixture
def code(tmp_path, monkeypatch):
  """A module that leaves a file when it is imported; returns that file."""
  trace = tmp_path / 'imported'
  (tmp_path / 'code_of_somebody.py').write_text(
    f'open({str(trace)!r}, "w").close()\n'
    'def features(images):\n'
    '  return images.reshape(len(images), -1)[:, ::99]\n'
  )
  monkeypatch.syspath_prepend(str(tmp_path))
  yield trace
  sys.modules.pop('code_of_somebody', None)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained') / 'w'
  assert main.main([TEST, f'--workdir={folder}']) == 0
  config = config_lib.from_json((folder / 'config.json').read_text())
  fidelity = {'name': 'fidelity.Fidelity', 'features': NAME, 'num': 20}
  config.evals = {
    'error': {'name': 'reconstruction.Error'},
    'fidelity': fidelity,
    'same': fidelity,
  }
  (folder / 'config.json').write_text(config_lib.to_json(config))
  return folder


@pytest.mark.parametrize(
  'args',
  [
    [],
    ['--only=fidelity'],
    ['--only=error,fidelity'],
    ['--allow_code=code_of_somebody'],
    # Another field, and the field of another evaluator.
    ['--config.evals.fidelity.num=10'],
    ['--config.evals.same.features=random'],
  ],
)
def test_evaluate_names_the_code_and_the_flag(trained, refused, code, args):
  error = refused(evaluate, f'--workdir={trained}', *args)
  assert f"config.evals.fidelity.features='{NAME}'" in error
  assert f'--allow_code={NAME}' in error
  assert not code.exists()


@pytest.mark.parametrize('arg', ['--only=error', '--add=likelihood.ELBO'])
def test_nothing_is_imported_for_evaluators_that_do_not_run(trained, code, arg):
  assert evaluate.main([f'--workdir={trained}', arg]) == 0
  assert not code.exists()


@pytest.mark.parametrize(
  'args',
  [
    [f'--allow_code={NAME}'],
    [f'--config.evals.fidelity.features={NAME}'],
    [
      "--config.evals={'fidelity': {'name': 'fidelity.Fidelity', 'num': 20, "
      f"'features': '{NAME}'}}}}"
    ],
  ],
)
def test_code_that_the_command_line_names_is_run(trained, code, args):
  args = [*args, '--only=fidelity']
  assert evaluate.main([f'--workdir={trained}', *args]) == 0
  assert code.exists()


def test_other_features_need_no_code(trained, code):
  args = ['--only=fidelity', '--config.evals.fidelity.features=random']
  assert evaluate.main([f'--workdir={trained}', *args]) == 0
  assert not code.exists()


def test_an_evaluator_gives_the_same_numbers_alone_and_among_others(
  trained, code, capsys
):
  lines = []
  for only in ('same', 'error,fidelity,same'):
    args = [f'--workdir={trained}', f'--only={only}', f'--allow_code={NAME}']
    assert evaluate.main(args) == 0
    out = capsys.readouterr().out.splitlines()
    lines.append([line for line in out if line.startswith('same/')])
  assert lines[0]
  assert lines[0] == lines[1]
