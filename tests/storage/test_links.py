"""Links and special files inside a workdir are refused, and never followed."""

import os
import shutil
import socket

import pytest

from gen_jax import config as config_lib
from gen_jax import main
from gen_jax.commands import compare, evaluate, sample
from gen_jax.errors import InputError
from gen_jax.storage import workdir
from gen_jax.training.trained import read_config

TEST = '--config=tests/dense_vae.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained') / 'w'
  assert main.main([TEST, f'--workdir={folder}']) == 0
  return folder


@pytest.fixture
def secret(tmp_path):
  """A file outside of the workdir, which has to stay as it is."""
  file = tmp_path / 'secret.png'
  file.write_bytes(b'secret')
  yield file
  assert file.read_bytes() == b'secret'


LINKS = [
  'lock',
  'config.partial',
  'data.partial',
  'metrics.partial',
  'evaluate',
  'evaluate/images/samples/6.png',
  'images/s/1.png',
  'checkpoints/7',
  'tensorboard',
]


@pytest.mark.parametrize('name', LINKS)
@pytest.mark.parametrize('module', [sample, evaluate, compare, main])
def test_every_command_names_a_link_in_a_workdir(
  trained, secret, refused, tmp_path, module, name
):
  folder = shutil.copytree(trained, tmp_path / 'w')
  link = folder / name
  link.parent.mkdir(parents=True, exist_ok=True)
  if link.is_dir():
    link.rename(tmp_path / 'moved')
  link.unlink(missing_ok=True)
  link.symlink_to(secret)
  args = [TEST] if module is main else []
  error = refused(module, f'--workdir={folder}', *args)
  assert f'holds a link, {name}: links inside a workdir are not' in error


def test_a_link_to_nothing_is_named_too(tmp_path):
  (tmp_path / 'config.json').symlink_to(tmp_path / 'missing')
  with pytest.raises(InputError, match='holds a link, config.json'):
    read_config(tmp_path)


def test_special_files_are_named_and_not_opened(tmp_path):
  folder = tmp_path / 'w'
  folder.mkdir()
  os.mkfifo(folder / 'metrics.jsonl')  # whoever opens it waits for a writer
  with pytest.raises(InputError, match='holds metrics.jsonl, which is neither'):
    workdir.check_inside(folder)
  (folder / 'metrics.jsonl').unlink()
  with socket.socket(socket.AF_UNIX) as server:
    server.bind(str(folder / 's'))
    with pytest.raises(InputError, match='holds s, which is neither'):
      workdir.check_inside(folder)


def test_the_workdir_itself_may_be_a_link(trained, tmp_path):
  link = tmp_path / 'link'
  link.symlink_to(trained)
  workdir.check_inside(link)
  assert read_config(link).steps == 6
  with workdir.open_for_training(link):
    pass


def test_files_and_folders_at_any_depth_are_allowed(tmp_path):
  (tmp_path / 'a/b/c').mkdir(parents=True)
  (tmp_path / 'a/b/c/file').write_text('')
  workdir.check_inside(tmp_path)
  workdir.check_inside(tmp_path / 'not made yet')
  workdir.check_inside(config_lib)  # as a path in a cloud, which has no links
