"""What --out may be, and that no half file and no full memory is left."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import tracemalloc
import types

import environment
import numpy as np
import pytest
from PIL import Image

from gen_jax import main
from gen_jax.commands import compare, project, sample, translate
from gen_jax.errors import InputError
from gen_jax.evaluation import sampling
from gen_jax.storage import image_stream, images, outputs
from gen_jax.storage.image_stream import ImageStream

TEST = '--config=tests/dense_vae.py'
ALL = outputs.PICTURE, outputs.NPZ, outputs.FOLDER


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained') / 'w'
  assert main.main([TEST, f'--workdir={folder}']) == 0
  return folder


@pytest.fixture
def draw(trained, tmp_path, monkeypatch):
  """Runs `sample` in an empty folder and returns the exit code."""
  monkeypatch.chdir(tmp_path)
  return lambda *args: sample.main([f'--workdir={trained}', *args])


def names(folder):
  return sorted(str(p.relative_to(folder)) for p in folder.rglob('*'))


@pytest.mark.parametrize(
  'name,kind',
  [
    ('a.png', outputs.PICTURE),
    ('a.JPG', outputs.PICTURE),
    ('a.b/c.webp', outputs.PICTURE),
    ('a.tiff', outputs.PICTURE),
    ('a.npz', outputs.NPZ),
    ('a/', outputs.FOLDER),
    ('a.png/', outputs.FOLDER),
    ('there', outputs.FOLDER),
    ('there.png', outputs.FOLDER),
    ('.', outputs.FOLDER),
    ('', None),
    ('a', None),
    ('.png', None),
    ('a.xyz', None),
    ('a.html', None),
    ('a.png.', None),
    ('a.psd', None),  # which Pillow reads and does not write
    ('a.xbm', None),  # of two colors
    ('file/', None),
  ],
)
def test_the_name_says_what_is_written(tmp_path, monkeypatch, name, kind):
  monkeypatch.chdir(tmp_path)
  for folder in ('there', 'there.png'):
    (tmp_path / folder).mkdir()
  (tmp_path / 'file').write_text('')
  if kind:
    assert outputs.parse(name, ALL) == (pathlib.Path(name), kind)
    return
  with pytest.raises(InputError) as caught:
    outputs.parse(name, ALL)
  assert str(caught.value).startswith(f'--out={name}: expected the name of a p')


@pytest.mark.parametrize(
  'module,args,expected',
  [
    (sample, [], 'ends in .npz, or a folder (a name that ends with /).'),
    (project, ['--image=a.png'], 'ends in .npz, or a folder'),
    (compare, [], '--out=a.xyz: expected a name that ends in .html.'),
  ],
)
def test_an_unknown_suffix_is_refused_before_a_model_is_loaded(
  refused, module, args, expected
):
  error = refused(module, '--workdir=none', '--out=a.xyz', *args)
  assert expected in error


def test_translate_writes_to_a_folder_whatever_its_name(refused, tmp_path):
  args = ['--workdir=none', f'--input={tmp_path}']
  assert 'no images' in refused(translate, *args, f'--out={tmp_path}/a.xyz')
  (tmp_path / 'file').write_text('')
  error = refused(translate, *args, f'--out={tmp_path}/file')
  assert 'expected a folder.' in error


def test_a_folder_holds_each_image_and_the_first_are_the_same(draw, tmp_path):
  assert draw('--num=70', '--out=a.npz') == 0
  whole = np.load('a.npz')['images']
  pathlib.Path('b').mkdir()
  pathlib.Path('b/000001.png').write_text('is replaced')
  pathlib.Path('b/mine.png').write_text('stays')
  for args in (['--num=70', '--out=a/'], ['--num=3', '--out=b']):
    assert draw(*args) == 0
  assert names(tmp_path / 'a') == [f'{i:06d}.png' for i in range(70)]
  assert names(tmp_path / 'b') == [
    *(f'{i:06d}.png' for i in range(3)),
    'mine.png',
  ]
  assert pathlib.Path('b/mine.png').read_text() == 'stays'
  for folder, count in (('a', 70), ('b', 3)):
    for index in range(count):
      pixels = np.asarray(Image.open(f'{folder}/{index:06d}.png'))
      np.testing.assert_array_equal(pixels, whole[index, ..., 0])


@pytest.mark.parametrize('suffix', ['jpg', 'WEBP', 'tif', 'bmp', 'gif'])
def test_other_formats_hold_a_grid(draw, suffix):
  assert draw('--num=4', f'--out=new/a.{suffix}') == 0
  with Image.open(f'new/a.{suffix}') as image:
    assert image.size == (2 * 30 + 2, 2 * 30 + 2)


def test_what_numpy_reads_is_as_if_it_had_written_it(draw):
  assert draw('--num=70', '--out=a.npz', '--seed=3') == 0
  with np.load('a.npz') as file:
    assert sorted(file) == ['images', 'seed', 'step']
    assert (file['images'].shape, file['images'].dtype) == (
      (70, 28, 28, 1),
      np.uint8,
    )
    assert (file['seed'], file['step']) == (3, 6)


def test_large_numbers_are_never_all_in_memory(tmp_path):
  part, count = 1 << 20, 40
  parts = (np.full((1, part), i, np.uint8) for i in range(count))
  stream = outputs.Stream((count, part), np.uint8, parts)
  tracemalloc.start()
  outputs.write_npz(tmp_path / 'a.npz', {'images': stream, 'step': 3})
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 8 * part
  with np.load(tmp_path / 'a.npz') as file:
    assert (file['images'] == np.arange(count)[:, None]).all()
    assert file['step'] == 3


@pytest.mark.parametrize('out', ['a.npz', 'a/', 'a.png'])
def test_each_part_is_written_before_the_next_is_drawn(
  monkeypatch, tmp_path, out
):
  shape, log = (64, 4, 4, 1), []

  def draw(players, key, num):
    log.append('draw')
    return np.zeros(shape, np.float32)

  for module, name in (
    (image_stream, 'save_image'),
    (outputs.np, 'ascontiguousarray'),
    (images.Sheet, 'place'),
  ):
    original = getattr(module, name)

    def logged(*args, original=original):
      if log[-1] != 'write':
        log.append('write')
      return original(*args)

    monkeypatch.setattr(module, name, logged)
  key = sampling.jax.random.key(0)
  stream = sampling.stream(draw, None, key, 192, None, 'unit')
  image_stream.write(outputs.parse(f'{tmp_path}/{out}', ALL), stream, {})
  assert log[:6] == ['draw', 'write'] * 3


@pytest.mark.parametrize(
  'args,expected',
  [
    (['--num=4097'], 'holds 4,096 of these samples at most, and 4,097 are'),
    (['--num=1000000000'], 'write --out=NAME.npz or a folder, --out=NAME/.'),
  ],
)
def test_a_picture_has_a_largest_number_of_images(
  refused, trained, tmp_path, args, expected
):
  out = f'--out={tmp_path}/a.png'
  assert expected in refused(sample, f'--workdir={trained}', out, *args)
  assert not names(tmp_path)


def test_a_picture_holds_fewer_large_images():
  first = np.zeros((1, 1024, 1024, 3), np.uint8)
  out = outputs.Out(pathlib.Path('a.png'), outputs.PICTURE)
  image_stream.check(out, ImageStream(64, ()), first)
  with pytest.raises(InputError, match='holds 85 of these samples'):
    image_stream.check(out, ImageStream(86, ()), first)


def test_points_are_one_picture_or_an_array(tmp_path):
  first = np.zeros((64, 1, 1, 2), np.float32)
  stream = ImageStream(2_000_000, ())
  for out in ('a/', 'a.png'):
    with pytest.raises(InputError, match='write --out=NAME.*npz'):
      image_stream.check(outputs.parse(f'{tmp_path}/{out}', ALL), stream, first)
  image_stream.check(outputs.parse(f'{tmp_path}/a.npz', ALL), stream, first)


@pytest.mark.parametrize('out', ['a.npz', 'a/', 'b/c/a.png'])
def test_what_the_disk_cannot_hold_is_refused_after_one_dispatch(
  refused, trained, tmp_path, monkeypatch, out
):
  usage = types.SimpleNamespace(free=1000)
  monkeypatch.setattr(outputs.shutil, 'disk_usage', lambda path: usage)
  drawn, original = [], sampling.to_uint8
  monkeypatch.setattr(
    sampling, 'to_uint8', lambda *args: drawn.append(1) or original(*args)
  )
  args = [f'--workdir={trained}', f'--out={tmp_path}/{out}', '--num=4000']
  error = refused(sample, *args)
  assert 'would be written, and the disk has 1 kB left. Take fewer' in error
  assert len(drawn) == 1
  assert not names(tmp_path)


def test_a_billion_images_do_not_fit_on_a_disk(refused, trained, tmp_path):
  args = [f'--workdir={trained}', '--num=1000000000000']
  for out in ('a.npz', 'a/'):
    error = refused(sample, *args, f'--out={tmp_path}/{out}')
    assert 'TB would be written' in error


@pytest.mark.parametrize('out', ['a.npz', 'a.png', 'a/'])
def test_an_interrupt_leaves_no_half_file(draw, monkeypatch, out, tmp_path):
  if not out.endswith('/'):
    pathlib.Path(out).write_text('from before')
  original, count = sampling.to_uint8, []

  def interrupted(*args):
    count.append(1)
    if len(count) == 3:
      raise KeyboardInterrupt
    return original(*args)

  monkeypatch.setattr(sampling, 'to_uint8', interrupted)
  assert draw('--num=400', f'--out={out}') == 130
  if out.endswith('/'):
    assert names(tmp_path / 'a') == [f'{i:06d}.png' for i in range(128)]
    for name in names(tmp_path / 'a'):
      Image.open(tmp_path / 'a' / name).load()
  else:
    assert names(tmp_path) == [out]
    assert pathlib.Path(out).read_text() == 'from before'


@pytest.mark.slow('starts a process')
def test_a_signal_that_ends_the_process_removes_the_half_file(
  trained, tmp_path
):
  args = f'--workdir={trained}', f'--out={tmp_path}/a.npz', '--num=300000'
  process = subprocess.Popen(
    [sys.executable, '-m', 'gen_jax', 'sample', *args],
    env={**os.environ, 'XLA_FLAGS': environment.xla_flags(1)},
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    while not names(tmp_path):
      assert process.poll() is None, process.stderr.read()
      time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(environment.HANG) == 130
  finally:
    process.kill()
    process.communicate()
  assert not names(tmp_path)


def test_a_file_that_cannot_be_written_is_one_line(refused, trained, tmp_path):
  (tmp_path / 'file').write_text('')
  for out in ('file/a.npz', 'file/a.png', 'file/a/'):
    error = refused(
      sample, f'--workdir={trained}', f'--out={tmp_path}/{out}', '--num=2'
    )
    assert f'--out={tmp_path}/{out.rstrip("/")}: ' in error
    assert 'Not a directory' in error or 'File exists' in error


def test_a_picture_too_large_for_its_format_is_one_line(tmp_path):
  out = outputs.parse(f'{tmp_path}/a.webp', ALL)
  with pytest.raises(InputError, match='--out=.*16383'), outputs.writing(out):
    images.save_image(out.path, np.zeros((1, 20_000, 3), np.uint8))
  assert not names(tmp_path)


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path):
  (tmp_path / 'to').mkdir()
  (tmp_path / 'a').symlink_to(tmp_path / 'to' / 'b')
  with outputs.replaced(tmp_path / 'a') as partial:
    partial.write_text('new')
  assert (tmp_path / 'a').is_symlink()
  assert (tmp_path / 'to' / 'b').read_text() == 'new'


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
  path = tmp_path / f'{"名" * 83}.png'  # 253 bytes
  with outputs.replaced(path) as partial:
    partial.write_bytes(b'x')
  assert path.read_bytes() == b'x'
