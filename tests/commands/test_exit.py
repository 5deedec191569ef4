"""How a command ends: with one line and an exit code, never a traceback."""

import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

import environment
import pytest
from etils.epath import backend, gpath

from gen_jax import config as config_lib
from gen_jax import main
from gen_jax.commands import (
  classification_score,
  classify,
  cli,
  compare,
  compress,
  cost,
  decode,
  decompress,
  denoise,
  encode,
  evaluate,
  export,
  import_,
  project,
  reconstruct,
  sample,
  score,
  sweep,
  translate,
)
from gen_jax.errors import InputError
from gen_jax.runtime import reporting
from gen_jax.storage import cloud, workdir
from gen_jax.storage.checkpoint import Checkpointer

ROOT = pathlib.Path(__file__).parents[2]
TEST = '--config=tests/dense_vae.py'
# The arguments that each command requires.
NEEDED = {
  main: ['--config=a'],
  evaluate: ['--workdir=a'],
  sample: ['--workdir=a'],
  compare: ['--workdir=a'],
  sweep: ['--workdir=a', '--config=a', '--over=seed=1'],
  translate: ['--workdir=a', '--input=a', '--out=b'],
  reconstruct: ['--workdir=a', '--input=a', '--out=b'],
  denoise: ['--workdir=a', '--input=a', '--out=b'],
  encode: ['--workdir=a', '--input=a', '--out=b.npz'],
  decode: ['--workdir=a', '--input=a.npz', '--out=b'],
  compress: ['--workdir=a', '--input=a', '--out=b.gjc'],
  decompress: ['--workdir=a', '--input=a.gjc', '--out=b'],
  score: ['--workdir=a', '--input=a', '--out=b.csv'],
  classify: ['--workdir=a', '--input=a', '--out=b.csv'],
  project: ['--workdir=a', '--image=a'],
  cost: ['--config=a'],
  export: ['--workdir=a', '--out=a.safetensors'],
  import_: ['--from=a', '--as=cyclegan', '--out=a.safetensors'],
  classification_score: ['--workdir=a', '--config=a'],
}


def run(*command, **kwargs):
  """Runs Python with arguments; returns the finished process."""
  kwargs = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **kwargs}
  variables = {**os.environ, **kwargs.pop('env', {})}
  return subprocess.run(
    [sys.executable, *command],
    cwd=ROOT,
    env=variables,
    text=True,
    timeout=environment.HANG,
    **kwargs,
  )


@pytest.mark.parametrize('module', NEEDED, ids=lambda m: m.__name__)
def test_wrong_arguments_are_one_line(refused, module):
  needed = NEEDED[module]
  assert 'arguments are required: --' in refused(module)
  assert '--nosuch' in refused(module, *needed, '--nosuch')
  assert 'extra' in refused(module, *needed, 'extra')
  flag = needed[0].partition('=')[0]
  error = refused(module, *needed[1:], flag)
  assert f'{flag}: expected one argument; see --help' in error
  # An abbreviation would become ambiguous when a flag is added.
  assert 'arguments are required: --' in refused(module, f'{flag[:-1]}=a')


@pytest.mark.parametrize(
  'module,arg,expected',
  [
    (sample, '--num=0', '1 or more'),
    (sample, '--num=1.5', 'a whole number'),
    (sample, '--seed=-1', '0 or more'),
    (sample, f'--seed={2**64}', 'less than 18446744073709551616'),
    (sample, '--psi=nan', 'a finite number'),
    (sample, '--psi=inf', 'a finite number'),
    (sample, '--cutoff=-1', '0 or more'),
    (sample, '--components=0', '1 or more'),
    (sample, '--between=-1', '0 or more'),
    (sample, '--step=abc', "the step of a checkpoint, 0 or more, or 'best'"),
    (evaluate, '--step=-1', "the step of a checkpoint, 0 or more, or 'best'"),
    (translate, '--batch_size=0', '1 or more'),
    (translate, '--direction=ac', "'ab' or 'ba'"),
    (project, '--steps=0', '1 or more'),
    (project, '--rate=nan', 'a finite number'),
    (project, '--pixel=-1', '0 or more'),
    (project, '--feature=1e999', 'a finite number'),
    (cost, '--stage=0', '1 or more'),
    (main, '--num_processes=0', '1 or more'),
    (main, '--process_id=x', 'a whole number'),
  ],
)
def test_numbers_are_checked(refused, module, arg, expected):
  error = refused(module, *NEEDED[module], arg)
  assert error == f'gen_jax: {arg}: expected {expected}; see --help.'


def test_arguments_are_read_as_the_types_of_their_fields():
  args = ['--workdir=a', f'--seed={2**64 - 1}', '--psi=0', '--step=best']
  found = cli.parse(sample.Arguments, [*args, '--text=b', '--text=c'])
  assert found.seed == 2**64 - 1
  assert isinstance(found.psi, float)
  assert (found.step, found.text, found.label) == ('best', ('b', 'c'), None)
  assert cli.parse(sample.Arguments, ['--workdir=a', '--step=0']).step == 0


# The reason that is given for the code of a config file.
FAILING = {
  'x = (': r"x.py, line 1: SyntaxError: '\(' was never closed",
  '\n  x = 1': r'x.py, line 2: IndentationError: unexpected indent',
  '\n\nfoo()': r"x.py, line 3: NameError: name 'foo' is not defined",
  'import nosuch': r"x.py, line 1: ModuleNotFoundError: .*'nosuch'",
  'import sys\nsys.exit(0)': r'x.py, line 2: SystemExit: 0',
  'assert 0': r'x.py, line 1: AssertionError$',
  'x = 1': r"x.py' does not define get_config\(arg\)",
  'get_config = 1': r"x.py' does not define get_config\(arg\)",
  'def get_config(): pass': r"x.py' has other parameters: expected",
  'def get_config(arg): return 3': r"x.py' returned 3, which is no ConfigDict",
  'def get_config(arg): pass': r"x.py' returned None, which is no ConfigDict",
  'def get_config(arg):\n  return {}[arg]': r'x.py, line 2: KeyError: None',
  'def get_config(arg):\n  return get_config(arg)': r'line 2: RecursionError',
  'x = "\udcff"': r"x.py, line 1: SyntaxError: \(unicode error\) 'utf-8'",
  'x = 1\0': r'x.py.* null bytes',
}


@pytest.mark.parametrize('code', FAILING)
def test_a_config_file_that_fails_is_named_with_its_line(
  refused, tmp_path, code
):
  file = tmp_path / 'x.py'
  file.write_text(code, errors='surrogateescape')
  error = refused(main, f'--config={file}', f'--workdir={tmp_path}/w')
  assert error.startswith('gen_jax: --config: ')
  assert re.search(FAILING[code], error), error


@pytest.mark.parametrize(
  'name,expected',
  [
    ('configs', "'configs' is a folder"),
    ('', "no file ''"),
    ('configs/nosuch.py', "no file 'configs/nosuch.py'"),
    ('README.md', "'README.md' is not a Python file"),
    (f'{"a" * 300}.py', 'File name too long'),
    ('a\0.py', 'no file'),
  ],
)
def test_a_config_that_is_no_file_of_python(refused, name, expected):
  assert expected in refused(main, f'--config={name}')


def test_a_config_file_that_another_one_loads_is_named(tmp_path):
  (tmp_path / 'base.py').write_text('\n\nraise ValueError("base")')
  file = tmp_path / 'x.py'
  load = f'from gen_jax.config import load\n\nload({str(tmp_path)!r} + "/{{}}")'
  file.write_text(load.format('base.py'))
  with pytest.raises(InputError, match=r'base.py, line 3: ValueError: base$'):
    config_lib.load(str(file))


# Folders that cannot be a workdir.
FOLDERS = {
  '': 'workdir: expected the name of a folder, not an empty one',
  'a' * 300: 'aaa cannot be used: File name too long',
  'a\nb': r"workdir 'a\nb': the name has a character that cannot be printed",
  'a\0b': r"workdir 'a\x00b': the name has a character that cannot be printed",
  'README.md': 'workdir README.md is a file: give a folder',
  'README.md/a': 'workdir README.md/a cannot be used: Not a directory',
  'xx://a': 'workdir xx://a: expected a local path, gs://... or s3://...',
}


@pytest.mark.parametrize('name', FOLDERS)
def test_a_workdir_that_cannot_be_a_folder(refused, monkeypatch, name):
  monkeypatch.setattr(config_lib, 'load', lambda *_: config_lib.default())
  for module in (main, sample, evaluate, compare, project, sweep):
    args = [a for a in NEEDED[module] if not a.startswith('--workdir')]
    error = refused(module, *args, f'--workdir={name}')
    assert FOLDERS[name] in error


class Cloud(type(backend.os_backend)):
  """A cloud that does what a function does when a file is opened."""

  def __init__(self, function):
    self.exists = lambda path: function()


def test_a_cloud_without_its_library_or_without_an_answer(monkeypatch):
  def missing():
    raise ImportError('Please install gcsfs')

  monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, 'gs', Cloud(missing))
  with pytest.raises(InputError, match='cannot be reached: .* install gcsfs'):
    workdir.folder('gs://missing/x')

  never = threading.Event()
  monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, 'gs', Cloud(never.wait))
  monkeypatch.setattr(cloud, '_SECONDS', 0.01)
  with pytest.raises(InputError, match='cannot be reached: no answer in'):
    workdir.folder('gs://silent/x')
  never.set()


def fail():
  raise TypeError('a list\nof two lines')


def test_an_unexpected_error_is_one_line_and_a_file(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path))
  assert reporting.run(fail) == 1
  (file,) = (tmp_path / 'gen_jax').iterdir()
  assert capsys.readouterr().err == (
    'gen_jax: unexpected error: TypeError: a list. The traceback is in '
    f'{file}: please report it.\n'
  )
  assert stat.S_IMODE(file.stat().st_mode) == 0o600
  assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
  text = file.read_text()
  for part in ('in fail', 'TypeError: a list', 'command: ', 'jaxlib: 0.'):
    assert part in text


def test_the_file_goes_elsewhere_where_there_is_no_place(
  tmp_path, monkeypatch, capsys
):
  (tmp_path / 'file').touch()
  monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'file'))
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
  assert reporting.run(fail) == 1
  assert f'The traceback is in {tmp_path}' in capsys.readouterr().err
  monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'file'))
  assert reporting.run(fail) == 1
  assert 'GEN_JAX_DEBUG=1 shows the traceback' in capsys.readouterr().err


def test_debugging_raises_errors(monkeypatch):
  monkeypatch.setenv('GEN_JAX_DEBUG', '1')
  with pytest.raises(TypeError):
    reporting.run(fail)


@pytest.mark.parametrize('error', [MemoryError, RuntimeError])
def test_a_lack_of_memory_is_one_line(capsys, error):
  def command():
    raise error('RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore')

  assert reporting.run(command) == 2
  error = capsys.readouterr().err
  assert error.startswith('gen_jax: out of memory: use smaller batches')
  assert error.count('\n') == 1


def test_an_import_that_fails_is_one_line_and_a_file(tmp_path):
  code = 'from gen_jax.runtime import startup; startup.begin(); import nosuch'
  done = run('-c', code, env={'XDG_STATE_HOME': str(tmp_path)})
  assert done.returncode == 1
  assert done.stderr.count('\n') == 1
  assert "ModuleNotFoundError: No module named 'nosuch'" in done.stderr


PRINTS = """
from gen_jax.runtime import reporting
raise SystemExit(reporting.run(lambda: print('x' * 10**6, flush={flush})))
"""


@pytest.mark.parametrize('flush', [True, False])
def test_a_reader_that_leaves_ends_a_command_in_silence(flush):
  read, write = os.pipe()
  os.close(read)
  done = run('-c', PRINTS.format(flush=flush), stdout=write)
  os.close(write)
  assert (done.returncode, done.stderr) == (141, '')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='not on Linux')
@pytest.mark.parametrize('flush', [True, False])
def test_a_full_disk_for_the_output_is_one_line(flush):
  with open('/dev/full', 'w') as full:
    done = run('-c', PRINTS.format(flush=flush), stdout=full)
  assert done.returncode == 2
  assert done.stderr == (
    'gen_jax: the output cannot be written: No space left on device: make room '
    'for it.\n'
  )


def test_an_output_that_the_shell_has_closed_is_no_error():
  closed = ('bash', '-c', 'exec "$0" "$@" >&-', sys.executable, '-c')
  done = subprocess.run(
    [*closed, PRINTS.format(flush=False)],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert (done.returncode, done.stderr) == (0, '')


LIBRARIES = """
import asyncio, logging, sys, threading, warnings
from gen_jax.runtime import messages, startup

startup.begin()

class Unraisable:
  def __del__(self):
    raise ValueError('in a destructor')

async def fail():
  raise ValueError('never retrieved')

async def forget():
  task = asyncio.ensure_future(fail())
  await asyncio.sleep(0)
  await asyncio.sleep(0)

def fail_in_a_thread():
  raise ValueError('in a thread')

try:
  1 / 0
except ZeroDivisionError:
  logging.getLogger('absl').exception('handled')
  logging.getLogger('orbax.checkpoint').exception('handled')
  logging.getLogger('jax._src').exception('no GPU\\nwas found')
library = '/env/lib/site-packages/library/code.py'
warnings.warn_explicit('of a library', UserWarning, library, 1)
warnings.warn('of the user')
warnings.warn_explicit('of ours', UserWarning, startup.__file__, 1)
asyncio.run(forget())
thread = threading.Thread(target=fail_in_a_thread)
thread.start()
thread.join()
del thread
Unraisable()
# As C++ code does it for an error in a callback.
def callback():
  try:
    1 / 0
  except ZeroDivisionError:
    sys.excepthook(*sys.exc_info())
callback()
print(len(messages.hidden))
"""


def test_libraries_print_what_concerns_the_user_alone():
  done = run('-c', LIBRARIES)
  shown = ('no GPU was found', 'of the user', 'of ours')
  assert done.stderr == ''.join(f'gen_jax: {text}\n' for text in shown)
  assert done.stdout == '10\n'  # all of it, for a report
  done = run('-c', LIBRARIES, env={'GEN_JAX_DEBUG': '1'})
  for text in ('handled', 'of a library', 'never retrieved', 'in a thread'):
    assert text in done.stderr


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A workdir with the checkpoints 4 and 6."""
  path = tmp_path_factory.mktemp('trained') / 'w'
  config = config_lib.load(str(ROOT / 'tests/dense_vae.py'))
  config.evals = {}
  from gen_jax.training.loop import train

  train(config, path)
  return path


def test_a_damaged_checkpoint_is_one_line(trained, command, tmp_path):
  path = tmp_path / 'w'
  shutil.copytree(trained, path)
  files = [p for p in path.glob('checkpoints/6/state/**/*') if p.is_file()]
  os.truncate(max(files, key=lambda p: p.stat().st_size), 9)
  out = f'--out={tmp_path}/out.png'
  done = command('sample', f'--workdir={path}', '--num=1', out)
  assert done.returncode == 0
  assert done.stderr.count('\n') == 1, done.stderr
  assert 'The one before it is used.' in done.stderr


def test_a_signal_while_the_last_checkpoint_is_written_waits_for_it(
  tmp_path, monkeypatch, capsys
):
  close = Checkpointer.close

  def interrupted(self):
    signal.raise_signal(signal.SIGINT)
    close(self)

  monkeypatch.chdir(ROOT)
  monkeypatch.setattr(Checkpointer, 'close', interrupted)
  args = [TEST, f'--workdir={tmp_path}/w', '--config.evals={}']
  assert main.main(args) == 0
  assert 'stopping after a checkpoint' in capsys.readouterr().err
  assert (tmp_path / 'w' / 'checkpoints' / '6').exists()


class Started:
  """A command that reports each of its imports."""

  def __init__(self, folder, name, *args):
    # A pipe that nobody reads would block the command.
    self._file = folder / 'stderr'
    with self._file.open('w') as file:
      self._process = subprocess.Popen(
        [sys.executable, '-X', 'importtime', *environment.module(name), *args],
        cwd=ROOT,
        env={**os.environ, 'XLA_FLAGS': environment.xla_flags(1)},
        stdout=subprocess.DEVNULL,
        stderr=file,
      )
    self.wait_for('gen_jax.runtime.startup')
    self.wait_for('threading')  # imported once the signals are handled

  def wait_for(self, module):
    """Waits until a module has been imported."""
    line = re.compile(rf'^import time:.*\| +{re.escape(module)}$', re.M)
    while not line.search(self._file.read_text()):
      assert self._process.poll() is None, self._file.read_text()
      time.sleep(0.002)

  def ends(self, number):
    """Sends a signal; returns the exit code, and what else was printed."""
    self._process.send_signal(number)
    try:
      code = self._process.wait(timeout=environment.HANG)
    finally:
      self._process.kill()
    lines = self._file.read_text().splitlines(keepends=True)
    return code, ''.join(x for x in lines if not x.startswith('import time:'))


COMMANDS = {
  'main': [TEST],
  'sample': ['--workdir=none'],
  'sweep': [TEST, '--over=seed=1', '--workdir=none'],
}
ENDED = {
  signal.SIGINT: (130, 'gen_jax: interrupted\n'),
  signal.SIGTERM: (143, 'gen_jax: terminated\n'),
}


@pytest.mark.parametrize(
  'name,module,number',
  [
    ('main', 'gen_jax.runtime.startup', signal.SIGTERM),
    ('main', 'logging', signal.SIGINT),
    ('main', 'jax._src.lax.lax', signal.SIGINT),
    ('sample', 'numpy', signal.SIGINT),
    ('sample', 'jax.numpy', signal.SIGTERM),
    ('sweep', 'jaxlib._jax', signal.SIGINT),
  ],
)
def test_a_signal_in_the_imports_ends_a_command_with_one_line(
  tmp_path, name, module, number
):
  process = Started(tmp_path, name, *COMMANDS[name])
  process.wait_for(module)
  assert process.ends(number) == ENDED[number]


# A lock of C, which a signal does not interrupt, and which frees Python's lock.
WAITS = """
import ctypes, sys
from gen_jax.runtime import messages, startup

startup.begin()
lock = ctypes.create_string_buffer(64)
ctypes.CDLL(None).pthread_mutex_lock(lock)
print('waits', flush=True)
ctypes.CDLL(None).pthread_mutex_lock(lock)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='a mutex of glibc')
def test_a_signal_ends_a_command_that_waits_in_c():
  with subprocess.Popen(
    [sys.executable, '-c', WAITS],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    assert process.stdout.readline() == 'waits\n'
    process.send_signal(signal.SIGINT)
    try:
      _, error = process.communicate(timeout=environment.HANG)
    finally:
      process.kill()  # or the test would wait for it
  assert (process.returncode, error) == ENDED[signal.SIGINT]


@pytest.mark.long
@pytest.mark.parametrize('number', ENDED)
@pytest.mark.parametrize('name', ['main', 'sample', 'evaluate', 'cost'])
def test_a_signal_at_any_moment(tmp_path, name, number):
  path = tmp_path / 'w'
  args = {
    'main': [TEST, f'--workdir={path}', '--config.steps=100000'],
    'cost': ['--config=configs/vae.py:test'],
    'sample': [f'--workdir={path}', f'--out={path}.png'],
    'evaluate': [f'--workdir={path}'],
  }[name]
  if name in ('sample', 'evaluate'):
    assert main.main([TEST, f'--workdir={path}']) == 0
  codes = []
  for tick in range(24):
    process = Started(tmp_path, name, *args)
    time.sleep(tick / 4)
    code, error = process.ends(number)
    codes.append(code)
    if name == 'main' and code == 0:
      assert error.startswith('stopping after a checkpoint'), error
    elif code:
      assert (code, error) == ENDED[number]
  # The others ended by themselves, before the signal.
  assert codes.count(ENDED[number][0]) > 3
