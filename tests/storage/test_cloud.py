"""A workdir such as gs://bucket/run, on a file system that acts as a cloud."""

import dense_vae
import numpy as np
import pytest
from etils.epath import backend, gpath

from gen_jax.storage import workdir
from gen_jax.storage.checkpoint import Checkpointer
from gen_jax.storage.writer import Writer, read_metrics
from gen_jax.training import resume, trained


@pytest.fixture
def cloud(tmp_path, monkeypatch):
  """Lets gs:// be a local folder; it cannot append, as a cloud cannot."""

  def local(path):
    return str(path).replace('gs:/', str(tmp_path)).replace('//', '/')

  class Cloud(type(backend.os_backend)):
    def open(self, path, mode):
      assert 'a' not in mode
      return super().open(local(path), mode)

    def replace(self, path, target):
      super().replace(local(path), local(target))

  for name in ('exists', 'isdir', 'listdir', 'makedirs', 'mkdir', 'stat'):
    inner = getattr(backend.os_backend, name)
    setattr(
      Cloud,
      name,
      lambda self, path, *a, inner=inner, **k: inner(local(path), *a, **k),
    )
  monkeypatch.setitem(gpath._PREFIX_TO_BACKEND, 'gs', Cloud())
  return tmp_path


def test_metrics_and_pictures_go_to_a_cloud(cloud):
  path = workdir.folder('gs://bucket/run')
  writer = Writer(path)
  writer.scalars(1, {'a': 1.0})
  writer.scalars(2, {'a': 2.0})
  assert writer.image(2, 'b', np.zeros((4, 4, 1), np.uint8)) == 'images/b/2.png'
  writer.close()
  assert [x['a'] for x in read_metrics(path / 'metrics.jsonl')] == [1.0, 2.0]
  assert (cloud / 'bucket/run/images/b/2.png').stat().st_size > 0
  writer = Writer(path, resume_step=1)
  writer.close()
  assert len(read_metrics(path / 'metrics.jsonl')) == 1


def test_checkpoints_go_to_a_cloud_and_not_below_this_folder(cloud):
  path = workdir.folder('gs://bucket/run') / 'checkpoints'
  assert str(Checkpointer(path).path) == 'gs://bucket/run/checkpoints'


def test_pictures_in_a_cloud_become_an_animation(cloud):
  writer = Writer(workdir.folder('gs://bucket/run'))
  for step in range(2):
    writer.image(step, 'a/b', np.full((4, 4, 1), step, np.uint8))
  writer.animate()
  writer.close()
  assert (cloud / 'bucket/run/images/a/b/over_time.gif').exists()


def test_a_cloud_has_no_lock_and_says_so(cloud, capsys):
  config = dense_vae.get_config()
  with workdir.open_for_training('gs://bucket/run') as path:
    assert 'cannot be locked' in capsys.readouterr().out
    resume.record(path, config, [])
    assert trained.read_config(path).seed == 0
  assert (cloud / 'bucket/run/config.json').exists()
