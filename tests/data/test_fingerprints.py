"""A fingerprint depends on the content of the data and not on its place."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gen_jax.data import fingerprints
from gen_jax.data.datasets import folder
from gen_jax.data.datasets.domains import view
from gen_jax.data.opening import open_split
from gen_jax.data.sources import array_source, subset, unpaired

SHAPE = (8, 8, 3)


@pytest.fixture(params=['in memory', 'streamed'])
def photos(tmp_path, request, monkeypatch):
  """Two images each of an ant and a bee, all files of other sizes."""
  if request.param == 'streamed':
    monkeypatch.setattr(folder, 'MEMORY_BYTES', 0)
  noise = np.random.default_rng(0)
  for i, name in enumerate(('ant/0', 'ant/1', 'bee/0', 'bee/1')):
    path = tmp_path / 'photos' / 'train' / f'{name}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = noise.integers(0, 256, (8 + i, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)
  return tmp_path / 'photos'


def read(path):
  return folder.load('train', path / 'train', SHAPE).fingerprint


def test_another_place_of_the_same_folder_has_the_same_fingerprint(photos):
  copy = photos.parent / 'elsewhere' / 'copy'
  shutil.copytree(photos, copy)
  assert read(copy) == read(photos)
  assert len(read(photos)) == 16


def test_a_file_more_gives_another_fingerprint(photos):
  before = read(photos)
  ant = photos / 'train' / 'ant'
  shutil.copy(ant / '0.png', ant / '2.png')
  assert read(photos) != before


def test_a_renamed_class_gives_another_fingerprint(photos):
  before = read(photos)
  (photos / 'train' / 'bee').rename(photos / 'train' / 'cow')
  assert read(photos) != before


def test_swapped_classes_give_another_fingerprint(photos):
  before, train = read(photos), photos / 'train'
  (train / 'ant').rename(photos / 'kept')
  (train / 'bee').rename(train / 'ant')
  (photos / 'kept').rename(train / 'bee')
  assert read(photos) != before


def test_a_changed_file_gives_another_fingerprint(photos):
  before = read(photos)
  Image.new('RGB', (8, 8)).save(photos / 'train' / 'ant' / '0.png')
  assert read(photos) != before


def sources():
  """One source of each kind, and others that differ from it in one thing."""
  image = np.arange(12, dtype=np.uint8).reshape(6, 1, 1, 2)
  label = np.arange(6, dtype=np.int32) % 2
  arrays = {'image': image, 'label': label}

  def memory(names=('a', 'b'), **other):
    return array_source('toy', 'train', {**arrays, **other}, names)

  one = memory()
  return {
    'whole': one,
    'other pixels': memory(image=image + 1),
    'other labels': memory(label=1 - label),
    'other dtype': memory(label=label.astype(np.int16)),
    'other shape': memory(image=image.reshape(6, 1, 2, 1)),
    'other classes': memory(names=('b', 'a')),
    'first half': subset(one, slice(0, 3)),
    'second half': subset(one, slice(3, 6)),
    'some': subset(one, np.array([0, 2])),
    'a view': view(one, 'a'),
    'another field': view(one, 'b'),
    'changed': view(one, 'a', 'negative'),
    'apart': unpaired({'a': view(one, 'a'), 'b': view(one, 'b')}),
    'apart, swapped': unpaired({'b': view(one, 'a'), 'a': view(one, 'b')}),
    'stacks': open_split('stacked_mnist', 'test'),
    'other stacks': open_split('stacked_mnist', 'test', draw=1),
  }


def test_sources_that_differ_have_different_fingerprints():
  found = {name: x.fingerprint for name, x in sources().items()}
  assert len(set(found.values())) == len(found), found


def test_equal_sources_have_equal_fingerprints():
  pairs = zip(sources().values(), sources().values(), strict=True)
  assert all(a.fingerprint == b.fingerprint for a, b in pairs)


def test_the_name_of_a_set_and_the_order_of_bytes_do_not_matter():
  image = np.arange(4, dtype='<i4').reshape(2, 2, 1, 1)
  swapped = np.asfortranarray(image.astype('>i4'))
  a = array_source('a', 'train', {'image': image})
  b = array_source('b', 'test', {'image': swapped})
  assert a.fingerprint == b.fingerprint


def test_another_process_computes_the_same_fingerprint():
  """Python hashes texts differently in each process."""
  part = {'b': 1, 'a': [1.5, 'x']}
  program = (
    'import numpy as np\n'
    'from gen_jax.data import fingerprints\n'
    f'print(fingerprints.digest({part!r}, np.arange(3, dtype=np.int64)))'
  )
  there = subprocess.check_output([sys.executable, '-c', program], text=True)
  assert there.strip() == fingerprints.digest(part, np.arange(3, dtype='i8'))
  assert there.strip() == '6dccb547a58ebe68'
