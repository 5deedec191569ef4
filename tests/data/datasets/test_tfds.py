"""Prepared TFDS data sets are read at random, without TensorFlow."""

import contextlib
import functools
import gzip
import hashlib
import http.server
import io
import json
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow_datasets as tf_datasets
from PIL import Image

from gen_jax.data.datasets import mnist, tfds
from gen_jax.data.formats import tfds_idx
from gen_jax.data.opening import open_split
from gen_jax.data.text import captions
from gen_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[3]
TRAIN, TEST = 30, 10


def write_idx(folder, name, array):
  header = bytes([0, 0, 8, array.ndim]) + struct.pack(
    f'>{array.ndim}I', *array.shape
  )
  data = gzip.compress(header + array.tobytes(), mtime=0)
  (folder / name).write_bytes(data)
  return name, hashlib.sha256(data).hexdigest()


@pytest.fixture(scope='module')
def idx_files(tmp_path_factory):
  """A small Fashion-MNIST: image i is filled with i, its label is i % 10."""
  folder = tmp_path_factory.mktemp('idx')
  files = {}
  for split, count in (('train', TRAIN), ('test', TEST)):
    prefix = {'train': 'train', 'test': 't10k'}[split]
    values = np.arange(count, dtype=np.uint8)
    image = np.broadcast_to(values[:, None, None], (count, 28, 28))
    files[split] = (
      write_idx(folder, f'{prefix}-images-idx3-ubyte.gz', image),
      write_idx(folder, f'{prefix}-labels-idx1-ubyte.gz', values % 10),
    )
  return folder, files


@pytest.fixture
def manual_dir(idx_files, monkeypatch):
  folder, files = idx_files
  real = tfds_idx.DATASETS['fashion_mnist']
  small = real._replace(files=files)
  monkeypatch.setitem(tfds_idx.DATASETS, 'fashion_mnist', small)
  return folder


@pytest.fixture
def fashion(manual_dir, tmp_path):
  """Opens a split of the small Fashion-MNIST."""
  return functools.partial(
    tfds.load,
    dataset='fashion_mnist',
    data_dir=str(tmp_path / 'data'),
    manual_dir=str(manual_dir),
  )


@pytest.fixture
def no_network(monkeypatch):
  def refuse(*args, **kwargs):
    pytest.fail('the network was asked')

  monkeypatch.setattr(socket, 'getaddrinfo', refuse)
  monkeypatch.setattr(socket.socket, 'connect', refuse)


# ------------------------------------------------- what is prepared, is read


def test_without_tfds_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  with pytest.raises(InputError, match=r"pip install 'gen_jax\[tfds\]'"):
    tfds.load('train', 'fashion_mnist')


def test_examples_are_those_of_the_idx_files(fashion, no_network):
  for split, count in (('train', TRAIN), ('test', TEST)):
    source = fashion(split)
    assert len(source) == count
    batch = source.__getitems__(range(count))
    value = batch['image'][:, 0, 0, 0]
    assert (batch['image'] == value[:, None, None, None]).all()
    assert sorted(value.tolist()) == list(range(count))
    np.testing.assert_array_equal(batch['label'], value % 10)


def test_access_is_random(fashion):
  source = fashion('train')
  whole = source.__getitems__(range(TRAIN))
  rows = np.array([29, 3, 3, 0])
  batch = source.__getitems__(rows)
  np.testing.assert_array_equal(batch['image'], whole['image'][rows])
  np.testing.assert_array_equal(batch['label'], whole['label'][rows])
  for outside in (-1, TRAIN):
    with pytest.raises(IndexError):
      source.__getitems__([outside])


def test_fields_classes_and_summary(fashion):
  source = fashion('train')
  assert source.arrays is None
  assert source.fields == {
    'image': ((28, 28, 1), np.uint8),
    'label': ((), np.int32),
  }
  batch = source.__getitems__([1, 2])
  assert {k: (v.shape[1:], v.dtype) for k, v in batch.items()} == source.fields
  assert source.classes[0] == 'T-shirt/top' and len(source.classes) == 10
  assert source.summary().startswith(
    f'fashion_mnist/3.0.1 train: {TRAIN} images of 28x28x1, 10 classes'
  )


def test_another_shape_resizes(fashion):
  source = fashion('test', shape=(32, 16, 3))
  batch = source.__getitems__([0, 1])
  assert batch['image'].shape == (2, 32, 16, 3)
  assert source.fields['image'] == ((32, 16, 3), np.uint8)


def test_labels_can_be_left_out(fashion):
  source = fashion('test', label=None)
  assert source.classes == ()
  assert set(source.__getitems__([0])) == set(source.fields) == {'image'}


def test_it_is_prepared_once(fashion, manual_dir, tmp_path):
  first = fashion('test').__getitems__(range(TEST))
  second = tfds.load('test', 'fashion_mnist', data_dir=str(tmp_path / 'data'))
  batch = second.__getitems__(range(TEST))
  np.testing.assert_array_equal(batch['image'], first['image'])


def test_a_fingerprint_follows_the_data_and_not_the_directory(
  fashion, manual_dir, tmp_path
):
  first, path = fashion('test'), tmp_path / 'elsewhere'
  shutil.copytree(tmp_path / 'data', path)
  moved = tfds.load('test', 'fashion_mnist', data_dir=str(path))
  assert moved.fingerprint == first.fingerprint
  others = [fashion('train'), fashion('test', label=None)]
  assert first.fingerprint not in [x.fingerprint for x in others]


def test_a_home_directory_is_expanded(fashion, tmp_path, monkeypatch):
  fashion('test')
  monkeypatch.setenv('HOME', str(tmp_path))
  source = tfds.load('test', 'fashion_mnist', data_dir='~/data')
  assert len(source) == TEST


def test_two_processes_may_prepare_at_once(
  fashion, manual_dir, tmp_path, monkeypatch
):
  original = tfds_idx.IdxBuilder._split_generators

  def be_overtaken(self, dl_manager):
    monkeypatch.setattr(tfds_idx.IdxBuilder, '_split_generators', original)
    tfds_idx.prepare('fashion_mnist', tmp_path / 'data', str(manual_dir))
    return original(self, dl_manager)

  monkeypatch.setattr(tfds_idx.IdxBuilder, '_split_generators', be_overtaken)
  assert len(fashion('train')) == TRAIN


def test_tensorflow_is_not_imported(idx_files, tmp_path):
  program = """
import json, sys
from gen_jax.data import opening
from gen_jax.data.formats import tfds_idx
files, manual_dir, data_dir = json.loads(sys.argv[1])
tfds_idx.DATASETS['fashion_mnist'] = (
  tfds_idx.DATASETS['fashion_mnist']._replace(files=files)
)
source = opening.open_split(
  'tfds', 'train', dataset='fashion_mnist', data_dir=data_dir,
  manual_dir=manual_dir,
)
assert source.__getitems__([0])['image'].shape == (1, 28, 28, 1)
assert 'tensorflow' not in sys.modules, 'imported TensorFlow'
assert 'jax' not in sys.modules, 'imported JAX'
"""
  folder, files = idx_files
  argument = json.dumps([files, str(folder), str(tmp_path)])
  subprocess.run(
    [sys.executable, '-c', program, argument], cwd=ROOT, check=True
  )


class Faces(tf_datasets.core.GeneratorBasedBuilder, skip_registration=True):
  """JPEG images of two sizes with nested attributes, like CelebA's."""

  VERSION = tf_datasets.core.Version('1.2.0')
  name = 'faces'

  def _info(self):
    features = tf_datasets.features
    return tf_datasets.core.DatasetInfo(
      builder=self,
      features=features.FeaturesDict(
        {
          'image': features.Image(shape=(None, None, 3)),
          'depth': features.Image(shape=(None, None, 1), dtype=np.uint16),
          'attributes': {'smiling': np.bool_, 'beauty': np.float32},
          # TFDS writes -1 where a class is not known.
          'hair': features.ClassLabel(names=['dark', 'fair']),
          # As those of 'coco_captions'.
          'captions': features.Sequence(
            {'id': np.int64, 'text': features.Text()}
          ),
        }
      ),
    )

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    for i, color in enumerate([(250, 0, 0), (0, 0, 250)]):
      jpeg, png = io.BytesIO(), io.BytesIO()
      Image.new('RGB', (20 + 10 * i, 30), color).save(jpeg, 'JPEG')
      Image.new('I;16', (4, 4)).save(png, 'PNG')
      jpeg.seek(0), png.seek(0)
      attributes = {'smiling': i == 1, 'beauty': 0.5}
      found = [{'id': k, 'text': f'é face {i} {k}'} for k in range(3 * i)]
      yield (
        i,
        {
          'image': jpeg,
          'depth': png,
          'attributes': attributes,
          'hair': -i,
          'captions': found,
        },
      )


@pytest.fixture
def faces(tmp_path):
  with contextlib.redirect_stdout(None):
    Faces(data_dir=tmp_path, file_format='array_record').download_and_prepare()
  return functools.partial(tfds.load, 'train', 'faces', data_dir=str(tmp_path))


def test_jpegs_of_any_size_and_nested_labels(faces, no_network):
  source = faces(shape=(8, 8, 3), label='attributes/smiling')
  batch = source.__getitems__([0, 1])
  blue = batch['image'][..., 2] > 200
  np.testing.assert_array_equal(blue.all((1, 2)), batch['label'] == 1)
  np.testing.assert_array_equal(blue.any((1, 2)), batch['label'] == 1)
  assert sorted(batch['label'].tolist()) == [0, 1]


@pytest.mark.parametrize('legacy', [False, True])
def test_code_that_the_files_of_a_set_name_is_not_imported(
  faces, tmp_path, monkeypatch, legacy
):
  trace = tmp_path / 'imported'
  code = f'open({str(trace)!r}, "w").close()\n'
  (tmp_path / 'code_of_somebody.py').write_text(code)
  monkeypatch.syspath_prepend(str(tmp_path))
  (file,) = tmp_path.glob('faces/**/features.json')
  if legacy:
    file.write_text('{"type": "code_of_somebody.Feature", "content": {}}')
  else:
    name = 'tensorflow_datasets.core.features.image_feature.Image'
    assert name in file.read_text()
    text = file.read_text().replace(name, 'code_of_somebody.Feature', 1)
    file.write_text(text)
  with pytest.raises(InputError, match='code to import, code_of_somebody.Feat'):
    faces()
  assert not trace.exists()


def test_a_boolean_has_two_classes(faces, no_network):
  source = faces(shape=(8, 8, 3), label='attributes/smiling')
  assert source.classes == ('False', 'True')


def test_labels_that_are_no_classes_are_refused_when_a_split_is_opened(
  faces, no_network
):
  message = '1 of 2 labels of faces/1.2.0 "train" .* -1; expected 0 to 1'
  with pytest.raises(InputError, match=message):
    faces(shape=(8, 8, 3), label='hair')


def test_captions_of_an_image_are_read(faces, no_network):
  source = faces(
    shape=(8, 8, 3),
    label='attributes/smiling',
    text='captions/text',
    words=4,
  )
  assert source.fields['text'] == ((5, 4, captions.PIECES), np.int32)
  batch = source.__getitems__([0, 1])
  smiling = int(np.argmax(batch['label']))
  assert batch['text'].shape == (2, 5, 4, captions.PIECES)
  for k in range(5):
    expected = captions.tokens(f'é face 1 {k % 3}', 4)
    np.testing.assert_array_equal(batch['text'][smiling, k], expected)
  assert not batch['text'][1 - smiling].any()  # it has none
  for name in ('captions/id', 'caption', 'image'):
    with pytest.raises(InputError, match='data.text: .* has no text'):
      faces(shape=(8, 8, 3), text=name)


def test_a_set_without_the_default_label_has_none(faces):
  assert set(faces(shape=(8, 8, 3)).fields) == {'image'}


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({}, 'data.shape: the images of faces/1.2.0 differ in size'),
    ({'image': 'imag'}, 'data.image: .* mean "image"'),
    ({'image': 'attributes'}, 'data.image: .* Known: depth, image'),
    ({'image': 'depth'}, 'data.image: "depth" .* not of 8 bits'),
    ({'label': 'smiling'}, 'data.label: .* no integer "smiling"'),
    ({'label': 'attributes/beauty'}, 'data.label: .* no integer'),
    ({'label': 'attributes'}, 'data.label: .* no integer'),
    ({'shape': (8, 8)}, 'data.shape: '),
  ],
)
def test_wrong_fields_are_named(faces, fields, message):
  if fields and 'shape' not in fields:
    fields = {'shape': (8, 8, 3), **fields}
  with pytest.raises(InputError, match=message):
    faces(**fields)


# ---------------------------------- what is not prepared, is answered at once


@pytest.mark.parametrize('dataset', ['celeb_a', 'lfw', 'cifar10', 'kmnist'])
def test_an_unprepared_set_says_how_to_prepare_it(
  tmp_path, no_network, dataset
):
  start = time.perf_counter()
  with pytest.raises(InputError) as caught:
    tfds.load('train', dataset, data_dir=str(tmp_path))
  assert time.perf_counter() - start < 10
  message = str(caught.value)
  assert '\n' not in message
  assert f'"{dataset}" is not prepared in {tmp_path}' in message
  assert f'tfds build {dataset} --file_format=array_record' in message
  assert 'TensorFlow' in message and 'data.data_dir' in message


@pytest.mark.parametrize(
  ('dataset', 'message'),
  [
    ('celeba', 'neither TFDS nor .*"celeba". Did you mean "celeb_a"'),
    ('fashion-mnist', '"fashion-mnist".* mean "fashion_mnist"'),
    ('a b', 'cannot open "a b"'),
    ('', 'cannot open ""'),
  ],
)
def test_a_misspelt_name_is_named(tmp_path, no_network, dataset, message):
  with pytest.raises(InputError, match=message):
    tfds.load('train', dataset, data_dir=str(tmp_path))


def test_another_version_or_configuration_is_listed(fashion, tmp_path):
  fashion('train')
  with pytest.raises(InputError, match='fashion_mnist has: 3.0.1'):
    tfds.load('train', 'fashion_mnist:2.0.0', data_dir=str(tmp_path / 'data'))


def test_an_unknown_split_is_named(fashion):
  with pytest.raises(InputError, match='data.split: .*"tset".* mean "test"'):
    fashion('tset')


def test_records_without_random_access_are_refused(fashion, tmp_path):
  fashion('train')
  info = tmp_path / 'data/fashion_mnist/3.0.1/dataset_info.json'
  content = json.loads(info.read_text())
  info.write_text(json.dumps({**content, 'fileFormat': 'tfrecord'}))
  with pytest.raises(InputError, match='has tfrecord files.*array_record'):
    fashion('train')


def test_an_incomplete_copy_is_noticed(fashion, tmp_path):
  fashion('train')
  folder = tmp_path / 'data/fashion_mnist/3.0.1'
  shard = next(folder.glob('*-test.array_record*'))
  shard.unlink()
  with pytest.raises(InputError, match=f'{shard.name} is missing'):
    fashion('test')
  assert len(fashion('train')) == TRAIN


# ------------------------------------------------------------- the idx files


def test_a_missing_manual_file_is_named(fashion, manual_dir, tmp_path):
  shutil.copytree(manual_dir, tmp_path / 'part')
  (tmp_path / 'part' / 't10k-labels-idx1-ubyte.gz').unlink()
  with pytest.raises(
    InputError, match='data.manual_dir: .*part/t10k-labels-idx1-ubyte.gz'
  ):
    fashion('train', manual_dir=str(tmp_path / 'part'))


def test_a_damaged_manual_file_is_refused(fashion, manual_dir, tmp_path):
  shutil.copytree(manual_dir, tmp_path / 'bad')
  file = tmp_path / 'bad' / 'train-images-idx3-ubyte.gz'
  file.write_bytes(file.read_bytes()[:-1])
  with pytest.raises(InputError, match='train-images-idx3-ubyte.gz: damaged'):
    fashion('train', manual_dir=str(tmp_path / 'bad'))
  assert not (tmp_path / 'data' / 'fashion_mnist').exists()


@pytest.fixture
def server(manual_dir, tmp_path, monkeypatch):
  """Serves a copy of the idx files from this machine."""
  folder = tmp_path / 'served'
  shutil.copytree(manual_dir, folder)

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
      pass

  handler = functools.partial(Handler, directory=str(folder))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    small = tfds_idx.DATASETS['fashion_mnist']
    url = f'http://127.0.0.1:{httpd.server_port}/'
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setitem(
      tfds_idx.DATASETS, 'fashion_mnist', small._replace(url=url)
    )
    yield folder
    httpd.shutdown()


def test_without_manual_files_it_is_downloaded(fashion, server):
  assert len(fashion('train', manual_dir=None)) == TRAIN


def test_a_damaged_download_is_refused(fashion, server):
  (server / 'train-images-idx3-ubyte.gz').write_bytes(b'an error page')
  with pytest.raises(InputError, match='http.*images-idx3-ubyte.gz: damaged'):
    fashion('train', manual_dir=None)


def test_a_missing_download_says_what_to_do(fashion, server):
  (server / 'train-images-idx3-ubyte.gz').unlink()
  with pytest.raises(InputError, match='cannot download .*404.*manual_dir'):
    fashion('train', manual_dir=None)


def test_a_silent_network_is_given_up_soon(fashion, monkeypatch):
  silence = threading.Event()
  monkeypatch.setattr(
    tfds_idx.urllib.request, 'urlopen', lambda *_, **__: silence.wait(60)
  )
  monkeypatch.setattr(tfds_idx, '_TIMEOUT', 0.2)
  start = time.perf_counter()
  with pytest.raises(InputError, match='no answer in 0.2 s.*data.manual_dir'):
    fashion('train', manual_dir=None)
  assert time.perf_counter() - start < 5
  silence.set()


def test_the_time_out_leaves_an_answer_within_ten_seconds():
  assert tfds_idx._TIMEOUT <= 5


def test_mnist_needs_no_files_but_the_embedded(monkeypatch, no_network):
  dataset = tfds_idx.DATASETS['mnist']
  assert dataset.files is mnist.FILES
  for pair in dataset.files.values():
    for file, sha256 in pair:
      assert tfds_idx._read('mnist', file, sha256, None)[:2] == b'\x1f\x8b'


@pytest.mark.long
def test_mnist_has_the_order_of_the_stock_builder(tmp_path, no_network):
  source = open_split('tfds', 'train', dataset='mnist', data_dir=str(tmp_path))
  batch = source.__getitems__(range(len(source)))
  # The first labels that `tfds.load('mnist')` yields.
  np.testing.assert_array_equal(batch['label'][:5], [4, 1, 0, 7, 8])
  original = mnist.load('train').arrays

  def contents(arrays):
    pairs = zip(arrays['image'], arrays['label'], strict=True)
    return sorted((image.tobytes(), int(label)) for image, label in pairs)

  assert contents(batch) == contents(original)
