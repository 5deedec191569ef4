"""Many processes give what one gives, and end together."""

import json
import os
import re
import shutil
import signal
import time

import cluster
import jax
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax import main, processes, together, workdir
from gen_jax.errors import InputError
from gen_jax.train import train

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
    # A bias before an instance normalisation has rounding errors for a
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
  return workdir.open_trained(path)[0], outputs


# A small classifier in place of that of `evals/yardstick.py`.
SMALL = """
import sys
from gen_jax import cli, config, main, train
from gen_jax.evals import yardstick

whole = yardstick.make_config

def small(*args):
  made = whole(*args)
  config.tiny(made)
  made.objective.network.update(channels=(4,), features=8)
  made.objective.update(noise='gaussian', amount=0.1)
  return made

yardstick.make_config = small
"""
TRAIN = 'cli.leave(main.main())'
# After it has trained, each process loads the classifier.
TRAIN_AND_LOAD = f"""
train_alone = train.train

def train_and_load(*args, **kwargs):
  train_alone(*args, **kwargs)
  eyes = yardstick.load(config.default().data.to_dict(), 10)
  print('found', eyes.hash, eyes.error)

train.train = train_and_load
{TRAIN}
"""


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

  Each has a cache of its own, as on two hosts, and loads the classifier that
  evaluators measure with after the training.
  """
  path = tmp_path_factory.mktemp('two')
  args, config = fields('vae', **DENSE)
  caches = [path / name for name in ('a', 'b')]
  state, outputs = train_in(
    2, 1, path / 'run', args, program=('-c', SMALL + TRAIN_AND_LOAD),
    caches=caches,
  )  # fmt: skip
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


def test_each_process_has_the_classifier_that_measures(two):
  # It is trained once, and is the same.
  outputs = two[-1]
  found = [re.search('^found .*$', o, re.MULTILINE)[0] for o in outputs]
  assert found[0] == found[1]
  trained = [
    re.search('starts at step 0 .*/classifiers/', o) is not None
    for o in outputs
  ]
  assert trained == [True, False]


@pytest.mark.long
@pytest.mark.parametrize('form', ['jit', 'pmap'])
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
from gen_jax import experiment, main

init = experiment.Experiment.init_players

def slow(self):
  if sys.argv[-1] == '--process_id=1':
    time.sleep(45)
  return init(self)

experiment.Experiment.init_players = slow
main.cli.leave(main.main())
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
LIVELY = f"""
from gen_jax import cli, main, together
together._BEAT = 0.25
{TRAIN}
"""


@pytest.mark.slow('starts two processes')
@pytest.mark.parametrize('victim', [1, pytest.param(0, marks=pytest.mark.long)])
def test_a_killed_process_ends_the_others_with_a_message(tmp_path, victim):
  args, _ = fields('vae', **DENSE, **ENDLESS)
  running = cluster.start(
    2, 1, f'--workdir={tmp_path}', *args, program=('-c', LIVELY)
  )
  wait_for_checkpoint(tmp_path, running)
  running[victim].send_signal(signal.SIGKILL)
  codes, outputs = cluster.finish(running)
  output = outputs[1 - victim]
  assert codes[1 - victim] not in (0, None)
  if victim == 0:  # where the coordination lives: JAX itself ends the others
    assert 'gen_jax: ' in output or 'another task died' in output, output
  else:
    assert 'gen_jax: ' in output, output
    assert 'the run goes on from its last checkpoint' in output
  state, _ = workdir.open_trained(tmp_path)
  assert int(state.step) >= 100


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
  monkeypatch.setattr(processes, 'count', lambda: 2)
  monkeypatch.setattr(processes, 'index', lambda: 1)
  monkeypatch.setattr(processes, 'share', lambda decide: 'of-process-0')
  monkeypatch.setattr(processes, 'all_agree', lambda mine: mine)
  monkeypatch.setattr(processes, '_LATE', 0)
  with pytest.raises(InputError, match='not all hosts see it'):
    processes.check_shared(tmp_path)
  (tmp_path / 'of-process-0').write_text('')
  processes.check_shared(tmp_path)


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
  assert 2 in codes and set(codes) <= {2, together.LOST}
  assert 'not all hosts see it' in outputs[codes.index(2)]


@pytest.mark.long
def test_many_processes_measure_with_classifiers(tmp_path):
  evals = {
    'fidelity': {'name': 'fidelity.Fidelity', 'num': 80},
    'accuracy': {'name': 'control.LabelAccuracy', 'num': 80},
    'trained': {'name': 'control.TrainOnSamples', 'num': 80, 'steps': 6},
  }
  args, _ = fields('cgan', evals=evals)
  running = cluster.start(
    2,
    1,
    f'--workdir={tmp_path}/run',
    *args,
    program=('-c', SMALL + TRAIN),
    caches=[tmp_path / 'cache'] * 2,
  )
  codes, outputs = cluster.finish(running)
  assert codes == [0, 0], '\n'.join(outputs)
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  values = {k: v for line in lines for k, v in json.loads(line).items()}
  assert values['fidelity/classifier'] == values['accuracy/classifier']
  assert 0 <= values['trained/accuracy'] <= 1


@pytest.mark.parametrize(
  'args,expected',
  [
    (['--num_processes=2'], 'give all three'),
    (
      ['--coordinator=a:1', '--num_processes=2', '--process_id=2'],
      'expected 0 to 1',
    ),
  ],
)
def test_flags_are_checked(refused, tmp_path, args, expected):
  test = ['--config=configs/vae.py:test', f'--workdir={tmp_path}/w']
  assert expected in refused(main, *test, *args)
  assert not (tmp_path / 'w').exists()


def test_a_single_process_shares_with_nobody(monkeypatch):
  for name in ('SLURM_JOB_ID', 'JAX_COORDINATOR_ADDRESS'):
    monkeypatch.delenv(name, raising=False)
  processes.connect()  # no cluster: nothing happens
  assert jax.process_count() == 1
  assert processes.share(lambda: 3) == 3
  assert processes.all_agree(False) is False
  assert not processes.told('stop')
  with pytest.raises(InputError, match='told'), together.joined():
    raise InputError('told')


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
  assert processes._announced()
  monkeypatch.setenv('SLURM_NTASKS', '1')
  assert not processes._announced()


# An evaluator that fails on the second process alone, after its computation.
ALONE = """
import sys
from gen_jax import main
from gen_jax.evals import likelihood

run = likelihood.ELBO.run

def broken(self, players, key):
  yield from run(self, players, key)
  if sys.argv[-1] == '--process_id=1':
    raise OSError('no space on this host')

likelihood.ELBO.run = broken
main.cli.leave(main.main())
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
  assert int(workdir.open_trained(tmp_path)[0].step) == 6
