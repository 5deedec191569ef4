"""A workdir gs://bucket/run, on a server that acts as Google Cloud Storage.

The libraries are those of a real run: gcsfs, and TensorStore for checkpoints.
"""

import itertools
import os
import pathlib
import signal
import subprocess
import sys
import time

import bucket as bucket_lib
import dense_vae
import environment
import jax
import numpy as np
import pytest
from PIL import Image

import gen_jax
from gen_jax import main as train_main
from gen_jax.__main__ import main
from gen_jax.storage import cloud, workdir
from gen_jax.storage.writer import read_metrics
from gen_jax.training.loop import train
from gen_jax.training.signals import Stopper

extended_gcsfs = pytest.importorskip(
  'gcsfs.extended_gcsfs', reason="needs: pip install 'gen_jax[gcs]'"
)
RUN = 'gs://bucket/run'


@pytest.fixture(scope='module', autouse=True)
def server():
  """The objects in the cloud."""
  with bucket_lib.serving() as (objects, address):
    with pytest.MonkeyPatch.context() as patch:
      patch.setenv('STORAGE_EMULATOR_HOST', address)  # of gcsfs
      patch.setenv('TENSORSTORE_GCS_HTTP_URL', address)
      patch.setenv('GOOGLE_AUTH_TOKEN_FOR_TESTING', 'token')
      patch.setenv('NO_GCE_CHECK', 'true')  # asks no other server
      system, kind = (
        extended_gcsfs.ExtendedGcsFileSystem,
        extended_gcsfs.BucketType,
      )

      async def plain(*_):  # which it would ask Google for
        return kind.NON_HIERARCHICAL

      patch.setattr(system, '_get_bucket_type', plain)
      yield objects


def config_of(steps, every=2):
  config = dense_vae.get_config()
  config.steps, config.checkpoint.every = steps, every
  config.evals = {'samples': {'name': 'figures.Samples', 'every': 2, 'num': 4}}
  return config


@pytest.fixture(scope='module')
def trained(server, tmp_path_factory):
  """Trains 4 steps in a bucket and on a disk."""
  path = tmp_path_factory.mktemp('disk')
  return train(config_of(4), RUN)[0], train(config_of(4), path)[0], path


def equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a.players, b.players)


def files(path):
  """The names below a folder, without those that differ in a cloud."""
  names = {str(f.relative_to(path)) for f in cloud.files(path)}
  return {
    n
    for n in names
    if not n.startswith(('tensorboard/', 'checkpoints/')) and n != 'lock'
  }


@pytest.mark.slow('trains two runs')
def test_a_bucket_has_what_a_disk_has(trained, server):
  there, here, path = trained
  equal(there, here)
  folder = workdir.folder(RUN)
  assert files(folder) == files(path)
  assert 'images/samples/over_time.gif' in files(folder)
  plain = [
    [
      {k: v for k, v in line.items() if not k.startswith('time/')}
      for line in read_metrics(where / 'metrics.jsonl')
    ]
    for where in (folder, path)
  ]
  assert plain[0] == plain[1]
  assert 'bucket/run/checkpoints/4/commit_success.txt' in server.objects


@pytest.mark.slow('trains')
def test_a_run_continues_from_the_newest_whole_checkpoint(
  trained, server, tmp_path
):
  # A run that was killed while it wrote the newest one.
  del server.objects['bucket/run/checkpoints/4/commit_success.txt']
  state, _ = train(config_of(4), RUN)
  equal(state, trained[0])
  assert 'bucket/run/checkpoints/4/commit_success.txt' in server.objects
  # A damaged one is renamed, and its step is made again.
  names = server.names('bucket/run/checkpoints/4/state/')
  for name in (n for n in names if '/d/' in n):
    content, generation = server.objects[name]
    server.objects[name] = content[:-1] + b'?', generation
  state, _ = train(config_of(4), RUN)
  equal(state, trained[0])
  assert server.names('bucket/run/checkpoints/damaged-4-0/')


@pytest.mark.slow('uses a trained model')
def test_a_model_in_a_bucket_is_used_and_published(trained, server, tmp_path):
  del trained
  assert main(['sample', f'--workdir={RUN}', f'--out={tmp_path}/a.npz']) == 0
  for kind in ('a.npz', 'a.png', 'a/'):
    assert (
      main(['sample', f'--workdir={RUN}', f'--out=gs://bucket/{kind}']) == 0
    )
  there = np.load(_local(server, 'bucket/a.npz', tmp_path))
  here = np.load(tmp_path / 'a.npz')
  np.testing.assert_array_equal(there['images'], here['images'])
  assert len(server.names('bucket/a/')) == 64

  file = 'gs://bucket/vae.safetensors'
  assert main(['publish', f'--workdir={RUN}', f'--out={file}']) == 0
  samples = gen_jax.load(file).sample(num=64)
  np.testing.assert_array_equal(samples, here['images'])

  assert main(['evaluate', f'--workdir={RUN}']) == 0
  assert server.names('bucket/run/evaluate/images/samples/')
  page = 'gs://bucket/page.html'
  assert main(['compare', f'--workdir={RUN}', f'--out={page}']) == 0
  assert b'data:image/png' in server.objects['bucket/page.html'][0]


def _local(server, name, folder):
  file = folder / 'copy.npz'
  file.write_bytes(server.objects[name][0])
  return file


def test_a_published_file_that_is_not_there_is_one_line(refused):
  from gen_jax.commands import sample

  line = refused(sample, '--workdir=gs://bucket/no.safetensors')
  assert 'gs://bucket/no.safetensors cannot be used: ' in line


@pytest.mark.slow('uses a trained model')
def test_images_and_tables_go_to_a_bucket(trained, server, tmp_path):
  for index in range(3):
    pixels = np.full((28, 28), 80 * index, np.uint8)
    Image.fromarray(pixels).save(tmp_path / f'{index}.png')
  flags = [f'--workdir={RUN}', f'--input={tmp_path}']
  assert main(['reconstruct', *flags, '--out=gs://bucket/restored']) == 0
  assert main(['score', *flags, '--out=gs://bucket/scores.csv']) == 0
  folder = cloud.path('gs://bucket/restored', '')
  assert sorted(x.name for x in folder.iterdir()) == [
    f'{index}.png' for index in range(3)
  ]
  table = cloud.path('gs://bucket/scores.csv', '').read_text()
  assert [x.split(',')[0] for x in table.splitlines()] == [
    'name',
    *(f'{index}.png' for index in range(3)),
  ]
  assert not pathlib.Path('gs:').exists()


@pytest.mark.slow('trains')
@pytest.mark.parametrize('writes', [0, 5, 20])
def test_a_bucket_that_refuses_is_one_line(
  server, refused, monkeypatch, writes
):
  counted = itertools.count()
  monkeypatch.setattr(
    server,
    'fails',
    lambda method, path: method != 'GET' and next(counted) >= writes,
  )
  where = f'gs://bucket/refused{writes}'
  config = '--config=tests/dense_vae.py'
  line = refused(train_main, config, f'--workdir={where}')
  assert where in line and 'cannot be written' in line


@pytest.mark.long
def test_a_killed_run_is_continued(server):
  where = 'gs://bucket/killed'
  arguments = [
    sys.executable,
    *environment.module('main'),
    '--config=tests/dense_vae.py',
    f'--workdir={where}',
    '--config.checkpoint.every=5',
    '--config.steps=100000',
  ]
  environ = {**os.environ, 'XLA_FLAGS': environment.xla_flags(1)}
  process = subprocess.Popen(
    arguments,
    cwd=pathlib.Path(__file__).parents[2],
    env=environ,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  deadline = time.monotonic() + environment.HANG
  while len(server.names('bucket/killed/checkpoints/')) < 30:
    assert process.poll() is None and time.monotonic() < deadline
    time.sleep(0.05)
  process.send_signal(signal.SIGKILL)
  process.wait()
  process.stdout.close()
  whole = [
    int(name.split('/')[3])
    for name in server.names('bucket/killed/checkpoints/')
    if name.count('/') == 4 and name.endswith('/commit_success.txt')
  ]
  assert whole
  config = dense_vae.get_config()
  config.steps, config.checkpoint.every = 100000, 5

  stopper = Stopper()
  stopper.requested = True  # before the first step
  state, _ = train(config, where, stopper)
  assert int(state.step) == max(whole)
