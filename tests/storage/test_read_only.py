"""Commands that read a workdir need no right to write in it."""

import os
import subprocess
import sys

import environment
import pytest

from gen_jax import main
from gen_jax.commands import evaluate
from gen_jax.storage.writer import read_metrics

TEST = '--config=tests/dense_vae.py'
# Takes from root the right to write where the mode does not allow it, which
# the next program then does not have.
AS_OTHERS = """
import ctypes, os, sys
if os.geteuid() == 0:
  drop_from_bounding_set, dac_override = 24, 1
  assert ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override) == 0
os.execv(sys.executable, [sys.executable, '-c', *sys.argv[1:]])
"""

COMMANDS = """
import sys
from gen_jax.runtime import startup
startup.begin()
from gen_jax.commands import compare, evaluate, sample
for number, (module, *args) in enumerate([
  (sample, f'--out={sys.argv[2]}/a.png', '--num=2'),
  (evaluate, '--add=likelihood.ELBO', f'--out={sys.argv[2]}/numbers'),
  (compare, f'--out={sys.argv[2]}/a.html'),
]):
  assert module.main([f'--workdir={sys.argv[1]}', *args]) == 0, number
assert evaluate.main([f'--workdir={sys.argv[1]}', '--add=likelihood.ELBO']) == 2
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained') / 'w'
  assert main.main([TEST, f'--workdir={folder}']) == 0
  return folder


@pytest.mark.slow('starts a process for four commands')
@pytest.mark.skipif(sys.platform != 'linux', reason='capabilities of Linux')
def test_a_workdir_that_cannot_be_written_is_read(trained, tmp_path):
  paths = [trained, *trained.rglob('*')]
  modes = {path: path.stat().st_mode for path in paths}
  for path in paths:
    path.chmod(modes[path] & ~0o222)
  try:
    done = subprocess.run(
      [sys.executable, '-c', AS_OTHERS, COMMANDS, trained, tmp_path],
      env={**os.environ, 'XLA_FLAGS': environment.xla_flags(1)},
      text=True,
      capture_output=True,
      timeout=environment.HANG,
    )
  finally:
    for path, mode in modes.items():
      path.chmod(mode)
  assert done.returncode == 0, done.stderr
  assert done.stderr.strip() == (
    f'gen_jax: {trained}/evaluate cannot be written: Permission denied. Give '
    'another folder for the results, --out=FOLDER.'
  )
  assert {path.stat().st_mode for path in paths} == set(modes.values())
  assert sorted([trained, *trained.rglob('*')]) == sorted(paths)


def test_evaluate_writes_numbers_and_pictures_to_out(trained, tmp_path):
  out = tmp_path / 'new' / 'folder'
  args = [f'--workdir={trained}', f'--out={out}']
  assert evaluate.main([*args, '--add=figures.Samples']) == 0
  assert evaluate.main([*args, '--add=likelihood.ELBO']) == 0
  assert (out / 'images' / 'samples' / '6.png').exists()
  names = [sorted(line)[0] for line in read_metrics(out / 'metrics.jsonl')]
  assert names == ['samples', 'elbo']
  assert not (trained / 'evaluate').exists()


def test_an_out_that_cannot_be_written_is_named(refused, trained, tmp_path):
  (tmp_path / 'file').write_text('')
  args = [f'--workdir={trained}', '--add=likelihood.ELBO']
  error = refused(evaluate, *args, f'--out={tmp_path}/file')
  assert f'--out={tmp_path}/file: expected a folder.' in error
  error = refused(evaluate, *args, f'--out={tmp_path}/file/folder')
  assert f'{tmp_path}/file/folder cannot be written: ' in error
  assert '--out=FOLDER' in error
