"""Command lines that go wrong: one line and an exit code, never a traceback.

  python -m pytest tests/commands/test_command_lines.py -m long -n0 -s

prints a table of all of them. Each one runs in this process.
"""

import collections
import contextlib
import io
import json
import pathlib
import shutil
import signal
import time

import jax
import pytest
from test_exit import NEEDED

from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]
SECONDS = 120  # after which a command counts as one that hangs
FINE = (0, 2, 3, 5)

COMMANDS = {module.__name__.rpartition('.')[2]: module for module in NEEDED}


class Hangs(BaseException):
  """Raised after SECONDS; no Exception, so that nobody catches it."""


def run(command, args):
  """Returns the exit code, what stands on stderr, and the seconds."""

  def alarm(number, frame):
    raise Hangs(command, args)

  before = signal.signal(signal.SIGALRM, alarm)
  signal.alarm(SECONDS)
  out, err, started = io.StringIO(), io.StringIO(), time.monotonic()
  try:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      code = COMMANDS[command].main([str(a) for a in args])
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
  return code, err.getvalue().strip(), time.monotonic() - started


# Values of one field each, of configs/vae.py:test.
FIELDS = {
  'batch_size': [10**20, 10**8, 10**9, 0, -1, 1.5, 'x'],
  'seed': [-1, 2**32, 2**64, -(2**63) - 1, 1.5],
  'log_every': [0, -1],
  'checkpoint.every': [-1, 0, 1.5, 'x'],
  'checkpoint.keep': [0, -1],
  'checkpoint.best': ['nosuch'],
  'checkpoint.best_mode': ['x'],
  'checkpoint': [{}, 3, {'every': 'x'}],
  'steps_per_dispatch': [0, -3, 10**9],
  'accumulate': [3, 0],
  'parallel': ['tpu'],
  'steps': [3 * 10**9, 0, -1],
  'objective.encoder.dtype': ['float99', 'int32', 'float16', 'complex64'],
  'objective.encoder.features': [-3, 0, (0,), 5],
  'objective.encoder.name': ['subprocess.Popen'],
  'objective.beta': ['nan', 'inf', -1],
  'objective.latents': [0, -3],
  'objective.samples': [0],
  'objective.name': ['os.system'],
  'objective': [{}, {'name': 'os.system'}],
  'optim.model.learning_rate': ['nan', -1, 'inf', 0],
  'optim.model.name': ['nosuch'],
  'optim.model.b1': [2, 0.5],
  'optim.model.b2': ['nan'],
  'optim': [{}, {'model': 3}],
  'ema': [{'model': 2}, {'model': 'x'}, {'model': -1}, {'nobody': 0.5}],
  'data.name': ['nosuch', 'os', '../../etc', 'embedded'],
  'data.train': [
    'nosuch', 'train[:0]', 'train[999999:]', 'train[:-99999999]', 'train[::2]',
    'train[:9]', '',
  ],
  'data.classes': [77, -1, (0, 'x')],
  'data.labels_per_class': [-2, 0],
  'data.binarize': ['foo'],
  'data.resident': ['no', 'maybe'],
  'data': [{}, {'name': 'mnist'}, {'name': 'mnist', 'x': 1}],
  'stages': [
    1, ({},), ({'steps': -1},), ({'nosuch': 1},), ({'steps': 'x'},),
  ],
  'evals': [
    {'a': {'name': 'os.system'}},
    {'a': 3},
    {'a': {'name': 'figures.Samples', 'every': -1}},
    {'a': {'name': 'probe.Probe', 'every': 'x'}},
    {'../../pwned': {'name': 'figures.Samples'}},
  ],
  'nosuch': [1],
}  # fmt: skip

CONFIG_FILES = {
  'syntax.py': 'def get_config(:\n',
  'raises.py': 'raise RuntimeError("no")\n',
  'imports.py': 'import nosuchmodule\n',
  'without.py': 'x = 3\n',
  'number.py': 'def get_config(arg=None):\n  return 3\n',
  'nothing.py': 'def get_config(arg=None):\n  pass\n',
  'inside.py': 'def get_config(arg=None):\n  return unknown\n',
  'exits.py': 'import sys\nsys.exit(3)\n',
  'text.py': '\xff\xfe'.encode('latin1'),
}


def command_lines(folder, trained):
  """Yields commands and their arguments; files are made below a folder."""
  vae = f'--config={ROOT}/configs/vae.py:test'
  plain = [vae, '--config.evals={}', '--config.steps=2']
  for field, values in FIELDS.items():
    for index, value in enumerate(values):
      args = [a for a in plain if not a.startswith(f'--config.{field}=')]
      at = f'--workdir={folder}/{field}-{index}'
      yield 'main', [*args, at, f'--config.{field}={value}']
  for name, content in CONFIG_FILES.items():
    file = folder / name
    if isinstance(content, str):
      content = content.encode()
    file.write_bytes(content)
    for command in ('main', 'cost'):
      where = [f'--workdir={folder}/w'] if command == 'main' else []
      yield command, [f'--config={file}', *where]
  for args in (
    ['--config.steps'], ['--nosuch'], ['extra'], ['--config.steps=2=3'],
    [f'--workdir={folder}/syntax.py'], ['--workdir=/proc/x'], ['--workdir='],
    [f'--workdir={folder}/{"a" * 300}'], ['--workdir=xx://foo/bar'],
    ['--num_processes=2'], ['--process_id=x'],
  ):  # fmt: skip
    yield 'main', [*plain, *args]
  at = f'--workdir={trained}'
  for args in (
    ['--num=0'], ['--num=-1'], ['--num=x'], ['--num=1e9'], ['--seed=-1'],
    [f'--seed={2**64}'], ['--num=1000000000', f'--out={folder}/a.npz'],
    ['--num=1000000000', f'--out={folder}/a.png'], ['--psi=nan'],
    ['--psi=0.5'], ['--cutoff=-1'], ['--label=3'], ['--text=cat'],
    ['--between=-1'], ['--components=0'], ['--step=7'], ['--step=x'],
    ['--step=-1'], ['--step=best'], [f'--out={folder}/a.xyz'],
    [f'--out={folder}/syntax.py/a.png'], ['--out='], ['--out=/proc/a.png'],
  ):  # fmt: skip
    yield 'sample', [at, *args]
  for args in (
    ['--only=nosuch'], ['--add=os.system'], ['--add=x'], ['--config.steps=3'],
    ['--config.evals.elbo.num=-1'], ['--config.evals=3'], ['--step=9'],
    ['--out=/proc/x'], [f'--out={folder}/syntax.py/x'],
  ):  # fmt: skip
    yield 'evaluate', [at, *args]
  own = {
    'translate': 'y', 'reconstruct': 'y', 'denoise': 'y', 'encode': 'y.npz',
    'decode': 'y.png', 'compress': 'y.gjc', 'decompress': 'y.png',
    'score': 'y.csv', 'classify': 'y.csv',
  }  # fmt: skip
  rest = {
    command: ['--input=x', f'--out={out}'] for command, out in own.items()
  }
  rest['project'] = ['--image=x.png']
  for command in ('sample', 'evaluate', 'compare', *rest):
    for path in ('', '/nosuch', folder / 'syntax.py', '/proc', folder):
      yield command, [f'--workdir={path}', *rest.get(command, [])]
    yield command, []
    yield command, ['--nosuch']
  yield 'project', [at, '--image=/nosuch.png', '--rate=nan']
  yield 'project', [at, '--image=/nosuch.png', '--steps=0']
  for command, out in own.items():
    for path in ('/nosuch', '', folder, folder / 'syntax.py', '/proc/self/mem'):
      for place in (f'{folder}/t/{out}', f'{folder}/syntax.py/{out}', 'x.html'):
        yield command, [at, f'--input={path}', f'--out={place}']
  yield 'compare', [at, f'--out={folder}/syntax.py/x.html']
  for over in ('steps', 'steps=', 'steps=1,1', 'nosuch=1', 'steps=-1,2', '='):
    yield 'sweep', [*plain, f'--workdir={folder}/s', f'--over={over}']
  yield 'cost', [vae, '--stage=0']
  yield 'cost', [vae, '--config.steps=0']


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  import dense_vae

  path = tmp_path_factory.mktemp('trained') / 'w'
  config = dense_vae.get_config()
  config.steps = 1
  config.evals = {'elbo': {'name': 'likelihood.ELBO'}}
  train(config, path)
  return path


@pytest.mark.long
def test_no_command_line_gives_a_traceback_or_hangs(
  tmp_path, trained, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'state'))
  codes, bad = collections.Counter(), []
  for command, args in command_lines(tmp_path, trained):
    code, error, seconds = run(command, args)
    codes[code] += 1
    line = error.splitlines()[-1] if error else ''
    shown = ' '.join(str(a).replace(str(tmp_path), '$OUT') for a in args[-2:])
    print(f'{code}  {seconds:6.1f} s  {command} {shown[:90]}\n    {line[:150]}')
    one = code in (0, 5) or len(error.splitlines()) == 1
    if code not in FINE or not one or 'Traceback' in error:
      bad.append((command, args, code, error[-500:]))
    jax.clear_caches()
  print(dict(codes))
  assert not bad


# Each leaf of a config.json is replaced by each of these.
VALUES = [
  None, 'x', -1, 0, [], {}, [1, 2], 10**30, 1e308, '<script>alert(1)</script>',
]  # fmt: skip


def leaves(value, path=()):
  """Yields the places of all values, and of all groups."""
  yield path
  if isinstance(value, dict):
    for key, field in value.items():
      yield from leaves(field, (*path, key))


def replaced(value, path, new):
  if not path:
    return new
  head, *rest = path
  return {**value, head: replaced(value[head], rest, new)}


FAMILIES = {
  'vae': 'configs/vae.py',
  'gan': 'configs/gan.py',
  'stacked_autoencoder': 'configs/stacked_autoencoder.py',
}


@pytest.mark.long
@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('command', ['sample', 'evaluate', 'compare'])
def test_no_value_of_a_config_json_gives_a_traceback_or_hangs(
  family, command, tmp_path, monkeypatch
):
  from gen_jax import config as config_lib

  config = config_lib.load(f'{ROOT}/{FAMILIES[family]}:test')
  for part in config.stages or (config,):
    part['steps'] = 1
  config.evals = {'samples': {'name': 'figures.Samples', 'num': 4}}
  if family == 'stacked_autoencoder':
    config.evals = {'error': {'name': 'reconstruction.Error', 'num': 8}}
  train(config, tmp_path / 'w')
  monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'state'))
  args = {
    'sample': ['--num=2', f'--out={tmp_path}/o.png'],
    'evaluate': [],
    'compare': [f'--out={tmp_path}/o.html'],
  }[command]
  file = tmp_path / 'w' / 'config.json'
  whole = json.loads(file.read_text())
  codes, bad = collections.Counter(), []
  for path in leaves(whole):
    for value in VALUES:
      file.write_text(json.dumps(replaced(whole, path, value)))
      code, error, _ = run(command, [f'--workdir={tmp_path}/w', *args])
      codes[code] += 1
      one = code in (0, 5) or len(error.splitlines()) == 1
      if code not in FINE or not one or 'Traceback' in error:
        bad.append(('.'.join(path), str(value)[:20], code, error[-300:]))
      if code == 0 and command == 'compare':
        assert '<script>' not in (tmp_path / 'o.html').read_text()
    jax.clear_caches()
  shutil.rmtree(tmp_path / 'w')
  print(f'{family} {command}: {dict(codes)}')
  assert not bad, '\n'.join(map(str, bad[:20]))
