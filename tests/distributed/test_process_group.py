"""Many processes give what one gives, and end together."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import cluster
import environment
import jax
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax import main
from gen_jax.data.record import Record
from gen_jax.distributed import connection, coordinator, process_group, watchdog
from gen_jax.errors import InputError
from gen_jax.training import agreement, trained
from gen_jax.training.loop import train

FAMILIES = [
  name
  for name in ('vae', 'dcgan', 'cyclegan')
  if (cluster.ROOT / 'configs' / f'{name}.py').exists()
]
LIKELIHOOD = "{'elbo': {'name': 'likelihood.ELBO', 'every': 3, 'num': 21}}"


def fields(name, **overrides):
  """The arguments of a tiny run, without the evaluators that take time."""
  evals = LIKELIHOOD if name == 'vae' else '{}'
  values = {'evals': evals, 'checkpoint.keep': 9, **overrides}
  file = f'{cluster.ROOT}/configs/{name}.py:test'
  config = config_lib.load(file)
  if name == 'cyclegan':
    # A bias before an instance normalization has rounding errors for a
    # gradient, of which Adam would make steps.
    sgd = {'name': 'sgd', 'learning_rate': 1e-4}
    values['optim'] = dict.fromkeys(config.optim, sgd)
  pairs = [(k.replace('__', '.'), str(v)) for k, v in values.items()]
  args = [f'--config={file}', *(f'--config.{k}={v}' for k, v in pairs)]
  config_lib.apply(config, pairs)
  return args, config


# Players of dense layers, which compile at once.
DENSE = {
  'objective.encoder': {
    'name': 'autoencoder.DenseEncoder',
    'features': 2 * 2,
    'hidden': (16,),
  },
  'objective.decoder': {
    'name': 'autoencoder.DenseDecoder',
    'shape': None,
    'hidden': (16,),
  },
}


def train_in(num, devices, path, args, **kwargs):
  """Trains in `num` processes; returns the newest state and their outputs."""
  running = cluster.start(num, devices, f'--workdir={path}', *args, **kwargs)
  codes, outputs = cluster.finish(running)
  assert codes == [0] * num, '\n'.join(outputs)
  return trained.open_trained(path)[0], outputs


def close(a, b):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5), a, b
  )


def evaluations(path):
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  return [x['elbo'] for x in map(json.loads, lines) if 'elbo' in x]


@pytest.fixture(scope='module')
def two(tmp_path_factory):
  """A run of two processes: its arguments, workdir, state and outputs.

  Each has a cache of its own, as on two hosts.
  """
  path = tmp_path_factory.mktemp('two')
  args, config = fields('vae', **DENSE)
  caches = [path / name for name in ('a', 'b')]
  state, outputs = train_in(2, 1, path / 'run', args, caches=caches)
  return config, path / 'run', state, outputs


@pytest.mark.slow('starts three processes')
def test_two_processes_give_what_one_gives_and_one_goes_on(two, tmp_path):
  config, path, state, _ = two
  one, _ = train(config, tmp_path / 'one')  # on eight devices
  close(state, jax.device_get(one))
  # 21 images are no multiple of anything: none is left out or counted twice.
  np.testing.assert_allclose(
    evaluations(path), evaluations(tmp_path / 'one'), rtol=1e-5
  )
  configs = [p / 'config.json' for p in (path, tmp_path / 'one')]
  assert configs[0].read_bytes() == configs[1].read_bytes()
  assert (path / 'images' / 'reals.png').exists()
  shutil.copytree(path, tmp_path / 'two')
  shutil.rmtree(tmp_path / 'two' / 'checkpoints' / '6')
  again, _ = train(config, tmp_path / 'two')
  close(state, jax.device_get(again))


@pytest.mark.long
@pytest.mark.parametrize('form', ['jit', 'pmap', 'fsdp'])
@pytest.mark.parametrize('name', FAMILIES)
def test_four_processes_give_what_one_gives_and_two_go_on(tmp_path, name, form):
  # Each device of a pmap draws noise of its own, so that equal parameters show
  # that those of every process do.
  args, config = fields(name, parallel=form, data__resident='no')
  state, _ = train_in(4, 2, tmp_path / 'four', args)
  one, _ = train(config, tmp_path / 'one')
  close(state, jax.device_get(one))
  os.rename(tmp_path / 'four' / 'checkpoints' / '6', tmp_path / 'gone')
  close(state, train_in(2, 4, tmp_path / 'four', args)[0])


def wait_for_checkpoint(path, running):
  """Returns when there is one; fails when a process has ended before."""
  while not any(p.name.isdigit() for p in (path / 'checkpoints').glob('*')):
    if any(p.poll() is not None for p in running):
      raise AssertionError(cluster.finish(running))
    time.sleep(0.05)


# A program whose second process is the later at its first step.
SLOW = """
import sys, time
from gen_jax import main
from gen_jax.training import experiment

init = experiment.Experiment.init_players

def slow(self):
  if sys.argv[-1] == '--process_id=1':
    time.sleep(45)
  return init(self)

experiment.Experiment.init_players = slow
main.reporting.exit(main.main())
"""


@pytest.mark.long
@pytest.mark.parametrize('form', ['jit', 'pmap'])
def test_a_process_waits_for_one_that_compiles_for_longer(tmp_path, form):
  args, _ = fields('vae', parallel=form, evals='{}')
  running = cluster.start(
    2, 2, f'--workdir={tmp_path}', *args, program=('-c', SLOW)
  )
  codes, outputs = cluster.finish(running)
  assert codes == [0, 0], '\n'.join(outputs)


ENDLESS = dict(evals='{}', steps=10**6, log_every=10**4, checkpoint__every=100)


# Signs of life that follow each other quickly, so that the end does too.
LIVELY = """
from gen_jax import main
from gen_jax.distributed import watchdog
from gen_jax.runtime import reporting
watchdog._BEAT = 0.25
reporting.exit(main.main())
"""


@pytest.mark.slow('starts two processes')
@pytest.mark.parametrize(
  'victim,sign,reason',
  [
    (0, signal.SIGKILL, 'process 0 ended or cannot be reached'),
    pytest.param(
      1, signal.SIGKILL, 'all processes failed', marks=pytest.mark.long
    ),
    pytest.param(0, signal.SIGSTOP, 'no sign of life', marks=pytest.mark.long),
    pytest.param(1, signal.SIGSTOP, 'no sign of life', marks=pytest.mark.long),
  ],
)
def test_a_lost_process_ends_the_others_with_one_line(
  tmp_path, victim, sign, reason
):
  args, _ = fields('vae', **DENSE, **ENDLESS)
  running = cluster.start(
    2, 1, f'--workdir={tmp_path}', *args,
    program=('-c', LIVELY), stderr=subprocess.PIPE,
  )  # fmt: skip
  wait_for_checkpoint(tmp_path, running)
  running[victim].send_signal(sign)
  left = running[1 - victim]
  error = left.communicate(timeout=environment.HANG)[1]
  cluster.finish([running[victim]], kill=True)
  assert left.returncode == watchdog.LOST, error
  assert error.startswith('gen_jax: ') and reason in error, error
  assert error.count('\n') == 1, error  # no stack of C++
  assert 'the run goes on from its last checkpoint' in error
  state, _ = trained.open_trained(tmp_path)
  assert int(state.step) >= 100


def test_a_lost_process_is_the_reason_also_of_an_error_that_follows(
  monkeypatch,
):
  said = []
  monkeypatch.setattr(watchdog, '_count', lambda: 2)
  monkeypatch.setattr(watchdog, '_index', lambda: 1)
  monkeypatch.setattr(watchdog, '_BEAT', 0)
  monkeypatch.setattr(watchdog, '_aborting', threading.Event())
  monkeypatch.setattr(watchdog, '_exit', lambda *args: said.append(args))
  error = InputError('a checkpoint cannot be written: make room.')
  error.__cause__ = ValueError('Gloo all-reduce failed: connection closed')
  watchdog.abort_all(error)
  ((text, code),) = said
  assert code == watchdog.LOST
  assert text.startswith('a computation of all processes failed. ValueError')


@pytest.mark.long
def test_processes_with_other_configs_end_before_the_first_step(tmp_path):
  args, _ = fields('vae', **DENSE, **ENDLESS)
  steps = [[f'--config.steps={n}'] for n in (8, 12)]
  running = cluster.start(
    2, 1, f'--workdir={tmp_path}/run', *args, own=steps, stderr=subprocess.PIPE
  )
  errors = [p.communicate(timeout=environment.HANG)[1] for p in running]
  assert [p.returncode for p in running] == [2, 2], errors
  for error in errors:
    assert error.startswith(
      'gen_jax: config.steps is 8 in process 0 and 12 in process 1: '
    )
    assert error.count('\n') == 1
  assert not (tmp_path / 'run').exists()


@pytest.mark.long
def test_a_signal_to_one_process_stops_all_at_one_step(tmp_path):
  args, _ = fields('vae', **ENDLESS)
  running = cluster.start(2, 1, f'--workdir={tmp_path}', *args)
  wait_for_checkpoint(tmp_path, running)
  running[1].send_signal(signal.SIGTERM)
  codes, outputs = cluster.finish(running)
  assert codes == [0, 0], outputs
  assert 'stopped at step' in outputs[0]


def test_a_folder_that_this_host_does_not_see_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(process_group, 'count', lambda: 2)
  monkeypatch.setattr(process_group, 'index', lambda: 1)
  monkeypatch.setattr(process_group, 'broadcast', lambda decide: 'of-process-0')
  monkeypatch.setattr(process_group, 'all_agree', lambda mine: mine)
  monkeypatch.setattr(process_group, '_LATE', 0)
  with pytest.raises(InputError, match='not all hosts see it'):
    process_group.check_shared(tmp_path)
  (tmp_path / 'of-process-0').write_text('')
  process_group.check_shared(tmp_path)


@pytest.mark.long
def test_a_folder_that_only_one_host_sees_is_refused(tmp_path):
  folders = [tmp_path / 'a', tmp_path / 'b']  # as two local disks
  for folder in folders:
    folder.mkdir()
  args, _ = fields('vae')
  running = cluster.start(2, 1, '--workdir=run', *args, folders=folders)
  codes, outputs = cluster.finish(running)
  for output in outputs:
    assert 'Traceback' not in output
    assert 'not all hosts see it' in output
  assert codes == [2, 2]


@pytest.mark.long
def test_many_processes_measure_with_classifiers(tmp_path):
  evals = {
    'fidelity': {'name': 'fidelity.Fidelity', 'num': 80},
    'accuracy': {'name': 'conditional_accuracy.LabelAccuracy', 'num': 80},
  }
  args, _ = fields('cgan', evals=evals)
  running = cluster.start(
    2,
    1,
    f'--workdir={tmp_path}/run',
    *args,
    caches=[tmp_path / 'cache'] * 2,
  )
  codes, outputs = cluster.finish(running)
  assert codes == [0, 0], '\n'.join(outputs)
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  values = {k: v for line in lines for k, v in json.loads(line).items()}
  hashes = {values[f'{name}/classifier_hash'] for name in evals}
  assert len(hashes) == 1


def with_others(monkeypatch, *others):
  """Process 0 of many; each of the others makes its answer from that of 0."""
  monkeypatch.setattr(process_group, 'count', lambda: 1 + len(others))
  monkeypatch.setattr(
    process_group, 'gather', lambda mine, patience=None: [
      mine, *(f(mine) if isinstance(mine, dict) else repr(f) for f in others)
    ],
  )  # fmt: skip


def data_record(*classes):
  fields = {'image': (28, 28, 1)}, {'image': 'uint8'}
  return Record(classes, *fields, ranges={}, examples=2, fingerprint='0')


def test_what_differs_between_processes_is_named(monkeypatch):
  config = config_lib.load(f'{cluster.ROOT}/configs/vae.py:test')
  data = [data_record('cat', 'dog')]
  other = agreement.record(config, 'runs/a', data)
  rate = config.optim.model.learning_rate
  config.optim.model.learning_rate = 7.5
  same = lambda mine: mine  # noqa: E731
  with_others(monkeypatch, same, lambda mine: other)
  with pytest.raises(process_group.CommonError) as error:
    agreement.check(config, 'runs/a', data)
  assert str(error.value) == (
    f'config.optim.model.learning_rate is 7.5 in process 0 and {rate} in '
    'process 2: start all processes with the same command, code and data.'
  )


@pytest.mark.parametrize(
  'field,value,expected',
  [
    ('workdir', 'runs/b', '--workdir is "runs/b" in process 0'),
    ('data', [data_record('a')], 'data[0].classes[1] is not given in'),
  ],
)
def test_workdir_and_data_have_to_be_the_same(
  monkeypatch, field, value, expected
):
  given = dict(
    config=config_lib.default(), workdir='w', data=[data_record('a', 'b')]
  )
  other = agreement.record(**given)
  with_others(monkeypatch, lambda mine: other)
  with pytest.raises(InputError, match=re.escape(expected)):
    agreement.check(**{**given, field: value})


@pytest.mark.parametrize(
  'where,name,value,expected',
  [
    (agreement, '_code', lambda: '1', 'source code of gen_jax is "1" in'),
    (jax, '__version__', '0.0', 'the version of jax is "0.0" in process 0'),
  ],
)
def test_versions_have_to_be_the_same(
  monkeypatch, where, name, value, expected
):
  other = agreement.record(config_lib.default(), 'w', [])
  with_others(monkeypatch, lambda mine: other)
  monkeypatch.setattr(where, name, value)
  with pytest.raises(InputError, match=re.escape(expected)):
    agreement.check(config_lib.default(), 'w', [])


def test_processes_that_are_the_same_go_on(monkeypatch):
  monkeypatch.setattr(process_group, 'count', lambda: 3)
  monkeypatch.setattr(
    process_group, 'gather', lambda mine, patience: [mine] * 3
  )
  agreement.check(config_lib.default(), 'runs/a', [data_record()])


def test_the_digest_of_the_code_changes_with_a_file(tmp_path, monkeypatch):
  monkeypatch.setattr(
    agreement, '__file__', f'{tmp_path}/training/agreement.py'
  )
  (tmp_path / 'losses').mkdir()
  file = tmp_path / 'losses' / 'kl.py'
  file.write_text('weight = 1')
  before = agreement._code()
  file.write_text('weight = 2')
  assert agreement._code() != before


TWO = ['--num_processes=2', '--process_id=1']


@pytest.mark.parametrize(
  'args,expected',
  [
    (['--num_processes=2'], 'give all three'),
    (['--coordinator=a:1', '--process_id=0'], 'give all three'),
    (['--coordinator=a:1', '--num_processes=2'], 'give all three'),
    (
      ['--coordinator=a:1', '--num_processes=2', '--process_id=2'],
      'expected 0 to 1',
    ),
    (
      ['--coordinator=a:1', '--num_processes=2', '--process_id=-1'],
      'expected 0 or more',
    ),
    (
      ['--coordinator=a:1', '--num_processes=0', '--process_id=0'],
      'expected 1 or more',
    ),
    (['--coordinator=garbage', *TWO], 'expected HOST:PORT'),
    (['--coordinator=', *TWO], 'expected HOST:PORT'),
    (['--coordinator=localhost:', *TWO], 'expected HOST:PORT'),
    (['--coordinator=localhost:x', *TWO], 'expected HOST:PORT'),
    (['--coordinator=http://localhost:80', *TWO], 'expected HOST:PORT'),
    (['--coordinator=::1:1234', *TWO], 'expected HOST:PORT'),
    (['--coordinator=localhost:0', *TWO], 'from 1 to 65535'),
    (['--coordinator=localhost:99999', *TWO], 'from 1 to 65535'),
    (['--coordinator=a..b:1234', *TWO], "'a..b' is unknown"),
  ],
)
def test_flags_are_checked(refused, tmp_path, args, expected):
  test = ['--config=configs/vae.py:test', f'--workdir={tmp_path}/w']
  assert expected in refused(main, *test, *args)
  assert not (tmp_path / 'w').exists()


def test_an_address_may_be_a_name_or_a_number():
  assert coordinator.parse('node-1.pod:80') == ('node-1.pod', 80)
  assert coordinator.parse('10.0.0.1:65535') == ('10.0.0.1', 65535)
  assert coordinator.parse('[::1]:1') == ('::1', 1)


def test_a_name_service_that_does_not_answer_is_not_waited_for(monkeypatch):
  answer = threading.Event()
  monkeypatch.setattr(socket, 'getaddrinfo', lambda *_, **__: answer.wait())
  monkeypatch.setattr(coordinator, '_RESOLVE', 0.01)
  with pytest.raises(InputError, match='is unknown .no answer in'):
    coordinator.check_known(('node', 80))
  answer.set()


def test_process_0_needs_a_free_port(refused, tmp_path):
  with socket.create_server(('', 0)) as other:
    port = other.getsockname()[1]
    line = refused(
      main,
      '--config=configs/vae.py:test',
      f'--workdir={tmp_path}/w',
      f'--coordinator=localhost:{port}',
      '--num_processes=2',
      '--process_id=0',
    )
  assert f'cannot listen on port {port} (Address already in use)' in line


def test_process_0_needs_an_address_of_its_own_host(monkeypatch):
  def unreachable(address, timeout):
    raise TimeoutError('timed out')

  with cluster.free_port() as port:
    coordinator.check_own(('localhost', port))
    monkeypatch.setattr(socket, 'create_connection', unreachable)
    with pytest.raises(InputError, match='has to be an address of the host'):
      coordinator.check_own(('192.0.2.1', port))


def test_a_process_waits_for_process_0_in_vain_with_one_line(
  refused, tmp_path, monkeypatch
):
  monkeypatch.setattr(connection, '_MEET', 1)
  with cluster.free_port() as port:
    line = refused(
      main,
      '--config=configs/vae.py:test',
      f'--workdir={tmp_path}/w',
      f'--coordinator=localhost:{port}',
      *TWO,
    )
  assert f'process 0 did not come to localhost:{port}' in line
  assert 'Connection refused' in line


def test_a_process_waits_for_one_that_listens_later():
  with cluster.free_port() as port:
    deadline = time.monotonic() + environment.HANG
    waiting = threading.Thread(
      target=coordinator.wait_for, args=(('localhost', port), deadline)
    )
    waiting.start()
    with socket.create_server(('', port)) as server:
      server.accept()
    waiting.join()


def test_a_relay_notices_the_loss_of_process_0_and_hides_it():
  lost = threading.Event()
  with socket.create_server(('127.0.0.1', 0)) as service:
    relay = coordinator.Relay(service.getsockname(), lost.set)
    host, port = coordinator.parse(relay.address)
    with socket.create_connection((host, port)) as client:
      there, _ = service.accept()
      client.sendall(b'question')
      assert there.recv(99) == b'question'
      there.sendall(b'answer')
      assert client.recv(99) == b'answer'
      relay.guard()
      there.close()
      assert lost.wait(environment.HANG)
      client.setblocking(False)
      with pytest.raises(BlockingIOError):  # it sees no end
        client.recv(99)


def test_a_relay_that_the_client_closes_has_lost_nothing():
  lost = threading.Event()
  with socket.create_server(('127.0.0.1', 0)) as service:
    relay = coordinator.Relay(service.getsockname(), lost.set)
    relay.guard()
    client = socket.create_connection(coordinator.parse(relay.address))
    there, _ = service.accept()
    client.close()
    assert there.recv(99) == b''
    there.close()
    # The next connection works, and only then is a loss reported.
    client = socket.create_connection(coordinator.parse(relay.address))
    there, _ = service.accept()
    assert not lost.is_set()
    client.close()


def test_a_single_process_shares_with_nobody(monkeypatch):
  for name in ('SLURM_JOB_ID', 'JAX_COORDINATOR_ADDRESS'):
    monkeypatch.delenv(name, raising=False)
  connection.connect()  # no cluster: nothing happens
  assert jax.process_count() == 1
  assert process_group.broadcast(lambda: 3) == 3
  assert process_group.all_agree(False) is False
  assert not process_group.flag_is_set('stop')
  with pytest.raises(InputError, match='wrong'), watchdog.joined():
    raise InputError('wrong')


def test_slurm_announces_a_cluster_unless_it_is_one_process(monkeypatch):
  for name, value in dict(
    SLURM_JOB_ID='7',
    SLURM_STEP_NODELIST='node[01-02]',
    SLURM_PROCID='1',
    SLURM_LOCALID='0',
    SLURM_STEP_NUM_NODES='2',
  ).items():
    monkeypatch.setenv(name, value)
  monkeypatch.setenv('SLURM_NTASKS', '2')
  assert connection._announced()
  monkeypatch.setenv('SLURM_NTASKS', '1')
  assert not connection._announced()


# An evaluator that fails on the second process alone, after its computation.
ALONE = """
import sys
from gen_jax import main
from gen_jax.evaluation.metrics import likelihood

run = likelihood.ELBO.run

def broken(self, players, key):
  yield from run(self, players, key)
  if sys.argv[-1] == '--process_id=1':
    raise OSError('no space on this host')

likelihood.ELBO.run = broken
main.reporting.exit(main.main())
"""


@pytest.mark.long
def test_an_evaluator_that_fails_on_one_process_has_failed_on_all(tmp_path):
  args, _ = fields('vae')
  running = cluster.start(
    2, 1, f'--workdir={tmp_path}', *args, program=('-c', ALONE)
  )
  codes, outputs = cluster.finish(running)
  assert codes == [5, 5], '\n'.join(outputs)
  line = 'step 6  evaluator elbo failed: OSError: no space on this host; see '
  assert line in outputs[0]
  assert 'in broken' in (tmp_path / 'failures' / 'elbo-6.txt').read_text()
  assert int(trained.open_trained(tmp_path)[0].step) == 6
