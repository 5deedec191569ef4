"""A run that was killed and started again ends as one that was not."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import environment
import jax
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax import main, stages, workdir
from gen_jax.errors import InputError, NonFiniteError
from gen_jax.experiment import Experiment
from gen_jax.train import train

ROOT = pathlib.Path(__file__).parents[1]


def test_config(**fields):
  """The smallest run, without the evaluators that take time."""
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  for name in list(config.evals):
    if name not in ('elbo', 'samples'):
      del config.evals[name]
  for field, value in fields.items():
    group, last = config_lib.find(config, field.replace('__', '.'), 'test')
    group[last] = value
  return config


test_config.__test__ = False


def final(path):
  """The newest state of a workdir, verified by its checksums."""
  state, _ = workdir.open_trained(path)
  return state


def equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), b)


ARGS = (
  '--config=configs/conditional_vae.py:test',
  '--config.steps=400',
  '--config.log_every=20',
  '--config.checkpoint.every=20',
  '--config.steps_per_dispatch=8',
  "--config.evals={'elbo': {'name': 'likelihood.ELBO', 'every': 50}}",
)


def start(path):
  return subprocess.Popen(
    [sys.executable, '-m', 'gen_jax.main', f'--workdir={path}', *ARGS],
    cwd=ROOT,
    env={**os.environ, 'XLA_FLAGS': environment.xla_flags(1)},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def wait_for_checkpoint(path, process, after=0):
  """Returns the step of the first checkpoint beyond `after`."""
  while True:
    ended = process.poll() is not None
    folder = path / 'checkpoints'
    steps = [int(p.name) for p in folder.glob('*') if p.name.isdigit()]
    if steps and max(steps) > after:
      return max(steps)
    assert not ended, process.communicate()[0]
    time.sleep(0.002)


def finish(process):
  """Waits for a process; returns its exit code and what it printed."""
  try:
    output, _ = process.communicate(timeout=environment.HANG)
  finally:
    process.kill()
  return process.returncode, output


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that nobody disturbed."""
  path = tmp_path_factory.mktemp('whole')
  code, output = finish(start(path))
  assert code == 0, output
  return path


def numbers(path):
  """The metrics of a run but for its timings."""
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  return [
    {k: v for k, v in json.loads(line).items() if not k.startswith('time/')}
    for line in lines
  ]


@pytest.mark.slow('starts three processes')
def test_killed_at_any_moment_and_started_again(whole, tmp_path):
  process = start(tmp_path)
  step = wait_for_checkpoint(tmp_path, process)
  time.sleep(random.Random(step).random() * 0.1)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert step < 400
  # As a process leaves it that dies while it writes.
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 39')
  code, output = finish(start(tmp_path))
  assert code == 0, output
  assert 'resumes at step' in output
  equal(final(tmp_path), final(whole))
  assert numbers(tmp_path) == numbers(whole)


@pytest.mark.slow('starts three processes')
def test_a_signal_saves_and_the_same_command_goes_on(whole, tmp_path):
  stopped = 0
  for number in (signal.SIGTERM, signal.SIGINT):
    process = start(tmp_path)
    wait_for_checkpoint(tmp_path, process, after=stopped)
    process.send_signal(number)
    code, output = finish(process)
    assert code == 0, output
    assert 'stopped at step' in output
    assert f'{"resumes" if stopped else "starts"} at step {stopped} ' in output
    stopped = int(final(tmp_path).step)
    assert 0 < stopped < 400
  code, output = finish(start(tmp_path))
  assert code == 0, output
  assert f'resumes at step {stopped} ' in output
  equal(final(tmp_path), final(whole))


def damage(folder, how):
  """Damages the largest file of a checkpoint."""
  file = max(
    (p for p in folder.rglob('*') if p.is_file()),
    key=lambda p: p.stat().st_size,
  )
  content = bytearray(file.read_bytes())
  if how == 'truncated':
    del content[len(content) // 2 :]
  elif how == 'flipped':
    content[len(content) // 2] ^= 0x10
  file.write_bytes(content)
  if how == 'deleted':
    file.unlink()


@pytest.mark.parametrize('how', ['truncated', 'flipped', 'deleted'])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(
  tmp_path, capfd, how
):
  config = test_config()
  state, _ = train(config, tmp_path)
  damage(tmp_path / 'checkpoints' / '6', how)
  capfd.readouterr()
  again, _ = train(config, tmp_path)
  error = capfd.readouterr()
  assert 'checkpoints/6' in error.err
  assert 'resumes at step 4' in error.out
  equal(again, jax.device_get(state))
  assert int(final(tmp_path).step) == 6


def test_a_finished_run_is_left_as_it_is(tmp_path):
  config = test_config()
  state, metrics = train(config, tmp_path)
  lines = numbers(tmp_path)
  again, metrics_again = train(config, tmp_path)
  equal(again, jax.device_get(state))
  assert numbers(tmp_path) == lines
  assert metrics_again['elbo'] == metrics['elbo']


def test_resident_and_streamed_data_give_the_same_run(tmp_path):
  a, b = (
    train(test_config(data__resident=how), tmp_path / how)[0]
    for how in ('yes', 'no')
  )
  # Two programs: what the compiler fuses may differ in the last bit.
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7), a, b
  )


def test_stages_are_one_run_and_resume_across_their_boundary(tmp_path):
  fields = dict(
    stages=(
      {'steps': 3},
      {'steps': 4, 'optim.model.learning_rate': 1e-2, 'batch_size': 16},
    ),
    evals={},
    checkpoint__every=1,
    checkpoint__keep=10,
  )
  whole, _ = train(test_config(**fields), tmp_path / 'whole')
  assert int(whole.step) == 7
  # Cut exactly at the boundary, then within the second stage.
  for cut in (3, 4):
    path = tmp_path / str(cut)
    shutil.copytree(tmp_path / 'whole', path)
    for step in range(cut + 1, 8):
      shutil.rmtree(path / 'checkpoints' / str(step))
    again, _ = train(test_config(**fields), path)
    equal(again, jax.device_get(whole))


@pytest.mark.parametrize('normalise', ['batch', 'spectral'])
def test_statistics_and_averages_resume_too(tmp_path, normalise):
  """A game with normalised players and an averaged generator."""
  config = config_lib.load(f'{ROOT}/configs/dcgan.py:test')
  config.objective.disc.normalise = normalise
  config.objective.penalty = ''
  config.checkpoint.every, config.evals = 3, {}
  train(config, tmp_path)
  whole = final(tmp_path)
  assert whole.ema['gen']
  kind = 'batch_stats' if normalise == 'batch' else 'spectral'
  assert jax.tree.leaves(whole.players['disc'][kind])
  os.rename(tmp_path / 'checkpoints' / '6', tmp_path / 'gone')
  again, _ = train(config, tmp_path)
  equal(again, jax.device_get(whole))


def test_evaluations_at_the_end_of_a_stage_are_made_up_for(tmp_path):
  stages_ = ({'steps': 3}, {'steps': 2})
  config = test_config(stages=stages_, checkpoint__every=1, checkpoint__keep=10)
  train(config, tmp_path)
  whole = numbers(tmp_path)
  # As after a signal between the checkpoint and the evaluation at its step.
  for step in (4, 5):
    os.rename(tmp_path / 'checkpoints' / str(step), tmp_path / f'gone-{step}')
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines(keepends=True)
  kept = [line for line in lines if '"elbo"' not in line]
  (tmp_path / 'metrics.jsonl').write_text(''.join(kept))
  train(config, tmp_path)
  evaluated = [line['step'] for line in whole if 'elbo' in line]
  again = [line['step'] for line in numbers(tmp_path) if 'elbo' in line]
  assert evaluated == again == [3, 5]


def test_a_stage_may_get_other_evaluators(tmp_path):
  plain = test_config(stages=({'steps': 3},))
  train(plain, tmp_path)
  evals = {'samples': {'name': 'figures.Samples'}}
  train(test_config(stages=({'steps': 3, 'evals': evals},)), tmp_path)
  with pytest.raises(InputError, match='another config'):
    train(test_config(stages=({'steps': 4},)), tmp_path)


def test_carry_over_is_by_name_and_shape():
  old = {'a': {'w': np.ones(3), 'gone': np.ones(1)}, 'b': {'w': np.ones(2)}}
  new = {'a': {'w': np.zeros(3)}, 'b': {'w': np.zeros(4)}, 'c': np.zeros(1)}
  out = stages.carry_over(old, new)
  np.testing.assert_array_equal(out['a']['w'], np.ones(3))
  np.testing.assert_array_equal(out['b']['w'], np.zeros(4))
  np.testing.assert_array_equal(out['c'], np.zeros(1))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(
  tmp_path, capsys, monkeypatch
):
  args = [
    '--config=configs/vae.py:test',
    f'--workdir={tmp_path}/w',
    '--config.steps=30',
    '--config.optim.model.name=sgd',
    '--config.optim.model.learning_rate=1e3',
  ]
  monkeypatch.chdir(ROOT)
  assert main.main(args) == 3
  error = capsys.readouterr().err.strip().splitlines()[-1]
  assert "update 'model' is not finite in" in error
  assert 'loss' in error or 'kl' in error or 'grad_norm' in error
  steps = [p.name for p in (tmp_path / 'w' / 'checkpoints').glob('*')]
  for step in steps:
    state, _ = workdir.open_trained(tmp_path / 'w', int(step))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))


def test_the_first_bad_step_and_term_are_named():
  from gen_jax.core import Update
  from gen_jax.monitor import Log

  log = Log((Update(('gen',), None), Update(('disc',), None, every=2)), 0)
  good = np.ones(4, np.float32)
  bad = np.array([1, np.nan, np.inf, np.nan], np.float32)
  metrics = {'gen/loss': good, 'gen/kl': good, 'disc/loss': bad, 'disc/r': bad}
  metrics['disc/r'] = good
  with pytest.raises(NonFiniteError, match=r"step 11: update 'disc' .* loss;"):
    log.add(10, 4, metrics)


def test_the_best_checkpoint_is_kept(tmp_path):
  config = test_config(
    checkpoint__best='elbo',
    checkpoint__best_mode='max',
    steps=12,
    checkpoint__every=2,
    checkpoint__keep=1,
  )
  config.evals.elbo.every = 2
  train(config, tmp_path)
  values = {
    line['step']: line['elbo'] for line in numbers(tmp_path) if 'elbo' in line
  }
  best = max(values, key=values.get)
  kept = [
    int(p.name) for p in (tmp_path / 'best').glob('*') if p.name.isdigit()
  ]
  assert kept == [best]
  # The test split is no validation split, which stands beside the results.
  (warning,) = {
    line['warning/checkpoint.best']
    for line in numbers(tmp_path)
    if 'warning/checkpoint.best' in line
  }
  assert warning.startswith(
    "config.checkpoint.best: the evaluator 'elbo' chooses the checkpoint by "
    "the split 'test[:40]', which is not held out for validation"
  )
  assert warning.endswith(
    "Set config.data.train='train[:90%]' and "
    "config.evals.elbo.split='train[90%:]'."
  )
  config = test_config(checkpoint__best='elbw')
  with pytest.raises(InputError, match='checkpoint.best'):
    train(config, tmp_path / 'other')


@pytest.mark.parametrize(
  'train_split,split,expected',
  [
    ('train', 'test', 'is not held out'),
    ('train', 'train', 'has images of data.train'),
    ('train[:90%]', 'train[-7000:]', 'has images of data.train'),
    ('train[:90%]', 'train[90%:]', None),
    ('train', 'validation', None),
  ],
)
def test_a_checkpoint_is_chosen_on_a_validation_split(
  train_split, split, expected
):
  config = test_config(data__train=train_split, data__test='test')
  one = Experiment(stages.plan(config)[-1])
  warning = one.selection_warning('elbo', split)
  assert expected in warning if expected else warning == ''


def test_a_profile_and_the_memory_of_a_step(tmp_path, capsys):
  config = test_config(steps=9, steps_per_dispatch=1)
  train(config, tmp_path, profile=True)
  printed = capsys.readouterr().out
  assert re.search(r'^state: 0\.1 MiB$', printed, re.M), printed
  assert re.search(r'^compiled step: \d+\.\d MiB a device$', printed, re.M)
  assert list((tmp_path / 'profile').rglob('*.xplane.pb'))
