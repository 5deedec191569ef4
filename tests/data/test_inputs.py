"""Files are read with one kind of error, and only if they are files."""

import os
import socket

import pytest
from PIL import Image

from gen_jax.data import inputs
from gen_jax.data.datasets import (
  captioned_folder,
  folder,
  npz,
  stackgan_release,
)
from gen_jax.data.formats import images, listing, safetensors
from gen_jax.errors import InputError
from gen_jax.evaluation import own_images

SHAPE = (8, 8, 3)


def make(path, kind):
  """Makes a file from which nothing can be read."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if kind == 'pipe':
    os.mkfifo(path)
  elif kind == 'socket':
    with socket.socket(socket.AF_UNIX) as server:
      server.bind(os.path.relpath(path))  # of at most 100 letters
  else:
    path.symlink_to('/dev/zero')


@pytest.fixture(params=['pipe', 'socket', 'device'])
def photos(tmp_path, request):
  """A folder with an image, and beside it what is named like one."""
  (tmp_path / 'train').mkdir()
  Image.new('RGB', (8, 8)).save(tmp_path / 'train' / '0.png')
  make(tmp_path / 'train' / 'x.png', request.param)
  make(tmp_path / 'train' / 'y', request.param)
  return tmp_path


def test_what_is_no_file_is_left_out_of_a_folder(photos):
  source = folder.load('train', photos, SHAPE)
  assert len(source) == 1
  assert 'not a file (2): train/x.png, train/y' in source.summary()


def test_what_is_no_file_is_refused_by_itself(photos):
  path = photos / 'train' / 'x.png'
  for read in (
    lambda: images.read_file(path, SHAPE),
    lambda: npz.load('train', str(path)),
    lambda: safetensors.read(path, 'f'),
    lambda: captioned_folder.load('train', photos, SHAPE),
  ):
    (photos / 'captions.jsonl').unlink(missing_ok=True)
    (photos / 'captions.jsonl').symlink_to(path)
    with pytest.raises(InputError, match='cannot be read: it is not a file'):
      read()
  _, found, _ = own_images.find(path)
  assert own_images._attempt(own_images._size, found)[1] == {
    path: 'it is not a file'
  }


@pytest.mark.parametrize('kind', ['pipe', 'device'])
@pytest.mark.parametrize('name', ['filenames', 'class_info'])
def test_what_is_no_file_is_refused_in_a_release(tmp_path, kind, name):
  (tmp_path / 'train').mkdir()
  file = tmp_path / 'train' / 'filenames.pickle'
  file.write_bytes(b'\x80\x04]\x8c\x01aa.')  # ['a']
  make(tmp_path / 'train' / 'class_info.pickle', kind)
  if name == 'filenames':
    file.unlink()
    make(file, kind)
  with pytest.raises(InputError, match=f'{name}.pickle .*not a file'):
    stackgan_release.load('train', tmp_path, SHAPE)


def test_a_link_to_nothing_is_a_missing_image_and_not_left_out(tmp_path):
  (tmp_path / 'a.png').symlink_to(tmp_path / 'nowhere')
  assert listing.examine(tmp_path / 'a.png').left_out == ''
  with pytest.raises(InputError, match='a.png .*No such file'):
    folder.load('train', tmp_path, SHAPE)


@pytest.mark.parametrize(
  ('error', 'why'),
  [
    (ValueError('two\nlines.'), 'two lines'),
    (ValueError('a \x1b[31m code'), 'a ?[31m code'),
    (KeyError('x'), "'x' is missing"),
    (IndexError(), 'IndexError'),
    (MemoryError(), 'it needs more memory than there is'),
    (RecursionError('maximum'), 'it is nested too deeply'),
    (PermissionError(13, 'Permission denied', '/a/b'), 'Permission denied'),
  ],
)
def test_errors_of_decoders_become_one_line_that_names_the_file(error, why):
  with pytest.raises(inputs.ReadError) as caught, inputs.reading('a/b', 'f'):
    raise error
  assert str(caught.value) == f'f: a/b cannot be read: {why}.'
  assert caught.value.reason == why


def test_an_error_that_names_the_file_already_passes():
  error = InputError('there is no file')
  with pytest.raises(InputError) as caught, inputs.reading('a/b'):
    raise error
  assert caught.value is error


def test_the_bar_is_not_drawn_into_a_log_file(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(folder, '_BAR', 1)
  for i in range(3):
    Image.new('RGB', (8, 8)).save(tmp_path / f'{i}.png')
  folder.load('train', tmp_path, SHAPE)
  assert capsys.readouterr().err == ''
