"""TensorBoard files are an extra: a run continues where they cannot be written.

/dev/full is a disk on which every write fails with ENOSPC.
"""

import errno
import threading

import numpy as np
import pytest
from tensorboardX import record_writer

from gen_jax import config as config_lib
from gen_jax.storage import events, loggers
from gen_jax.storage.writer import Writer, read_metrics
from gen_jax.training.loop import train


@pytest.fixture
def full(monkeypatch):
  """The disk is full, for event files alone."""
  monkeypatch.setattr(
    record_writer, 'open_file', lambda path: open('/dev/full', 'wb')
  )
  monkeypatch.setattr(events, '_FLUSH_SECONDS', 0.0)


def surviving(folder):
  return loggers.Surviving(events.Events(folder), 'TensorBoard files')


def test_a_run_on_a_full_disk_says_so_once_and_continues(
  full, one_device, tmp_path, capsys
):
  config = config_lib.load('tests/dense_vae.py')
  config.evals = {'samples': {'name': 'figures.Samples', 'every': 3}}
  train(config, tmp_path)
  assert [x['step'] for x in read_metrics(tmp_path / 'metrics.jsonl')][-1] == 6
  assert (tmp_path / 'images/samples/6.png').exists()
  warnings = [
    line
    for line in capsys.readouterr().err.splitlines()
    if 'TensorBoard' in line
  ]
  assert warnings == [
    f'TensorBoard files in {tmp_path}/tensorboard cannot be written: No space '
    'left on device. The run continues without them; metrics.jsonl and images/ '
    'have the same.'
  ]


def test_many_values_on_a_full_disk_do_not_block(full, tmp_path):
  # More than the buffer of a file, and than the queue of a thread.
  writer = Writer(tmp_path)
  for step in range(2000):
    writer.scalars(step, {'loss': 1.0})
  writer.close()
  assert len(read_metrics(tmp_path / 'metrics.jsonl')) == 2000


def test_a_full_disk_is_found_at_the_end_where_nothing_was_flushed(
  monkeypatch, full, tmp_path, capsys
):
  monkeypatch.setattr(events, '_FLUSH_SECONDS', 1e9)
  board = surviving(tmp_path)
  board.scalars(1, {'a': 1.0})
  assert not capsys.readouterr().err
  board.close()
  board.scalars(2, {'a': 1.0})
  board.close()
  assert capsys.readouterr().err.count('No space left on device') == 1


@pytest.mark.parametrize('method', ['write', 'flush', 'close', '__init__'])
def test_an_error_of_any_call_ends_these_files_alone(
  monkeypatch, tmp_path, capsys, method
):
  def fail(*args):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(record_writer.RecordWriter, method, fail)
  monkeypatch.setattr(events, '_FLUSH_SECONDS', 0.0)
  board = surviving(tmp_path)
  for step in range(3):
    board.scalars(step, {'a': 1.0})
    board.image(step, 'b', np.zeros((2, 2, 3)).shape, b'')
  board.close()
  assert capsys.readouterr().err.count('\n') == 1


def test_a_file_in_place_of_the_folder_is_no_error_of_the_run(tmp_path, capsys):
  (tmp_path / 'tensorboard').write_text('')
  writer = Writer(tmp_path)
  writer.scalars(1, {'a': 1.0})
  writer.close()
  assert 'TensorBoard files' in capsys.readouterr().err


def test_no_thread_writes(tmp_path):
  before = threading.active_count()
  writer = Writer(tmp_path)
  writer.scalars(1, {'a': 1.0})
  assert (tmp_path / 'tensorboard').is_dir()
  assert threading.active_count() == before
  writer.close()


def test_two_writers_within_a_second_have_two_files(tmp_path):
  for _ in range(2):
    board = events.Events(tmp_path)
    board.scalars(1, {'a': 1.0})
    board.close()
  assert len(list(tmp_path.glob('*tfevents*'))) == 2
