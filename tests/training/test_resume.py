"""A run that was killed and started again ends as one that was not."""

import dataclasses
import errno
import functools
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

import dense_vae
import environment
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import linen as nn

from gen_jax import config as config_lib
from gen_jax import main
from gen_jax.config import stages
from gen_jax.distributed import mesh
from gen_jax.errors import InputError, NonFiniteError
from gen_jax.models import autoencoder
from gen_jax.objectives.vae import VAE
from gen_jax.storage.checkpoint import Checkpointer
from gen_jax.training import restore
from gen_jax.training.experiment import Experiment
from gen_jax.training.loop import train
from gen_jax.training.step import carry_over
from gen_jax.training.trained import open_trained, read_config

ROOT = pathlib.Path(__file__).parents[2]


ELBO = {'elbo': {'name': 'likelihood.ELBO'}}


def test_config(**fields):
  """The smallest run, without evaluators."""
  config = dense_vae.get_config()
  for field, value in fields.items():
    group, last = config_lib.find(config, field.replace('__', '.'), 'test')
    group[last] = value
  return config


test_config.__test__ = False


def final(path):
  """The newest state of a workdir, verified by its checksums."""
  state, _ = open_trained(path)
  return state


def equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(a), b)


ARGS = (
  '--config=tests/dense_vae.py',
  '--config.steps=400',
  '--config.log_every=20',
  '--config.checkpoint.every=20',
  '--config.steps_per_dispatch=8',
  "--config.evals={'elbo': {'name': 'likelihood.ELBO', 'every': 100}}",
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


def numbers(path):
  """The metrics of a run but for its timings."""
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  return [
    {k: v for k, v in json.loads(line).items() if not k.startswith('time/')}
    for line in lines
  ]


@pytest.mark.slow('starts four processes')
def test_killed_and_stopped_at_any_moment_and_started_again(tmp_path):
  whole, path = tmp_path / 'whole', tmp_path / 'disturbed'
  code, output = finish(start(whole))
  assert code == 0, output

  process = start(path)
  step = wait_for_checkpoint(path, process)
  time.sleep(random.Random(step).random() * 0.1)
  process.send_signal(signal.SIGKILL)
  process.wait()
  killed = wait_for_checkpoint(path, process)  # the newest
  assert killed < 400
  # As a process leaves it that dies while it writes.
  with (path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 39')

  # SIGINT is in test_sweep.py.
  process = start(path)
  wait_for_checkpoint(path, process, after=killed)
  process.send_signal(signal.SIGTERM)
  code, output = finish(process)
  assert code == 0, output
  assert 'resumes at step' in output
  assert 'stopped at step' in output
  stopped = int(final(path).step)
  assert killed < stopped < 400

  code, output = finish(start(path))
  assert code == 0, output
  assert f'resumes at step {stopped} ' in output
  equal(final(path), final(whole))
  assert numbers(path) == numbers(whole)


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


def staged(**second):
  """Two stages, of which every checkpoint is kept."""
  rate = {'optim.model.learning_rate': 1e-2}
  return test_config(
    stages=({'steps': 3}, {'steps': 4, 'batch_size': 16, **rate, **second}),
    evals=ELBO,
    checkpoint__every=1,
    checkpoint__keep=10,
    data__resident='yes',
  )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """The workdir of these stages, their last state and their metrics."""
  path = tmp_path_factory.mktemp('trained') / 'w'
  state, metrics = train(staged(), path)
  assert int(state.step) == 7
  return path, jax.device_get(state), metrics


@pytest.fixture
def copied(trained, tmp_path):
  """The same, in a workdir that may be changed."""
  path, *results = trained
  shutil.copytree(path, tmp_path / 'copied')
  return tmp_path / 'copied', *results


def test_stages_are_one_run_and_resume_across_their_boundary(copied):
  path, state, _ = copied
  whole = numbers(path)
  # As after a signal between the checkpoint and the evaluation at its step.
  for step in range(4, 8):
    shutil.rmtree(path / 'checkpoints' / str(step))
  lines = (path / 'metrics.jsonl').read_text().splitlines(keepends=True)
  kept = [line for line in lines if '"elbo"' not in line]
  (path / 'metrics.jsonl').write_text(''.join(kept))
  again, _ = train(staged(), path)
  equal(again, state)
  evaluated = [line['step'] for line in whole if 'elbo' in line]
  made_up = [line['step'] for line in numbers(path) if 'elbo' in line]
  assert evaluated == made_up == [3, 7]


def test_damaged_checkpoints_are_reported_and_the_one_before_is_used(
  copied, capfd
):
  path, state, _ = copied
  for step, how in ((7, 'truncated'), (6, 'flipped'), (5, 'deleted')):
    damage(path / 'checkpoints' / str(step), how)
  capfd.readouterr()
  again, _ = train(staged(), path)
  printed = capfd.readouterr()
  for step in (7, 6, 5):
    assert f'checkpoints/{step}' in printed.err
  assert 'resumes at step 4 ' in printed.out  # within the second stage
  equal(again, state)
  assert int(final(path).step) == 7


def unchanged(path):
  """The names and sizes of all checkpoints."""
  files = sorted(path.glob('*/checkpoints/**/*'))
  return [(file, file.stat().st_size) for file in files]


def test_damaged_checkpoints_alone_are_never_the_start_of_another_run(copied):
  path, _, _ = copied
  for folder in (path / 'checkpoints').glob('[3-7]'):
    damage(folder, 'truncated')
  for folder in (path / 'checkpoints').glob('[12]'):
    shutil.rmtree(folder)
  before = unchanged(path.parent)
  for _ in range(2):
    with pytest.raises(InputError) as caught:
      train(staged(), path)
    assert str(caught.value).endswith(
      f'No checkpoint below {path}/checkpoints is left that is whole. Nothing '
      'was changed: bring one back from a copy or, to start over, give another '
      f'--workdir or move {path}/checkpoints away.'
    )
    assert unchanged(path.parent) == before


def test_checkpoints_that_are_called_damaged_are_no_new_start(copied):
  path, _, _ = copied
  for folder in (path / 'checkpoints').glob('[1-7]'):
    folder.rename(folder.with_name(f'damaged-{folder.name}-0'))
  with pytest.raises(InputError, match='to start over, give another --workdir'):
    train(staged(), path)
  (path / 'checkpoints').rename(path / 'away')
  state, _ = train(staged(steps=1), path)  # another config is fine
  assert int(state.step) == 4


def overwrite(content):
  return lambda folder: (folder / 'meta' / 'metadata').write_bytes(content)


def empty(folder):
  shutil.rmtree(folder)
  folder.mkdir()


def replace_by_a_file(folder):
  shutil.rmtree(folder)
  folder.write_text('8')


def rename(folder):
  shutil.copytree(folder.with_name('6'), folder, dirs_exist_ok=True)


def edit_the_notes(folder):
  file = folder / 'meta' / 'metadata'
  file.write_text(file.read_text().replace('"float32"', '"float64"', 1))


@pytest.mark.parametrize(
  'harm',
  [
    overwrite(b'{}'),
    overwrite(b'[1]'),
    overwrite(b'\xff\xfe'),
    overwrite(b'\0' * 80),
    empty,
    replace_by_a_file,
    rename,
    edit_the_notes,
  ],
)
def test_anything_else_in_the_place_of_a_checkpoint_is_damage(
  copied, capfd, harm
):
  path, _, _ = copied
  (path / 'checkpoints' / 'abc').mkdir()
  harm(path / 'checkpoints' / '7')
  capfd.readouterr()
  assert int(final(path).step) == 6
  checkpointer = Checkpointer(path / 'checkpoints', keep=10)
  found = restore.restore(checkpointer, stages.plan(staged()), set_aside=True)
  checkpointer.close()
  assert int(found.state.step) == 6
  first, second = capfd.readouterr().err.strip().splitlines()
  assert first == second
  assert first.startswith(f'checkpoint {path}/checkpoints/7 is damaged: ')
  assert first.endswith('. The one before it is used.')
  assert (path / 'checkpoints' / 'damaged-7-0').exists()
  assert not (path / 'checkpoints' / '7').exists()


@pytest.fixture
def failing(monkeypatch):
  """Makes reads below `checkpoints/` fail so many times."""

  def fail(times, code):
    left = [times]
    whole, opens = ocp.CheckpointManager.restore, pathlib.Path.open
    monkeypatch.setattr(restore, '_WAITS', (0.0, 0.0, 0.0))

    def broken(self, *args, **kwargs):
      if left[0]:  # as TensorStore words it
        raise ValueError('INTERNAL: Error reading local file')
      return whole(self, *args, **kwargs)

    def unreadable(self, *args, **kwargs):
      if left[0] and 'checkpoints' in self.parts:
        left[0] -= 1
        raise OSError(code, os.strerror(code), str(self))
      return opens(self, *args, **kwargs)

    monkeypatch.setattr(ocp.CheckpointManager, 'restore', broken)
    monkeypatch.setattr(pathlib.Path, 'open', unreadable)

  return fail


CODES = ['EIO', 'ESTALE', 'EACCES', 'ETIMEDOUT']


@pytest.mark.parametrize('name', CODES)
def test_a_checkpoint_that_cannot_be_read_now_is_not_damaged(
  copied, failing, name
):
  path, _, _ = copied
  before, code = unchanged(path.parent), getattr(errno, name)
  failing(10**9, code)
  with pytest.raises(InputError) as caught:
    train(staged(), path)
  assert str(caught.value) == (
    f'{path}/checkpoints/7 cannot be read now: {os.strerror(code)}. Nothing '
    'was changed: start again when it can be read.'
  )
  assert unchanged(path.parent) == before


@pytest.mark.parametrize('times', [1, 2, 5])
def test_an_error_of_reading_that_passes_changes_nothing(
  copied, failing, capfd, times
):
  path, state, _ = copied
  failing(times, errno.EIO)
  equal(final(path), state)
  assert capfd.readouterr().err == ''


class Edited(autoencoder.DenseEncoder):
  """An encoder whose code was edited."""

  @nn.compact
  def __call__(self, images, condition=None):
    del condition
    x = nn.Dense(self.features + 1)(images.reshape(len(images), -1))
    return nn.Dense(self.features)(x)


Edited.__module__ = autoencoder.__name__


def test_a_checkpoint_of_other_networks_is_refused_and_not_damaged(
  copied, monkeypatch
):
  path, state, _ = copied
  before = unchanged(path.parent)
  with monkeypatch.context() as patch:
    patch.setattr(autoencoder, 'DenseEncoder', Edited)
    with pytest.raises(InputError) as caught:
      train(staged(), path)
  message = str(caught.value)
  name = 'players/model/params/encoder/Dense_0/bias'
  assert (
    f'{name} is float32[4] in the checkpoint, and float32[5] now' in message
  )
  assert re.search(r'; and \d+ more\. Nothing was changed\.', message)
  assert unchanged(path.parent) == before
  equal(train(staged(), path)[0], state)


def test_a_lost_config_does_not_let_other_networks_in(copied):
  path, state, _ = copied
  (path / 'config.json').unlink()
  before = unchanged(path.parent)
  config = staged()
  config.objective.encoder.features = 6
  with pytest.raises(InputError, match='objective.encoder.feat'):
    train(config, path)
  assert not (path / 'config.json').exists()
  assert unchanged(path.parent) == before
  equal(final(path), state)
  equal(train(staged(), path)[0], state)
  assert read_config(path).objective.encoder.features == 4


def test_a_reader_lists_again_when_its_checkpoint_was_removed(
  copied, monkeypatch, capfd
):
  path, _, _ = copied
  folder, restore = path / 'checkpoints', Checkpointer.restore
  (folder / '7').rename(path / 'later')

  def beside_a_training(self, step, target):
    # Which keeps one: its next is whole, and the one before half removed.
    if (path / 'later').exists():
      (path / 'later').rename(folder / '7')
      shutil.rmtree(folder / '6' / 'state')
    return restore(self, step, target)

  monkeypatch.setattr(Checkpointer, 'restore', beside_a_training)
  assert int(final(path).step) == 7
  assert capfd.readouterr().err == ''


def test_a_checkpoint_may_be_removed_while_the_folder_is_opened(
  copied, monkeypatch
):
  path, _, _ = copied
  steps, manager = [7, 6], ocp.CheckpointManager

  def beside_a_training(*args, **kwargs):
    if steps:
      shutil.rmtree(path / 'checkpoints' / str(step := steps.pop(0)))
      raise FileNotFoundError(errno.ENOENT, 'No such file', str(step))
    return manager(*args, **kwargs)

  monkeypatch.setattr(ocp, 'CheckpointManager', beside_a_training)
  assert int(final(path).step) == 5


def updates_that_warn(self, original=VAE.updates):
  """Updates with a warning of every log, with a number of it."""

  def warnings(metrics):
    return {'often': f'loss {metrics["model/loss"]}'}

  updates = original(self)
  return tuple(dataclasses.replace(x, warnings=warnings) for x in updates)


@pytest.mark.parametrize('stop', [4, 14])
def test_logs_and_warnings_do_not_depend_on_an_interruption(
  tmp_path, monkeypatch, stop
):
  monkeypatch.setattr(VAE, 'updates', updates_that_warn)
  config = test_config(
    steps=22,
    log_every=3,
    steps_per_dispatch=4,
    checkpoint__every=2,
    checkpoint__keep=99,
  )
  train(config, tmp_path)
  whole = numbers(tmp_path)
  assert [x['step'] for x in whole if 'warning/often' in x] == [
    9,
    12,
    15,
    18,
    21,
  ]
  for folder in (tmp_path / 'checkpoints').iterdir():
    if int(folder.name) > stop:
      shutil.rmtree(folder)
  config.steps_per_dispatch = 3
  train(config, tmp_path)
  assert numbers(tmp_path) == whole


def test_a_finished_run_is_left_as_it_is(copied):
  path, state, metrics = copied
  lines = numbers(path)
  again, metrics_again = train(staged(), path)
  equal(again, state)
  assert numbers(path) == lines
  assert metrics_again['elbo'] == metrics['elbo']


def test_a_stage_may_get_other_evaluators(copied):
  path, state, _ = copied
  evals = {'samples': {'name': 'figures.Samples'}}
  again, _ = train(staged(evals=evals), path)
  equal(again, state)
  with pytest.raises(InputError, match='another config'):
    train(staged(batch_size=8), path)


def gan_config(steps, **fields):
  """A GAN with an averaged generator, whose learning rates are constant."""
  config = config_lib.load(f'{ROOT}/configs/gan.py:test')
  config.objective.gen.hidden = config.objective.disc.hidden = (4,)
  for optimizer in config.optim.values():
    optimizer.schedule = 'constant'
  config.ema.gen, config.steps, config.log_every = 0.9, steps, 4
  config.evals = {}
  config.update(fields)
  return config


@pytest.fixture(scope='module')
def long_gan(tmp_path_factory):
  """The last state of 12 steps at once, and its metrics."""
  path = tmp_path_factory.mktemp('long')
  state, _ = train(gan_config(12), path)
  return jax.device_get(state), numbers(path)


def test_a_finished_run_goes_on_as_if_it_had_been_longer(tmp_path, long_gan):
  state, lines = long_gan
  train(gan_config(6), tmp_path)
  again, _ = train(gan_config(12), tmp_path)
  assert again.ema['gen']
  equal(again, state)
  assert read_config(tmp_path).steps == 12
  # The log at the end of the shorter run is all that is recorded of it.
  got = numbers(tmp_path)
  assert [line['step'] for line in lines] == [4, 8, 12]
  assert [line['step'] for line in got] == [4, 6, 8, 12]
  assert [line for line in got if line['step'] != 6] == lines


def test_another_end_may_be_given_at_any_step(tmp_path, long_gan):
  """Before the end that a run had, an earlier one too."""
  longer = gan_config(20)
  longer.checkpoint.keep = 10
  train(longer, tmp_path)
  for step in (8, 12, 16, 20):
    shutil.rmtree(tmp_path / 'checkpoints' / str(step))
  equal(train(gan_config(12), tmp_path)[0], long_gan[0])
  with pytest.raises(InputError) as caught:
    train(gan_config(11), tmp_path)
  assert str(caught.value) == (
    f'workdir {tmp_path} is trained to step 12, and this config ends at step '
    '11: give more steps, or another --workdir.'
  )
  with pytest.raises(InputError, match='another config'):
    train(gan_config(14, seed=3), tmp_path)
  assert read_config(tmp_path).steps == 12


def test_only_the_last_stage_may_get_longer(tmp_path, copied):
  path, _, _ = copied
  constant = {'optim.model.schedule': 'constant'}
  rest = {'batch_size': 16, 'optim.model.learning_rate': 1e-2}
  whole, short = tmp_path / 'whole', tmp_path / 'short'

  def stages_of(first, last):
    second = {'steps': last, **rest, **constant}
    return test_config(stages=({'steps': first}, second), log_every=2)

  state, _ = train(stages_of(3, 7), whole)
  train(stages_of(3, 4), short)
  for other in (stages_of(4, 4), stages_of(2, 9)):
    with pytest.raises(InputError, match='another config'):
      train(other, short)
  again, _ = train(stages_of(3, 7), short)
  equal(again, jax.device_get(state))
  got = [line for line in numbers(short) if line['step'] != 7]
  assert got == numbers(whole)
  # Of a stage with a schedule that ends, before it has begun.
  for step in range(4, 8):
    shutil.rmtree(path / 'checkpoints' / str(step))
  train(staged(steps=5), path)
  with pytest.raises(InputError, match='learning rates depend on the end'):
    train(staged(steps=6), path)


@pytest.fixture
def extended(tmp_path, monkeypatch, refused):
  """Runs the command on one workdir, for some steps of a cosine."""
  monkeypatch.chdir(ROOT)
  args = ['--config=tests/dense_vae.py', f'--workdir={tmp_path}']

  def command(steps, *flags):
    given = [*args, f'--config.steps={steps}', *flags]
    return main.main(given)

  command.refused = lambda steps: refused(
    main, *args, f'--config.steps={steps}'
  )
  return command


def test_learning_rates_that_depend_on_the_end_jump_only_on_request(
  extended, tmp_path, capsys
):
  assert extended(6) == 0
  assert extended.refused(12) == (
    f'gen_jax: workdir {tmp_path} was made for 6 steps, now 12, and learning '
    "rates depend on the end: that of model ('cosine'). Give --extend to go on "
    'with other learning rates, or another --workdir.'
  )
  assert read_config(tmp_path).steps == 6
  capsys.readouterr()
  assert extended(12, '--extend') == 0
  printed = capsys.readouterr().out.splitlines()
  assert (
    "the schedule 'cosine' of model now ends at step 12 instead of 6: its "
    'learning rate goes from 0 to 0.001 at step 6, and to 0 at the end'
  ) in printed
  assert int(final(tmp_path).step) == 12
  assert read_config(tmp_path).steps == 12
  # From now on the workdir is one of 12 steps.
  shutil.rmtree(tmp_path / 'checkpoints' / '12')
  assert extended(12) == 0
  assert int(final(tmp_path).step) == 12


def test_the_learning_rate_is_that_of_the_updates_of_a_player():
  config = config_lib.load(f'{ROOT}/configs/gan.py:test')
  config.objective.disc_steps = 2
  config.optim.gen.update(learning_rate=1.0, schedule='linear')
  config.optim.disc.schedule = 'constant'
  one = Experiment(stages.plan(config)[0])
  assert one.ending_schedules() == {'gen': 'linear'}
  rates = [one.learning_rate('gen', step, 8) for step in range(9)]
  assert rates == [1, 1, 0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0]


def test_resident_and_streamed_data_give_the_same_run(trained, tmp_path):
  resident, _ = open_trained(trained[0], 3)
  config = test_config(stages=({'steps': 3},), data__resident='no')
  streamed, _ = train(config, tmp_path)
  # Two programs: what the compiler fuses may differ in the last bit.
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
    jax.device_get(streamed),
    resident,
  )


@pytest.mark.slow('trains ten times')
def test_a_run_continues_in_another_layout_of_its_state(tmp_path, monkeypatch):
  # Also the small arrays of this model are divided.
  fsdp = functools.partial(mesh.Fsdp, least=8)
  monkeypatch.setattr(mesh, 'Fsdp', fsdp)

  def run(form, path, steps, devices=8):
    monkeypatch.setattr(
      mesh.process_group, 'devices', lambda: jax.devices()[:devices]
    )
    monkeypatch.setattr(mesh.process_group, 'has_equal_devices', lambda: True)
    config = test_config(stages=({'steps': steps},), parallel=form)
    config.optim.model.schedule = 'constant'
    return jax.device_get(train(config, path)[0])

  whole = run('jit', tmp_path / 'whole', 4)
  for first, second, devices in (
    ('jit', 'fsdp', 8),
    ('fsdp', 'jit', 8),
    ('fsdp', 'fsdp', 2),
  ):
    path = tmp_path / f'{first}-{second}-{devices}'
    run(first, path, 2)
    state = run(second, path, 4, devices)
    saved, _ = open_trained(path)
    jax.tree.map(np.testing.assert_array_equal, saved, state)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
      state,
      whole,
    )
  with pytest.raises(InputError, match="parallel='pmap'"):
    run('pmap', path, 6)  # whose devices draw numbers of their own
  # The same layout resumes bit by bit.
  run('fsdp', tmp_path / 'fsdp', 2)
  resumed = run('fsdp', tmp_path / 'fsdp', 4)
  straight = run('fsdp', tmp_path / 'straight', 4)
  jax.tree.map(np.testing.assert_array_equal, resumed, straight)


@pytest.mark.parametrize('least', [8, mesh.collectives.LEAST])
def test_eight_devices_with_a_divided_state_give_what_eight_whole_ones_give(
  tmp_path, monkeypatch, least
):
  """A dense layer before a convolution, whose gradients were once wrong."""
  monkeypatch.setattr(mesh, 'Fsdp', functools.partial(mesh.Fsdp, least=least))

  def run(form):
    config = config_lib.load(f'{ROOT}/configs/dcgan.py:test')
    changes = {'parallel': form, 'steps': 1, 'evals': {}}
    config_lib.apply(config, [(k, str(v)) for k, v in changes.items()])
    return jax.device_get(train(config, tmp_path / form)[0])

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
    run('fsdp'),
    run('jit'),
  )


def test_statistics_and_averages_resume_too(tmp_path):
  """A GAN with normalized players and an averaged generator."""
  config = config_lib.load(f'{ROOT}/configs/gan.py:test')
  config.objective.gen.update(hidden=(4,), normalize='batch')
  config.objective.disc.update(hidden=(4,), normalize='spectral', dropout=0.0)
  config.ema.gen = 0.9
  config.checkpoint.every, config.evals = 3, {}
  train(config, tmp_path)
  whole = final(tmp_path)
  assert jax.tree.leaves(whole.ema['gen']['batch_stats'])
  assert jax.tree.leaves(whole.players['gen']['batch_stats'])
  assert jax.tree.leaves(whole.players['disc']['spectral'])
  os.rename(tmp_path / 'checkpoints' / '6', tmp_path / 'gone')
  again, _ = train(config, tmp_path)
  equal(again, jax.device_get(whole))


def test_carry_over_is_by_name_and_shape():
  old = {'a': {'w': np.ones(3), 'gone': np.ones(1)}, 'b': {'w': np.ones(2)}}
  new = {'a': {'w': np.zeros(3)}, 'b': {'w': np.zeros(4)}, 'c': np.zeros(1)}
  out = carry_over(old, new)
  np.testing.assert_array_equal(out['a']['w'], np.ones(3))
  np.testing.assert_array_equal(out['b']['w'], np.zeros(4))
  np.testing.assert_array_equal(out['c'], np.zeros(1))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(
  tmp_path, capsys, monkeypatch
):
  args = [
    '--config=tests/dense_vae.py',
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
  assert error.endswith('; the checkpoint of step 4 is kept')
  steps = [p.name for p in (tmp_path / 'w' / 'checkpoints').glob('*')]
  for step in steps:
    state, _ = open_trained(tmp_path / 'w', int(step))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))


def test_the_first_bad_step_and_term_are_named():
  from gen_jax.core import Update
  from gen_jax.training.metrics_log import Log

  log = Log((Update(('gen',), None), Update(('disc',), None, every=2)), 0)
  good = np.ones(4, np.float32)
  bad = np.array([1, np.nan, np.inf, np.nan], np.float32)
  metrics = {'gen/loss': good, 'gen/kl': good, 'disc/loss': bad, 'disc/r': bad}
  metrics['disc/r'] = good
  with pytest.raises(NonFiniteError, match=r"step 11: update 'disc' .* loss$"):
    log.add(10, 4, metrics)


def test_the_best_checkpoint_is_kept(tmp_path):
  config = test_config(
    evals={'elbo': {'name': 'likelihood.ELBO', 'every': 2}},
    checkpoint__best='elbo',
    checkpoint__best_mode='max',
    steps=12,
    checkpoint__every=2,
    checkpoint__keep=1,
  )
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
  config = test_config(evals=ELBO, checkpoint__best='elbw')
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
  config.evals = ELBO
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
