"""A sweep: every value is trained once, and the results stand side by side."""

import json
import pathlib
import re
import signal
import types

import pytest

from gen_jax.commands import sweep
from gen_jax.errors import EvaluationError, NonFiniteError
from gen_jax.storage import sweep_report
from gen_jax.storage.sweep_report import Result
from gen_jax.training.progress import Progress
from gen_jax.training.sweep import read_grid, split

ROOT = pathlib.Path(__file__).parents[2]

TEST = (
  f'--config={ROOT}/tests/dense_vae.py',
  "--config.evals={'elbo': {'name': 'likelihood.ELBO'}}",
)


def test_values_split_at_commas_outside_of_brackets():
  assert split('0.5,1,2') == ['0.5', '1', '2']
  assert split('(1,2),(3,),[4,(5,6)]') == ['(1,2)', '(3,)', '[4,(5,6)]']
  assert read_grid(['a=1,2', 'b.c=(3,4), x']) == [
    {'a': '1', 'b.c': '(3,4)'},
    {'a': '1', 'b.c': 'x'},
    {'a': '2', 'b.c': '(3,4)'},
    {'a': '2', 'b.c': 'x'},
  ]


RESULTS = [
  Result({'beta': '1', 'z': '2'}, 6, {'elbo': -4.0, 'elbo/kl': 1.0}),
  Result({'beta': '1', 'z': '4'}, 6, {'elbo': -1.0, 'elbo/kl': 2.0}),
  Result({'beta': '2', 'z': '2'}, 6, {'elbo': -1.0}),
]


def test_statistics_are_over_the_runs_that_have_a_metric():
  assert sweep_report.summary(RESULTS) == {
    'elbo': {'mean': -2.0, 'median': -1.0, 'min': -4.0, 'max': -1.0},
    'elbo/kl': {'mean': 1.5, 'median': 1.5, 'min': 1.0, 'max': 2.0},
  }


def test_a_table_has_rows_of_values_and_goes_on_below():
  wide = sweep_report.table(RESULTS, width=80).splitlines()
  assert wide[0].split() == ['beta,z', 'elbo', 'elbo/kl']
  assert wide[3].split() == ['2,2', '-1', '-']
  assert wide[5].split() == ['median', '-1', '1.5']
  narrow = sweep_report.table(RESULTS, width=18)
  assert max(map(len, narrow.splitlines())) <= 18
  assert narrow.count('median') == 2


def test_a_run_whose_evaluator_fails_is_among_the_results(
  tmp_path, monkeypatch, capsys
):
  def trained(config, path, stopper, extend, log):
    assert log == ()
    result = types.SimpleNamespace(step=6), {'elbo': -2.5}
    if config.seed == 1:
      raise EvaluationError('elbo: failed to evaluate', result)
    return result

  monkeypatch.setattr('gen_jax.training.sweep.train', trained)
  args = [*TEST, '--over=seed=1,2', f'--workdir={tmp_path}', '--log=none']
  assert sweep.main(args) == 5
  assert 'evaluators failed in: seed=1.' in capsys.readouterr().err
  runs = json.loads((tmp_path / 'sweep.json').read_text())['runs']
  assert [run['metrics'] for run in runs] == 2 * [{'elbo': -2.5}]


def test_a_run_that_is_not_finite_does_not_stop_the_others(
  tmp_path, monkeypatch, capsys
):
  def trained(config, path, stopper, extend, log):
    if config.seed == 2:
      raise NonFiniteError('step 1: a loss is not finite')
    return types.SimpleNamespace(step=6), {'elbo': -2.5}

  monkeypatch.setattr('gen_jax.training.sweep.train', trained)
  args = [*TEST, '--over=seed=1,2,3', f'--workdir={tmp_path}', '--log=none']
  assert sweep.main([*args, '--plot=elbo:elbo']) == 3
  assert 'not finite: seed=2.' in capsys.readouterr().err
  runs = json.loads((tmp_path / 'sweep.json').read_text())['runs']
  assert [len(run['metrics']) for run in runs] == [1, 0, 1]


def test_all_values_are_trained_once_and_compared(tmp_path, capsys):
  args = [
    *TEST,
    f'--workdir={tmp_path}',
    '--over=data.classes=(0,1),2',
    '--over=seed=3',
    '--plot=elbo/kl:elbo',
  ]
  assert sweep.main(args) == 0
  assert 'run 2/2  data.classes=2  seed=3' in capsys.readouterr().out
  folder = tmp_path / 'data.classes=(0,1)' / 'seed=3'
  lines = (folder / 'metrics.jsonl').read_text()
  report = json.loads((tmp_path / 'sweep.json').read_text())
  first, second = report['runs']
  assert first['values'] == {'data.classes': '(0,1)', 'seed': '3'}
  assert first['step'] == 6
  # What was measured, without the losses and the protocol.
  assert set(first['metrics']) == {'elbo', 'elbo/kl', 'elbo/reconstruction'}
  assert first['metrics'] != second['metrics']
  assert (tmp_path / 'elbo_kl-elbo.png').exists()
  assert sweep.main(args) == 0
  assert (folder / 'metrics.jsonl').read_text() == lines
  assert json.loads((tmp_path / 'sweep.json').read_text()) == report


@pytest.mark.parametrize(
  'args,expected',
  [
    (['--over=seed'], 'FIELD=VALUE'),
    (['--over=seed=1,,2'], 'FIELD=VALUE'),
    (['--over=seed=1,1'], '1 is given twice'),
    (['--over=stepz=1,2'], '"steps"'),
    (['--over=steps=5,big'], 'steps=big: expected int'),
    (['--over=seed=1', '--plot=elbo'], 'expected two metrics'),
    (['--over=seed=1', '--plot=elbo/kl:elbw/kl'], '"elbo"'),
    (['--over=data.classes=0,(1,10)'], 'no class 10'),
  ],
)
def test_what_is_wrong_is_found_before_anything_is_trained(
  refused,
  tmp_path,
  args,
  expected,
):
  error = refused(sweep, *TEST, f'--workdir={tmp_path}/w', *args)
  assert expected in error
  assert not (tmp_path / 'w').exists()


def test_finished_runs_get_another_end_together(refused, tmp_path):
  args = [*TEST, f'--workdir={tmp_path}', '--over=seed=1', '--config.evals={}']
  assert sweep.main([*args, '--config.steps=2']) == 0
  error = refused(sweep, *args, '--config.steps=3')
  assert 'Give --extend to go on' in error
  assert sweep.main([*args, '--config.steps=3', '--extend']) == 0
  (run,) = json.loads((tmp_path / 'sweep.json').read_text())['runs']
  assert run['step'] == 3


def test_a_signal_stops_the_sweep_and_the_same_command_goes_on(
  tmp_path, capsys, monkeypatch
):
  args = [*TEST, f'--workdir={tmp_path}', '--over=seed=1,2']
  args += ['--config.log_every=2', '--config.steps_per_dispatch=1']

  def interrupt(*_):
    signal.raise_signal(signal.SIGINT)

  with monkeypatch.context() as patch:
    patch.setattr(Progress, 'line', interrupt)
    assert sweep.main(args) == 0
  printed = capsys.readouterr().out
  assert 'stopped in run 1; the same command goes on' in printed
  assert 'run 2/2' not in printed
  assert not (tmp_path / 'sweep.json').exists()
  assert sweep.main(args) == 0
  assert re.search('resumes at step [1-5] of 6', capsys.readouterr().out)
  assert len(json.loads((tmp_path / 'sweep.json').read_text())['runs']) == 2
