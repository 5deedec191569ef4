"""Metrics and pictures also go to the loggers that --log names.

The libraries are extras: `pip install 'gen_jax[wandb,mlflow,trackio]'`. Without
one, its tests are skipped.
"""

import importlib.util
import json
import sqlite3
import subprocess
import sys
import threading
import time

import dense_vae
import environment
import numpy as np
import pytest

from gen_jax import main
from gen_jax.commands import sweep
from gen_jax.errors import InputError
from gen_jax.storage import loggers, workdir
from gen_jax.storage.writer import Writer, read_metrics
from gen_jax.training.loop import train


class Recorder:
  """A logger that keeps what it gets."""

  def __init__(self):
    self.calls = []

  def scalars(self, step, values):
    self.calls.append((step, dict(values)))

  def image(self, step, name, shape, content):
    self.calls.append((step, name, shape, content[:4]))

  def close(self):
    self.calls.append('close')


@pytest.fixture
def started(monkeypatch):
  """Replaces W&B by recorders; yields the runs that were started, with them."""
  found = []

  def start(run):
    found.append((run, Recorder()))
    return found[-1][1], run.identifier or f'id{len(found)}'

  replace(monkeypatch, start)
  return found


def replace(monkeypatch, start):
  kind = loggers.KINDS['wandb']._replace(start=start, library='json')
  monkeypatch.setitem(loggers.KINDS, 'wandb', kind)


def test_a_list_of_names_is_read():
  assert loggers.parse('') == loggers.parse('none') == ()
  assert loggers.parse('tensorboard') == loggers.DEFAULT
  assert loggers.parse('tensorboard, tensorboard,') == ('tensorboard',)


def test_an_unknown_or_missing_logger_is_refused_before_all_else(
  refused, monkeypatch
):
  near = 'there is no such logger. Did you mean "wandb"?'
  find = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util,
    'find_spec',
    lambda name, *args: None if name == 'mlflow' else find(name, *args),
  )
  missing = "MLflow is not installed: pip install 'gen_jax[mlflow]'"
  # The config does not exist, and is not looked for.
  wrong = ['--config=missing.py', '--workdir=x']
  for module, more in ((main, []), (sweep, ['--over=seed=1,2'])):
    assert near in refused(module, *wrong, *more, '--log=wanbd')
    assert missing in refused(module, *wrong, *more, '--log=mlflow')
  with pytest.raises(InputError, match='--log: give'):
    train(dense_vae.get_config(), 'x', log=['none', 'wandb'])


def test_a_name_alone_imports_no_library():
  code = (
    'import sys; from gen_jax.storage import loggers; '
    'loggers.parse("tensorboard"); '
    'assert not {"wandb", "mlflow", "trackio", "jax"} & set(sys.modules)'
  )
  subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.slow('trains three times')
def test_a_resumed_run_goes_on_with_its_run_in_the_logger(
  started, one_device, tmp_path
):
  config = dense_vae.get_config()
  path = tmp_path / 'name'
  train(config, path, log=('wandb',))
  run, logger = started[0]
  assert (run.name, run.identifier) == ('name', None)
  assert run.config['objective']['name'] == 'vae.VAE'
  assert not (path / 'tensorboard').exists()
  lines = read_metrics(path / 'metrics.jsonl')
  assert [call[0] for call in logger.calls[:-1]] == [x['step'] for x in lines]
  assert logger.calls[-1] == 'close'

  train(config, path, log=())  # without it, the identifier is kept
  assert len(started) == 1
  config.steps = 8
  train(config, path, log=('wandb',), extend=True)
  assert started[1][0].identifier == 'id1'
  # Only what is new; what came after the checkpoint is written again.
  assert {call[0] for call in started[1][1].calls[:-1]} == {7, 8} - {7}


def test_without_a_checkpoint_another_run_begins(started, tmp_path):
  for step, identifier in ((-1, None), (3, 'id1'), (-1, None), (3, 'id3')):
    Writer(tmp_path, step, ['wandb']).close()
    assert started[-1][0].identifier == identifier
  Writer(tmp_path, -1, []).close()
  assert json.loads((tmp_path / 'loggers.json').read_text()) == {}


@pytest.mark.parametrize(
  'text', ['[]', '{', '{"wandb": 3}', '{"wandb": "../x"}', '{"wandb": ""}']
)
def test_a_damaged_list_of_runs_is_named(started, tmp_path, text):
  (tmp_path / 'loggers.json').write_text(text)
  with pytest.raises(InputError, match=r'loggers\.json cannot be read: .*Rem'):
    Writer(tmp_path, 1, ['wandb'])
  Writer(tmp_path, -1, ['wandb']).close()  # another run needs it not
  assert 'id1' in (tmp_path / 'loggers.json').read_text()


def test_numbers_and_pictures_reach_a_logger(started, tmp_path):
  writer = Writer(tmp_path, -1, ['wandb'])
  writer.scalars(1, {'a': np.float32(0.5), 'split': 'test'})
  writer.scalars(1, {'text': 'alone'})
  writer.image(2, 'b', np.zeros((4, 6, 1), np.uint8))
  writer.image(3, 'c', np.zeros((2, 4, 6, 3), np.uint8))
  writer.image(None, 'reals', np.zeros((4, 6, 1), np.uint8))
  writer.close()
  assert started[0][1].calls == [
    (1, {'a': 0.5}),
    (2, 'b', (4, 6, 1), b'\x89PNG'),
    (3, 'c', (2, 4, 6, 3), b'GIF8'),
    'close',
  ]


def test_a_logger_that_cannot_start_is_one_line(monkeypatch, tmp_path):
  def start(run):
    raise ValueError('no such project.\nand more')

  replace(monkeypatch, start)
  with pytest.raises(InputError) as found:
    Writer(tmp_path, -1, ['wandb'])
  assert str(found.value) == (
    '--log=wandb: Weights & Biases cannot be used: ValueError: no such project.'
  )

  monkeypatch.setattr(loggers, '_OPENING_SECONDS', 0.05)
  silent = threading.Event()
  replace(monkeypatch, lambda run: silent.wait())
  with pytest.raises(InputError, match=r'no answer in 0\.05 s'):
    Writer(tmp_path, -1, ['wandb'])
  silent.set()


@pytest.mark.parametrize('name', ['scalars', 'image', 'close'])
def test_a_logger_that_fails_says_so_once_and_ends(
  started, tmp_path, capsys, name
):
  def fail(*args):
    raise ConnectionError('the network\nis gone')

  writer = Writer(tmp_path, -1, ['wandb'])
  setattr(started[0][1], name, fail)
  for step in range(3):
    writer.scalars(step, {'a': 1.0})
    writer.image(step, 'b', np.zeros((4, 4, 1), np.uint8))
  writer.close()
  assert capsys.readouterr().err == (
    'metrics for Weights & Biases cannot be written: ConnectionError: the '
    'network. The run continues without them; metrics.jsonl and images/ have '
    'the same.\n'
  )
  assert len(read_metrics(tmp_path / 'metrics.jsonl')) == 3


def test_a_slow_logger_is_waited_for(started, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(loggers, '_CALL_SECONDS', 0.3)
  writer = Writer(tmp_path, -1, ['wandb'])
  seen = []

  def slow(step, values):
    time.sleep(0.1)
    seen.append(step)

  started[0][1].scalars = slow
  for step in range(6):
    writer.scalars(step, {'a': 1.0})
  writer.close()
  assert seen == list(range(6))
  assert not capsys.readouterr().err


def test_a_logger_that_hangs_holds_nothing_up(
  started, tmp_path, capsys, monkeypatch
):
  monkeypatch.setattr(loggers, '_CALL_SECONDS', 0.05)
  writer = Writer(tmp_path, -1, ['wandb'])
  silent = threading.Event()
  started[0][1].scalars = lambda *args: silent.wait()
  start = time.monotonic()
  writer.scalars(1, {'a': 1.0})
  time.sleep(0.1)
  writer.scalars(2, {'a': 1.0})
  writer.close()
  assert time.monotonic() - start < 1
  assert capsys.readouterr().err.count('no answer in 0.05 s') == 1
  assert len(read_metrics(tmp_path / 'metrics.jsonl')) == 2
  silent.set()


def test_links_of_weights_and_biases_are_left_alone(tmp_path):
  (tmp_path / 'wandb/logs').mkdir(parents=True)
  (tmp_path / 'wandb/logs/debug.log').symlink_to('/elsewhere')
  workdir.check_inside(tmp_path)
  (tmp_path / 'images').mkdir()
  (tmp_path / 'images/wandb').symlink_to('/elsewhere')
  with pytest.raises(InputError, match='a link, images/wandb'):
    workdir.check_inside(tmp_path)


# The libraries themselves, in processes of their own: they keep settings from
# the environment, threads, and functions that are called at the end.

SCRIPT = """
import pathlib, socket, sys
import numpy as np
from gen_jax.storage.writer import Writer

def refuse(*args, **kwargs):
  raise AssertionError(f'a connection: {args}')

connect = socket.socket.connect
socket.socket.connect = lambda self, address: (
  connect(self, address) if self.family == socket.AF_UNIX else refuse(address)
)
socket.getaddrinfo = refuse
path = pathlib.Path(sys.argv[2])
for first, steps, beta in ((-1, (1, 2, 3), 1), (2, (3, 4), 2)):
  config = {'objective': {'beta': beta}, 'sizes': [1, 2]}
  writer = Writer(path, first, [sys.argv[1]], config)
  for step in steps:
    values = {'gen/loss': step / 2, 'seed': 2**64 - 1, 'nan': float('nan')}
    writer.scalars(step, values)
  writer.image(steps[-1], 'samples', np.zeros((4, 6, 1), np.uint8))
  writer.image(steps[-1], 'sweep', np.zeros((2, 4, 6, 3), np.uint8))
  writer.close()
"""


def log_twice(name, path, monkeypatch, **variables):
  """Logs steps 1 to 3, and, after a resume from step 2, steps 3 and 4."""
  pytest.importorskip(name, reason=f"needs: pip install 'gen_jax[{name}]'")
  for variable, value in variables.items():
    monkeypatch.setenv(variable, str(value))
  monkeypatch.setenv('HOME', str(path))
  done = subprocess.run(
    [sys.executable, '-c', SCRIPT, name, str(path / 'run')],
    capture_output=True,
    text=True,
    timeout=environment.HANG,
  )
  assert done.returncode == 0, done.stderr
  assert not done.stderr
  # trackio says how to look at its runs, the others say nothing.
  assert all(
    line.startswith(('* ', '\x1b')) for line in done.stdout.splitlines()
  )
  assert name == 'trackio' or not done.stdout
  return json.loads((path / 'run/loggers.json').read_text())[name]


STEPS = [(1, 0.5), (2, 1.0), (3, 1.5), (3, 1.5), (4, 2.0)]


@pytest.mark.slow('makes a database')
def test_mlflow_keeps_a_run_in_the_workdir(tmp_path, monkeypatch):
  monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
  found = log_twice('mlflow', tmp_path, monkeypatch)
  with sqlite3.connect(tmp_path / 'run/mlflow.db') as base:
    rows = base.execute('select run_uuid, name, status from runs').fetchall()
    assert rows == [(found, 'run', 'FINISHED')]
    query = 'select step, value from metrics where key = ? order by step'
    assert base.execute(query, ['gen/loss']).fetchall() == STEPS
    parameters = dict(base.execute('select key, value from params'))
    assert parameters == {'objective.beta': '1', 'sizes': '[1, 2]'}
  files = [x.name for x in (tmp_path / 'run/mlartifacts').rglob('*.*')]
  assert sorted(x for x in files if x.endswith('.gif')) == ['3.gif', '4.gif']
  assert sum(x.startswith('samples') for x in files) >= 2


@pytest.mark.slow('imports a large library')
def test_trackio_keeps_a_run_on_this_machine(tmp_path, monkeypatch):
  for variable in ('TRACKIO_SPACE_ID', 'TRACKIO_SERVER_URL', 'HF_TOKEN'):
    monkeypatch.delenv(variable, raising=False)
  folder = tmp_path / 'trackio'
  found = log_twice('trackio', tmp_path, monkeypatch, TRACKIO_DIR=folder)
  assert found.startswith('run-')
  with sqlite3.connect(folder / 'gen_jax.db') as base:
    rows = base.execute('select step, run_name, metrics from metrics')
    lines = [(step, name, json.loads(text)) for step, name, text in rows]
  assert {name for _, name, _ in lines} == {found}
  losses = [(s, x['gen/loss']) for s, _, x in lines if 'gen/loss' in x]
  assert sorted(losses) == STEPS
  media = {x.suffix for x in (folder / 'media').rglob('*.*')}
  assert media == {'.png', '.gif'}


def wandb_records(folder):
  """Yields the records of a file of W&B: 7 bytes, then blocks of 32 kB."""
  from wandb.proto import wandb_internal_pb2

  (file,) = folder.glob('*.wandb')
  data, position, record = file.read_bytes(), 7, b''
  while position + 7 <= len(data):
    if 2**15 - position % 2**15 < 7:  # what is left of a block
      position += 2**15 - position % 2**15
      continue
    size = int.from_bytes(data[position + 4 : position + 6], 'little')
    kind = data[position + 6]  # 1: whole; 2, 3, 4: first, middle, last
    record += data[position + 7 : position + 7 + size]
    position += 7 + size
    if kind in (1, 4):
      yield wandb_internal_pb2.Record.FromString(record)
      record = b''


@pytest.mark.slow('starts the process of W&B')
def test_wandb_keeps_a_run_without_a_network(tmp_path, monkeypatch):
  found = log_twice('wandb', tmp_path, monkeypatch, WANDB_MODE='offline')
  folders = sorted((tmp_path / 'run/wandb').glob(f'offline-run-*-{found}'))
  assert len(folders) == 2
  losses, records = [], []
  for folder in folders:
    for record in wandb_records(folder):
      records.append(record)
      items = {
        x.key or '/'.join(x.nested_key): json.loads(x.value_json)
        for x in record.history.item
      }
      if 'gen/loss' in items:
        losses.append((items['step'], items['gen/loss']))
  assert losses == STEPS
  runs = [x.run for x in records if x.WhichOneof('record_type') == 'run']
  assert {run.run_id for run in runs} == {found}
  assert {run.display_name for run in runs} == {'run'}
  assert not any(run.git.remote_url or run.host for run in runs)
  metrics = [x.metric for x in records if x.HasField('metric')]
  assert ('*', 'step') in {(m.glob_name, m.step_metric) for m in metrics}
  kinds = {x.WhichOneof('record_type') for x in records}
  assert not kinds & {'stats', 'output', 'output_raw'}
  media = {x.suffix for x in (folders[0] / 'files/media').rglob('*.*')}
  assert media == {'.png', '.gif'}
  workdir.check_inside(tmp_path / 'run')


@pytest.mark.slow('waits for a server that is not there')
@pytest.mark.parametrize(
  ('name', 'variables', 'expected'),
  [
    ('wandb', {'WANDB_API_KEY': ''}, 'run `wandb login`, set WANDB_API_KEY'),
    (
      'wandb',
      {'WANDB_API_KEY': 'a' * 40, 'WANDB_BASE_URL': 'http://127.0.0.1:9'},
      'try again, or set WANDB_MODE=offline',
    ),
    (
      'mlflow',
      {'MLFLOW_TRACKING_URI': 'http://127.0.0.1:9'},
      'MLFLOW_TRACKING_URI=http://127.0.0.1:9 gives no run',
    ),
  ],
)
def test_a_server_that_is_away_is_named_within_seconds(
  command, monkeypatch, tmp_path, name, variables, expected
):
  pytest.importorskip(name, reason=f"needs: pip install 'gen_jax[{name}]'")
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.delenv('WANDB_MODE', raising=False)
  for variable, value in variables.items():
    monkeypatch.setenv(variable, value)
  where = f'--workdir={tmp_path}/run'
  done = command('main', '--config=tests/dense_vae.py', where, f'--log={name}')
  assert done.returncode == 2
  (line,) = done.stderr.splitlines()
  assert expected in line
  assert not list((tmp_path / 'run').glob('checkpoints/*'))
