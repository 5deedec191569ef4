"""The check of a GPU: what it runs, what it concludes, and what it reports."""

import json
import pathlib
import re
import sys
import time

import pytest

from bench import start
from bench.__main__ import find_rows
from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.training.experiment import resolve
from launch import gpu_check

ROOT = pathlib.Path(__file__).parents[2]


def python(code, **fields):
  """A check that runs a line of Python in its own folder."""
  fields = {
    'name': 'x',
    'about': 'About x.',
    'limit': 60,
    'read': lambda folder: 'a number',
    **fields,
  }
  return gpu_check.Check(
    commands=[('{python}', '-c', f'import os; os.chdir("{{out}}"); {code}')],
    **fields,
  )


def metrics(value):
  row = json.dumps({'step': 3, 'elbo': value})
  return f'os.mkdir("run"); open("run/metrics.jsonl", "w").write({row!r})'


def trained_to(value):
  """A check that trains to -130 or so, as if it had reached a value."""
  words = 'vae', 'About the VAE.', 'elbo', (-135.0, -125.0), 60
  check = gpu_check.training(*words)
  return python(metrics(value), read=check.read, expected=check.expected)


def line(check, folder, limit=60):
  return gpu_check.run_check(check, 'cpu', folder / check.name, limit)


def test_a_number_outside_of_its_interval_fails_the_check(tmp_path):
  inside, outside = (line(trained_to(x), tmp_path) for x in (-130.0, -140.0))
  assert (inside['status'], inside['number']) == ('passed', 'elbo -130.00')
  assert (outside['status'], outside['number']) == ('failed', 'elbo -140.00')
  assert outside['reason'] == 'expected -135 to -125'
  assert line(trained_to(float('nan')), tmp_path)['status'] == 'failed'


def test_a_failed_check_says_why_and_does_not_stop_the_later_ones(tmp_path):
  chosen = [
    python('raise ValueError("no such kernel")', name='fails'),
    python('os.abort()', name='crashes'),
    python('pass', name='misses', read=lambda folder: str(1 / 0)),
    python('print(1)', name='passes'),
  ]
  lines = list(gpu_check.run_all(chosen, 'cpu', 1, tmp_path, 60))
  assert [x['status'] for x in lines] == ['failed'] * 3 + ['passed']
  assert 'exit code 1: ValueError: no such kernel' in lines[0]['reason']
  assert str(tmp_path / 'fails' / 'output.log') in lines[0]['reason']
  assert 'exit code -6' in lines[1]['reason']
  assert 'division by zero' in lines[2]['reason']


def test_a_check_that_hangs_ends_at_its_limit_with_all_its_processes(tmp_path):
  # The inner process holds a file open and writes to it when it lives on.
  inner = 'import time; time.sleep(3); open("alive", "w")'
  code = (
    f'import subprocess, sys; subprocess.run([sys.executable, "-c", {inner!r}])'
  )
  found = line(python(code), tmp_path, limit=1)
  assert (found['status'], found['reason']) == (
    'failed',
    'it took longer than 1 s',
  )
  time.sleep(3)
  assert not (tmp_path / 'x' / 'alive').exists()


def test_a_check_is_skipped_without_its_devices_or_its_time(tmp_path):
  two = python('pass', devices=2)
  (found,) = gpu_check.run_all([two], 'gpu', 1, tmp_path, 60)
  assert found['status'] == 'skipped'
  assert found['reason'] == 'needs 2 devices, and there is 1'
  (found,) = gpu_check.run_all([python('pass')], 'cpu', 1, tmp_path, 0)
  assert found['status'] == 'skipped'
  assert found['reason'] == 'no time was left of 0 minutes'


@pytest.mark.parametrize('value,code', [(-130.0, 0), (-140.0, 1)])
def test_the_reports_and_the_exit_code(value, code, tmp_path, monkeypatch):
  checks = [trained_to(value), python('pass', name='two', devices=2)]
  monkeypatch.setattr(gpu_check, 'checks', lambda: checks)
  monkeypatch.setattr(gpu_check, 'find_devices', lambda device: ['H100'])
  assert gpu_check.main([f'--out={tmp_path}']) == code
  report = json.loads((tmp_path / 'report.json').read_text())
  assert report['kinds'] == ['H100']
  assert {'python', 'jax', 'jaxlib', 'flax'} <= set(report['versions'])
  assert [x['status'] for x in report['checks']] == [
    'failed' if code else 'passed',
    'skipped',
  ]
  page = (tmp_path / 'report.md').read_text()
  status = 'failed' if code else 'passed'
  row = f'| x | {status} | elbo {value:.2f} | -135 to -125 | '
  assert row in page
  assert '| two | skipped |  |  | 0 s | About x. needs 2 devices' in page
  assert f'    {sys.executable} -c ' in page


def test_an_interrupted_check_leaves_the_report_of_the_others(
  tmp_path, monkeypatch
):
  def interrupt(folder):
    raise KeyboardInterrupt

  checks = [python('pass'), python('pass', name='y', read=interrupt)]
  monkeypatch.setattr(gpu_check, 'checks', lambda: checks)
  monkeypatch.setattr(gpu_check, 'find_devices', lambda device: ['H100'])
  gpu_check.main([f'--out={tmp_path}'])
  report = json.loads((tmp_path / 'report.json').read_text())
  assert [x['name'] for x in report['checks']] == ['x']
  assert '1 passed, 0 failed, 0 skipped' in (tmp_path / 'report.md').read_text()


def test_the_report_states_how_the_benchmark_rounds(tmp_path):
  bench = {'rounding_text': 'products of float32: rounded', 'rows': []}
  code = f'open("bench.json", "w").write({json.dumps(bench)!r})'
  found = line(python(code, details='bench.json'), tmp_path)
  assert found['details'] == bench
  report = {'device': 'gpu', 'kinds': ['H100'], 'driver': '', 'commit': ''}
  report |= {'versions': {}, 'time': '', 'seconds': 1, 'checks': [found]}
  page = gpu_check.markdown(report)
  assert '- Benchmark: products of float32: rounded\n' in page


@pytest.mark.parametrize(
  'row,remarks,text',
  [
    ({}, [], ', without PyTorch'),
    ({'ratio': 1.5}, [], ', 1.50 times the speed of PyTorch'),
    ({}, ['x: disturbed'], ', without PyTorch; x: disturbed'),
  ],
)
def test_a_row_of_the_benchmark_is_a_speed(tmp_path, row, remarks, text):
  ours = {'ms_per_step': 2.0, 'images_per_second': 64_000.0}
  result = {'rows': [{'gen_jax': ours, **row}], 'remarks': remarks}
  (tmp_path / 'bench.json').write_text(json.dumps(result))
  found = gpu_check.benchmark('x').read(tmp_path)
  assert found == f'2.00 ms, 64,000 images/s{text}'


def test_an_unknown_check_is_refused_with_the_names_of_all(capsys):
  assert gpu_check.main(['--only=vae,speed']) == 2
  error = capsys.readouterr().err
  assert error.startswith('gen_jax: --only=speed: expected layers, vae, ')


def test_a_gpu_that_is_not_there_is_refused_with_the_fix(monkeypatch):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
  with pytest.raises(InputError, match=r"cuda\]'; without one: --device=cpu"):
    gpu_check.find_devices('gpu')


def commands(name=''):
  for check in gpu_check.checks():
    if name in check.name:
      for command in check.commands:
        yield gpu_check.words(command, 'gpu', pathlib.Path('OUT'), '--steps=1')


def test_the_trainings_have_fields_that_their_configs_know():
  count = 0
  for words in commands():
    (name,) = [w for w in words if w.startswith('--config=')] or [None]
    if name:
      config = config_lib.load(str(ROOT / name.partition('=')[2]))
      given = [w for w in words if w.startswith('--config.')]
      config_lib.apply(config, cli.overrides(given))
      assert stages.plan(resolve(config))
      count += 1
  assert count == 6


def test_the_tests_that_it_runs_exist():
  paths = [w for words in commands() for w in words if w.startswith('tests/')]
  assert paths
  for path in paths:
    file, _, test = path.partition('::')
    text = (ROOT / file).read_text()
    assert not test or f'def {test.partition("[")[0]}(' in text, path


def test_every_row_of_the_benchmark_is_timed():
  rows = {row.name for row in find_rows()} | {start.NAME}
  given = [re.search(r'--rows=(\w+)', ' '.join(w)) for w in commands('bench_')]
  assert {found[1] for found in given} == rows


@pytest.mark.parametrize(
  'visible,first,both', [('', '0', '0,1'), ('3,5,7', '3', '3,5')]
)
def test_a_check_gets_one_gpu_or_two(monkeypatch, visible, first, both):
  monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
  one, two, processes = commands('two_devices')
  assert f'CUDA_VISIBLE_DEVICES={first}' in one
  assert f'CUDA_VISIBLE_DEVICES={both}' in two
  assert '--gpus=2' in processes
  env = gpu_check.environment(python('pass'), 'gpu')
  assert env['CUDA_VISIBLE_DEVICES'] == first
  assert env['JAX_PLATFORMS'] == 'cuda'
  # Another process on the same GPU needs memory as well.
  assert env['XLA_PYTHON_CLIENT_PREALLOCATE'] == 'false'
