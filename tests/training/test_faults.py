"""What goes wrong on real machines: each test does it."""

import errno
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
from PIL import Image
from test_resume import (
  damage,
  equal,
  final,
  numbers,
  test_config,
  wait_for_checkpoint,
)

from gen_jax import main
from gen_jax.commands import evaluate
from gen_jax.data.datasets import folder
from gen_jax.errors import EvaluationError, InputError, NonFiniteError
from gen_jax.evaluation.metrics import likelihood
from gen_jax.objectives.vae import VAE
from gen_jax.storage import workdir, writer
from gen_jax.storage.checkpoint import Checkpointer
from gen_jax.storage.writer import Writer
from gen_jax.training import trained
from gen_jax.training.experiment import resolve
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]
FAMILIES = [
  name
  for name in (
    'vae', 'stacked_autoencoder', 'dcgan', 'infogan', 'wgan_gp', 'cyclegan',
    'stylegan', 'stackgan',
  )
  if (ROOT / 'configs' / f'{name}.py').exists()
]  # fmt: skip

# The tiny variant of a config, long enough to be interrupted.
LONGER = """
from gen_jax.config import load

def get_config(arg=None):
  config = load('{file}:test')
  for part in config.stages or (config,):
    part['steps'] = {steps} // max(len(config.stages), 1)
    part['evals'] = {{}}
  config.evals = {evals}
  config.log_every = 50
  config.checkpoint.every = 10
  config.steps_per_dispatch = 8
  return config
"""


def start(name, path, *args, steps=300, evals=None, before=()):
  """Starts a tiny run of some hundred steps."""
  file = path.parent / f'{path.name}.py'
  file.write_text(
    LONGER.format(
      file=ROOT / 'configs' / f'{name}.py', steps=steps, evals=evals or {}
    )
  )
  flags = [f'--config={file}', f'--workdir={path}']
  return subprocess.Popen(
    [*before, sys.executable, '-m', 'gen_jax.main', *flags, *args],
    cwd=ROOT,
    env={**os.environ, 'XLA_FLAGS': environment.xla_flags(1)},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def finish(process, timeout=environment.HANG):
  try:
    output, _ = process.communicate(timeout=timeout)
  finally:
    process.kill()
  return process.returncode, output


def newest(path):
  names = [p.name for p in (path / 'checkpoints').glob('*')]
  return max([int(n) for n in names if n.isdigit()], default=0)


def kill(process, path, chance):
  """Kills a run, at any moment or when it comes further; it must be at work."""
  before, started = newest(path), time.monotonic()
  anywhere, wait = chance.random() < 0.3, 10 * chance.random()
  while process.poll() is None and time.monotonic() - started < 300:
    if anywhere and time.monotonic() - started > wait:
      break
    if newest(path) > before:
      time.sleep(0.1 * chance.random())
      break
    time.sleep(0.002)
  process.kill()
  output, _ = process.communicate()
  assert process.returncode == -signal.SIGKILL, output


# One kill of it is in test_resume.py.
@pytest.mark.long
@pytest.mark.parametrize('name', FAMILIES)
def test_killed_again_and_again_it_ends_as_if_nothing_had_been(tmp_path, name):
  chance, steps = random.Random(name), 1500
  for _ in range(20):
    process = start(name, tmp_path / 'killed', steps=steps)
    kill(process, tmp_path / 'killed', chance)
  code, output = finish(start(name, tmp_path / 'killed', steps=steps))
  assert code == 0, output
  assert 'resumes at step' in output
  code, output = finish(start(name, tmp_path / 'whole', steps=steps))
  assert code == 0, output
  equal(final(tmp_path / 'killed'), final(tmp_path / 'whole'))


@pytest.mark.long
@pytest.mark.parametrize('name', FAMILIES)
def test_a_preempted_run_is_saved_within_its_deadline(tmp_path, name):
  process = start(name, tmp_path / 'run', steps=10**5)
  wait_for_checkpoint(tmp_path / 'run', process)
  process.send_signal(signal.SIGTERM)
  code, output = finish(process, timeout=30)
  assert code == 0, output
  stopped = newest(tmp_path / 'run')
  assert f'stopped at step {stopped}; the same command goes on' in output


@pytest.mark.long
def test_a_preemption_in_an_evaluation_does_not_wait_for_it(tmp_path):
  # Of so many codes that it would take days.
  nll = dict(name='likelihood.NLL', every=10, samples=10**6, num=8, chunk=50)
  evals = {'nll': {**nll, 'samples': 10**4, 'num': 0, 'batch_size': 1}}
  process = start('vae', tmp_path / 'run', steps=20, evals=evals)
  wait_for_checkpoint(tmp_path / 'run', process)
  time.sleep(1)
  process.send_signal(signal.SIGTERM)
  code, output = finish(process, timeout=30)
  assert code == 0, output
  assert 'stopped at step 10;' in output
  assert int(final(tmp_path / 'run').step) == 10
  assert 'nll' not in (tmp_path / 'run' / 'metrics.jsonl').read_text()


# Makes every read of a file whose path has `/checkpoints/` in it fail while
# there is a file of this name, and makes another file when it does.
UNREADABLE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int broken(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  if (!strstr(path, "/checkpoints/") || access("{flag}", F_OK)) return 0;
  close(creat("{flag}.failed", 0600));
  return 1;
}

#define BREAK(name, ...) \
  if (broken(fd)) { errno = {code}; return -1; } \
  return ((ssize_t (*)())dlsym(RTLD_NEXT, name))(fd, b, n, ##__VA_ARGS__);

ssize_t read(int fd, void *b, size_t n) { BREAK("read") }
ssize_t pread(int fd, void *b, size_t n, off_t o) { BREAK("pread", o) }
ssize_t pread64(int fd, void *b, size_t n, off_t o) { BREAK("pread64", o) }
"""


@pytest.mark.long
@pytest.mark.skipif(not shutil.which('cc'), reason='needs a C compiler')
@pytest.mark.parametrize('code', ['EIO', 'ESTALE', 'EACCES', 'ETIMEDOUT'])
def test_reads_that_fail_in_the_kernel_change_nothing(tmp_path, code):
  path, flag = tmp_path / 'run', tmp_path / 'flag'
  source, library = tmp_path / 'read.c', tmp_path / 'read.so'
  text = UNREADABLE.replace('{flag}', str(flag)).replace('{code}', code)
  source.write_text(text)
  subprocess.run(
    ['cc', '-shared', '-fPIC', '-o', library, source, '-ldl'], check=True
  )
  preload = ('env', f'LD_PRELOAD={library}')
  assert finish(start('vae', path, steps=60))[0] == 0
  names = sorted(file.name for file in (path / 'checkpoints').iterdir())
  flag.touch()
  exit_code, output = finish(start('vae', path, steps=60, before=preload))
  assert exit_code == 2, output
  last = output.strip().splitlines()[-1]
  assert f'cannot be read now: {os.strerror(getattr(errno, code))}' in last
  assert sorted(x.name for x in (path / 'checkpoints').iterdir()) == names
  # It passes while the command waits.
  failed = pathlib.Path(f'{flag}.failed')
  failed.unlink()
  process = start('vae', path, steps=60, before=preload)
  while not failed.exists() and process.poll() is None:
    time.sleep(0.01)
  flag.unlink()
  exit_code, output = finish(process)
  assert exit_code == 0, output
  assert 'resumes at step 60 of 60' in output
  assert sorted(x.name for x in (path / 'checkpoints').iterdir()) == names


@pytest.mark.long
def test_a_full_disk_in_the_middle_of_a_checkpoint(tmp_path):
  path = tmp_path / 'run'
  process = start('vae', path, '--config.checkpoint.keep=9', steps=2000)
  wait_for_checkpoint(path, process)
  process.send_signal(signal.SIGTERM)
  code, output = finish(process)
  assert code == 0, output
  kept = newest(path)

  # As if after so many kilobytes of a file nothing were left.
  full = ('bash', '-c', 'ulimit -f 30; exec "$0" "$@"')
  code, output = finish(start('vae', path, steps=2000, before=full))
  assert code == 2, output
  last = output.strip().splitlines()[-1]
  assert last.startswith('gen_jax: a checkpoint cannot be written below')
  assert 'Traceback' not in output
  assert newest(path) == kept
  assert int(final(path).step) == kept  # its checksums hold
  code, output = finish(start('vae', path, steps=2000))
  assert code == 0, output
  assert f'resumes at step {kept}' in output


def test_a_save_that_fails_says_so_and_leaves_what_was(tmp_path, monkeypatch):
  config = test_config(checkpoint__every=2, checkpoint__keep=9)
  written = []
  save = Checkpointer.save

  def failing(self, state, notes=None):
    written.append(int(state.step))
    if len(written) == 2:
      monkeypatch.setattr(self._manager, 'save', full)
    save(self, state, notes)

  def full(*args, **kwargs):
    raise OSError(28, 'No space left on device')

  with monkeypatch.context() as patch:
    patch.setattr(Checkpointer, 'save', failing)
    with pytest.raises(InputError, match='No space left on device'):
      train(config, tmp_path)
  assert int(final(tmp_path).step) == 2
  state, _ = train(config, tmp_path)
  assert int(state.step) == 6


def full_after(monkeypatch, step):
  """Leaves no room for the lines of `metrics.jsonl` after a step."""
  scalars = Writer.scalars

  def limited(self, at, values):
    if at > step:
      self._file = open('/dev/full', 'a')  # has no room
    scalars(self, at, values)

  monkeypatch.setattr(Writer, 'scalars', limited)


def no_pictures(monkeypatch):
  def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(writer, 'save_image', full)


@pytest.mark.parametrize('what', ['metrics.jsonl', 'images/reals.png'])
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, refused, what):
  args = ['--config=tests/dense_vae.py', f'--workdir={tmp_path}/w']
  args += ['--config.checkpoint.every=2', '--config.log_every=2']
  with monkeypatch.context() as patch:
    if what == 'metrics.jsonl':
      full_after(patch, 2)
    else:
      no_pictures(patch)
    error = refused(main, *args)
  assert error == (
    f'gen_jax: {tmp_path}/w/{what} cannot be written: No space left on device. '
    'Remove the cause, such as a full disk: the same command goes on from the '
    'newest checkpoint.'
  )
  assert main.main(args) == 0
  lines = [line['step'] for line in numbers(tmp_path / 'w')]
  assert lines == [2, 4, 6]


@pytest.mark.parametrize('form', ['jit', 'pmap'])
def test_a_nan_on_one_device_stops_all_and_keeps_the_last_good_state(
  tmp_path, monkeypatch, form
):
  loss = VAE.loss

  def broken(self, players, batch, *, key, step):
    # In the fourth image of eight, each of which is on a device of its own.
    images = batch['image']
    first = jax.lax.axis_index('data') if form == 'pmap' else 0
    mine = first + jax.numpy.arange(len(images)) == 3
    bad = jax.numpy.where((step == 4) & mine, np.nan, 0.0)
    batch = {**batch, 'image': images + bad[:, None, None, None]}
    return loss(self, players, batch, key=key, step=step)

  monkeypatch.setattr(VAE, 'loss', broken)
  config = test_config(parallel=form, checkpoint__every=3)
  message = "^step 4: update 'model' .*; the checkpoint of step 3 is kept$"
  with pytest.raises(NonFiniteError, match=message):
    train(config, tmp_path)
  state = final(tmp_path)
  assert int(state.step) == 3
  assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))


# Dense players for a folder of pictures.
ENCODER = dict(name='autoencoder.DenseEncoder', features=8, hidden=())
DECODER = dict(name='autoencoder.DenseDecoder', shape=None, hidden=())
PICTURES = (
  '--config=configs/vae.py:folder',
  '--config.data.shape=28,28,1',
  f'--config.objective.encoder={ENCODER}',
  f'--config.objective.decoder={DECODER}',
)


def test_an_image_that_disappears_is_named(tmp_path, monkeypatch, refused):
  pictures = tmp_path / 'pictures'
  pictures.mkdir()
  for index in range(40):
    pixels = np.full((28, 28), index, np.uint8)
    Image.fromarray(pixels).save(pictures / f'{index}.png')
  monkeypatch.setattr(folder, 'MEMORY_BYTES', 0)
  save = Checkpointer.save

  def remove(self, state, notes=None):
    save(self, state, notes)
    self.wait()
    for file in pictures.glob('*.png'):
      file.unlink()

  monkeypatch.setattr(Checkpointer, 'save', remove)
  error = refused(
    main,
    *PICTURES,
    f'--workdir={tmp_path}/w',
    f'--config.data.path={pictures}',
    '--config.evals={}',
    '--config.data.resident=no',
    '--config.batch_size=8',
    '--config.steps=60',
    '--config.checkpoint.every=2',
  )
  assert 'could be read at the start, and no longer' in error
  # It reads some batches ahead.
  assert 2 <= int(final(tmp_path / 'w').step) < 60


def test_a_second_run_on_a_workdir_is_refused(refused, tmp_path):
  config = resolve(test_config())
  with workdir.open_for_training(tmp_path):
    error = refused(
      main, '--config=tests/dense_vae.py', f'--workdir={tmp_path}'
    )
    with pytest.raises(InputError, match='in use by another run'):
      train(config, tmp_path)
  assert f'in use by another run (process {os.getpid()} on ' in error
  with workdir.open_for_training(tmp_path):  # it is free again
    pass


def test_the_lock_of_a_killed_run_is_gone(tmp_path):
  code = (
    'import time; from gen_jax.storage import workdir\n'
    f'with workdir.open_for_training({str(tmp_path)!r}):\n'
    '  print("held", flush=True); time.sleep(300)'
  )
  process = subprocess.Popen(
    [sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, text=True
  )
  assert process.stdout.readline() == 'held\n'
  with pytest.raises(InputError, match=f'process {process.pid} on'):
    with workdir.open_for_training(tmp_path):
      pass
  process.kill()
  process.communicate()
  with workdir.open_for_training(tmp_path):
    pass


ELBO = {'name': 'likelihood.ELBO'}


def test_a_start_that_failed_does_not_bind_the_workdir(tmp_path, monkeypatch):
  bad = test_config(optim__model__learning_rate=1e30, seed=1)
  bad.evals = {'elbo': {**ELBO, 'at_start': True}}
  with pytest.raises(NonFiniteError, match='; there is no checkpoint yet$'):
    train(bad, tmp_path / 'run')
  assert [line['step'] for line in numbers(tmp_path / 'run')] == [0]
  good = test_config(evals={'elbo': {**ELBO, 'at_start': True}})
  state, _ = train(good, tmp_path / 'run')
  assert int(state.step) == 6
  train(good, tmp_path / 'other')
  assert numbers(tmp_path / 'run') == numbers(tmp_path / 'other')
  assert trained.read_config(tmp_path / 'run').seed == 0
  with pytest.raises(InputError, match='another config'):
    train(bad, tmp_path / 'run')


BEST = {
  'evals': {'elbo': {**ELBO, 'every': 1}},
  'checkpoint.best': 'elbo',
  'checkpoint.best_mode': 'max',
  'checkpoint.every': 1,
  'checkpoint.keep': 9,
}
# Kills a run at step 3, when its best checkpoint is or is not on the disk, and
# the line of its evaluation is not yet written.
KILL = """
import os, signal, sys
from gen_jax import main
from gen_jax.storage import checkpoint, writer

def die(*args, **kwargs):
  os.kill(os.getpid(), signal.SIGKILL)

save, scalars = checkpoint.Checkpointer.save, writer.Writer.scalars

def killed_save(self, state, notes=None):
  save(self, state, notes)
  if '{moment}' == 'save' and self.path.name == 'best' and state.step == 3:
    die()

def killed_scalars(self, step, values):
  if '{moment}' == 'line' and step == 3 and 'elbo' in values:
    die()
  scalars(self, step, values)

checkpoint.Checkpointer.save = killed_save
writer.Writer.scalars = killed_scalars
main.main(sys.argv[1:])
"""


@pytest.fixture(scope='module')
def best_run(tmp_path_factory):
  """The arguments of a run that keeps its best state, and its workdir."""
  path = tmp_path_factory.mktemp('best') / 'whole'
  args = ['--config=tests/dense_vae.py']
  args += [f'--config.{k}={v}' for k, v in BEST.items()]
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(ROOT)
    assert main.main([f'--workdir={path}', *args]) == 0
  values = [x['elbo'] for x in numbers(path) if 'elbo' in x]
  assert np.argmax(values) == len(values) - 1 == 5  # better at every step
  return args, path


@pytest.mark.slow('starts two processes')
@pytest.mark.parametrize('moment', ['save', 'line'])
def test_a_kill_about_an_evaluation_loses_no_best_checkpoint(
  best_run, tmp_path, monkeypatch, moment
):
  args, whole = best_run
  path = tmp_path / 'killed'
  code = KILL.replace('{moment}', moment)
  args = [f'--workdir={path}', *args]
  process = subprocess.run([sys.executable, '-c', code, *args], cwd=ROOT)
  assert process.returncode == -signal.SIGKILL
  assert [x['step'] for x in numbers(path) if 'elbo' in x] == [1, 2]
  monkeypatch.chdir(ROOT)
  assert main.main([*args, '--config.steps_per_dispatch=2']) == 0
  assert numbers(path) == numbers(whole)
  state, _ = trained.open_trained(path, 'best')
  equal(state, trained.open_trained(whole, 'best')[0])


def best_steps(path):
  return sorted(file.name for file in (path / 'best').iterdir())


@pytest.mark.parametrize('harm', ['removed', 'damaged', 'restarted'])
def test_the_best_checkpoint_is_checked_at_the_start(
  best_run, tmp_path, monkeypatch, capfd, harm
):
  args, whole = best_run
  path = tmp_path / 'run'
  shutil.copytree(whole, path)
  for step in range(4, 7):  # so that step 6 comes again
    shutil.rmtree(path / 'checkpoints' / str(step))
  best = path / 'best' / '6'
  expected, said = ['6'], ''
  if harm == 'removed':
    shutil.rmtree(best)
    said = (
      f'{path}/best does not hold the checkpoint of step 3, where elbo was '
      'best: it is chosen anew.'
    )
  elif harm == 'damaged':
    damage(best, 'flipped')
    expected = ['6', 'unused-6-0']
    said = f'checkpoint {best} is damaged: '
  else:
    shutil.rmtree(path / 'checkpoints')
    expected = ['6', 'unused-6-0']
    said = f'{path}/best/6 is renamed to unused-6-0.'
  monkeypatch.chdir(ROOT)
  assert main.main([f'--workdir={path}', *args]) == 0
  error = capfd.readouterr().err
  assert any(line.startswith(said) for line in error.splitlines()), error
  assert best_steps(path) == expected
  equal(*(trained.open_trained(p, 'best')[0] for p in (path, whole)))
  capfd.readouterr()
  assert main.main([f'--workdir={path}', *args]) == 0
  assert capfd.readouterr().err == ''


def test_an_evaluator_that_fails_does_not_end_the_run(
  tmp_path, monkeypatch, capsys
):
  evals = {'samples': {'name': 'figures.Samples'}}
  evals['elbo'] = {'name': 'likelihood.ELBO', 'every': 3}
  config = test_config(evals=evals, checkpoint__best='elbo')

  def singular(self, players, key):
    raise np.linalg.LinAlgError('Eigenvalues did not converge')

  with monkeypatch.context() as patch:
    patch.setattr(likelihood.ELBO, 'run', singular)
    with pytest.raises(EvaluationError, match='failed: elbo') as caught:
      train(config, tmp_path)
  state, metrics = caught.value.result
  assert int(state.step) == 6
  equal(final(tmp_path), jax.device_get(state))
  file = tmp_path / 'failures' / 'elbo-3.txt'
  line = (
    'step 3  evaluator elbo failed: LinAlgError: Eigenvalues did not converge; '
    f"see {file}; config.checkpoint.best='elbo' keeps no state without it"
  )
  assert line in capsys.readouterr().out.splitlines()
  assert 'in singular' in file.read_text()
  assert 'samples' in metrics  # the other evaluators run
  assert 'elbo' not in metrics

  # The same command tries again what failed at the last step.
  _, metrics = train(config, tmp_path)
  assert np.isfinite(metrics['elbo'])
  assert (tmp_path / 'best' / '6').exists()


def test_a_failed_evaluator_gives_exit_code_5_after_all_others_ran(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(ROOT)
  path = f'--workdir={tmp_path}/w'
  evals = "{'bad': {'name': 'directions.Arithmetic', 'classes': (0, 99)}, "
  evals += "'elbo': {'name': 'likelihood.ELBO'}}"
  args = ['--config=tests/dense_vae.py', f'--config.evals={evals}']
  assert main.main([path, *args]) == 5
  error = capsys.readouterr().err.strip().splitlines()[-1]
  assert error.startswith('gen_jax: evaluators failed: bad.')
  assert int(final(tmp_path / 'w').step) == 6

  assert evaluate.main([path]) == 5
  out, error = capsys.readouterr()
  assert out.startswith('evaluator bad failed: directions.Arithmetic: classes=')
  assert '\nelbo = ' in out
  assert error == 'gen_jax: evaluators failed: bad.\n'


def test_eight_images_train_and_the_evaluators_that_need_more_are_named(
  tmp_path, monkeypatch, capsys
):
  pictures = tmp_path / 'pictures'
  pictures.mkdir()
  for index in range(8):
    pixels = np.full((20, 30), 30 * index, np.uint8)
    Image.fromarray(pixels).save(pictures / f'{index}.png')
  names = {
    'elbo': 'likelihood.ELBO',
    'fidelity': 'fidelity.Fidelity',
    'interpolation': 'latent_figures.Interpolation',
    'nll': 'likelihood.NLL',
  }
  evals = {k: {'name': name} for k, name in names.items()}
  evals['fidelity']['features'] = 'random'
  monkeypatch.chdir(ROOT)
  args = [
    *PICTURES,
    f'--workdir={tmp_path}/w',
    f'--config.data.path={pictures}',
    '--config.batch_size=8',
    '--config.steps=4',
    f'--config.evals={evals}',
  ]
  assert main.main(args) == 0
  printed = capsys.readouterr().out
  for name, needed in (('fidelity', 6), ('interpolation', 2), ('nll', 2)):
    assert printed.count(f'evaluator {name} ') == 1
    assert (
      f'evaluator {name} is skipped: it needs {needed} examples of the split '
      "'test', which has 1\n"
    ) in printed
  assert re.search(r'^step 4  elbo -\d+', printed, re.M)


def best_config(**fields):
  evals = {'elbo': {'name': 'likelihood.ELBO', 'every': 6}}
  return test_config(evals=evals, checkpoint__best='elbo', **fields)


def test_a_best_checkpoint_of_a_later_step_gives_way_to_a_better_one(tmp_path):
  train(best_config(checkpoint__every=2, checkpoint__keep=9), tmp_path)
  # As if the run had been killed after it saved the best state.
  shutil.rmtree(tmp_path / 'checkpoints' / '6')
  config = best_config(checkpoint__every=2, checkpoint__keep=9)
  config.checkpoint.best_mode = 'min'  # the untrained model is the best
  config.evals.elbo.every = 5
  state, _ = train(config, tmp_path)
  assert int(state.step) == 6
  assert (tmp_path / 'best' / '5').exists()


def test_an_evaluation_between_stages_is_of_the_players_of_the_first(
  tmp_path, monkeypatch
):
  config = best_config(checkpoint__best_mode='min')
  wide = {**dict(config.objective.encoder), 'hidden': (5,)}
  config.stages = (
    {'steps': 3},
    {'steps': 3, 'objective.encoder': wide},
  )
  config.evals.elbo.every = 3
  run, calls = likelihood.ELBO.run, []

  def fails_once(self, players, key):
    calls.append(len(jax.tree.leaves(players)))
    if len(calls) == 1:
      raise RuntimeError('once')
    return run(self, players, key)

  monkeypatch.setattr(likelihood.ELBO, 'run', fails_once)
  with pytest.raises(EvaluationError):
    train(config, tmp_path)
  assert calls[0] != calls[1]  # at the end of each stage, once
  assert len(calls) == 2
  train(config, tmp_path)


@pytest.mark.parametrize('name', ['elbo/nonsense', 'samples'])
def test_the_best_checkpoint_is_chosen_by_a_number_that_there_is(
  tmp_path, name
):
  config = best_config()
  config.evals.samples = {'name': 'figures.Samples', 'every': 6}
  config.checkpoint.best = name
  with pytest.raises(
    InputError, match=f'{name!r}: the evaluator gives no such'
  ):
    train(config, tmp_path)


def test_a_new_start_does_not_keep_the_best_of_another_run(tmp_path):
  train(best_config(), tmp_path)
  shutil.rmtree(tmp_path / 'checkpoints')
  train(test_config(seed=7), tmp_path)
  assert [p.name for p in (tmp_path / 'best').iterdir()] == ['unused-6-0']
