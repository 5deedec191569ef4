"""Readers take or refuse whatever stands in a file, and do nothing else.

Small valid files are damaged: bytes change, ends are cut off, and values of
JSON, pickles and arrays become others. A reader either loads the result or
raises an InputError, one line that names the file, and soon.
"""

import gzip
import io
import json
import math
import pickle
import time
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis
import jax
import numpy as np
import pytest
import torch_container
from hypothesis import strategies as st
from PIL import Image, features

from gen_jax.data.datasets import (
  captioned_folder,
  folder,
  npz,
  stackgan_release,
  tfds,
)
from gen_jax.data.formats import (
  idx,
  images,
  pickles,
  pixels,
  safetensors,
  torch_files,
)
from gen_jax.data.text import sentences
from gen_jax.errors import InputError

SHAPE = (8, 8, 3)
SECONDS = 30  # for one file, on a busy machine

# -------------------------------------------------------- how files are damaged

DEEP = 'deep'  # stands for lists in lists in lists
OTHERS = [
  None, True, False, 0, 1, -1, 3, 2**31, 10**8, -(2**70), 1.5, 1e400, math.nan,
  '', 'a', '\0', '../../a', '\ud800', [], [1], [[]], ['a', None], {}, {'a': 1},
  {'': None}, DEEP,
]  # fmt: skip


@st.composite
def damaged(draw, content):
  """Bytes with a few of them changed, cut out, doubled or put in."""
  data = bytearray(content)
  for _ in range(draw(st.integers(1, 4))):
    place = draw(st.integers(0, len(data)))
    size = draw(st.integers(1, 12))
    kind = draw(st.sampled_from(['flip', 'end', 'cut', 'double', 'put']))
    if kind == 'flip' and place < len(data):
      data[place] ^= draw(st.integers(1, 255))
    elif kind == 'end':
      del data[place:]
    elif kind == 'cut':
      del data[place : place + size]
    elif kind == 'double':
      data[place:place] = data[place : place + size]
    elif kind == 'put':
      data[place:place] = draw(st.binary(min_size=1, max_size=size))
  return bytes(data)


def places(value, here=()):
  """Yields the path to a value of JSON and to each within it."""
  yield here
  pairs = ()
  if isinstance(value, dict):
    pairs = value.items()
  elif isinstance(value, list):
    pairs = enumerate(value)
  for key, within in pairs:
    yield from places(within, (*here, key))


def changed(value, place, other):
  """Returns a copy of a value with another one at a place."""
  if not place:
    return other
  copy = value.copy()
  copy[place[0]] = changed(value[place[0]], place[1:], other)
  return copy


@st.composite
def edited(draw, value):
  """A value of JSON in which some are of another kind."""
  for _ in range(draw(st.integers(1, 2))):
    place = draw(st.sampled_from(list(places(value))))
    value = changed(value, place, draw(st.sampled_from(OTHERS)))
  return value


def dump(value):
  nested = '[' * 100_000 + ']' * 100_000
  return json.dumps(value).replace(f'"{DEEP}"', nested).encode()


def any_json(content):
  value = json.loads(content)
  return st.one_of(edited(value).map(dump), damaged(content))


@st.composite
def any_lines(draw, content):
  """JSON lines, of which one changed."""
  lines = content.splitlines()
  index = draw(st.integers(0, len(lines) - 1))
  lines[index] = draw(any_json(lines[index]))
  return b'\n'.join(lines)


@st.composite
def any_table(draw, content):
  """Lines of words, of which one word changed."""
  rows = [line.split() for line in content.decode().splitlines()]
  row = draw(st.sampled_from(rows))
  index = draw(st.integers(0, len(row) - 1))
  other = st.sampled_from(
    ['', '0', '-7', '1e999', 'nan', '../../x', '/x', '1 2']
  )
  row[index] = draw(other)
  return '\n'.join(map(' '.join, rows)).encode()


def deep_list():
  value: list[Any] = []
  for _ in range(500):
    value = [value]
  return value


def any_pickle(content):
  value = pickle.loads(content)
  plain = value if isinstance(value, list) else value.tolist()
  others = edited(plain).map(lambda x: deep_list() if x == DEEP else x)
  arrays = any_array().map(np.ndarray.tolist) | any_array()
  protocol = st.sampled_from([0, 2, 4])
  return st.one_of(
    st.builds(pickle.dumps, others | arrays, protocol), damaged(content)
  )


def any_array():
  """Arrays of any type, most of them of none that can be used."""
  dtypes = st.sampled_from(
    'u1 i1 i8 u8 f2 f4 f8 g c8 ? M8[s] m8[s] S3 U2 V3 O u1,f4'.split()
  )
  shape = st.lists(st.sampled_from([0, 1, 2, 3, 4, 5]), max_size=5)
  fill = st.sampled_from(
    [0, 1, -1, 3, 200, 2**40, math.nan, math.inf, 'a', None]
  )
  return st.builds(make_array, dtypes, shape, fill)


def make_array(dtype, shape, fill):
  array = np.zeros(shape, dtype)
  try:
    with np.errstate(all='ignore'):
      array[...] = fill
  except (TypeError, ValueError, OverflowError):
    pass  # this type cannot hold it, so zeros remain
  return array


def npy(array):
  file = io.BytesIO()
  np.save(file, array, allow_pickle=True)
  return file.getvalue()


@st.composite
def any_npz(draw, content):
  """Archives in which an array is another, or its header is damaged."""
  if draw(st.booleans()):
    return draw(damaged(content))
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    members = {name: archive.read(name) for name in archive.namelist()}
  name = draw(st.sampled_from(sorted(members)))
  other = any_array().map(npy) | damaged(members[name])
  claim = st.sampled_from(
    [b'(0,)', b'(-4,)', b'(9999999999,)', b'(((((', b'[]']
  )
  other |= claim.map(lambda x: members[name].replace(b"'shape': (", x[:-1]))
  other |= claim.map(lambda x: members[name].replace(b"'<", b"'O" + x))
  members[name] = draw(other)
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w') as archive:
    for name, data in members.items():
      archive.writestr(name, data)
  return file.getvalue()


def any_safetensors(content):
  size = int.from_bytes(content[:8], 'little')
  header, rest = json.loads(content[8 : 8 + size]), content[8 + size :]

  def join(head):
    return len(head).to_bytes(8, 'little') + head + rest

  return st.one_of(
    edited(header).map(dump).map(join),
    damaged(content),
    damaged(content[:200]).map(lambda start: start + content[200:]),
  )


MUTATIONS = {
  '.json': any_json,
  '.jsonl': any_lines,
  '.pickle': any_pickle,
  '.npz': any_npz,
  '.safetensors': any_safetensors,
}

# ------------------------------------------------------------------ the readers


class Case(NamedTuple):
  """A reader.

  Attributes:
    make: writes valid files below a folder.
    read: reads them.
    names: returns what a message may name, beside the file.
  """

  make: Callable[[Any], None]
  read: Callable[[Any], Any]
  names: Callable[[Any], tuple[str, ...]] = lambda root: ()


def make_npz(root):
  image = np.arange(5 * 16, dtype=np.uint8).reshape(5, 4, 4, 1)
  label = np.array([0, 1, 2, 0, 1])
  np.savez(
    root / 'set.npz',
    train_image=image,
    train_label=label,
    test_image=image / 255,
    test_label=label,
  )


def make_idx(root):
  data = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(6))
  (root / 'plain').write_bytes(data)
  (root / 'zipped').write_bytes(gzip.compress(data))


def read_idx(root):
  for name in ('plain', 'zipped'):
    idx.parse((root / name).read_bytes(), name)


FORMATS = {
  'png': 'PNG', 'jpg': 'JPEG', 'gif': 'GIF', 'bmp': 'BMP', 'tif': 'TIFF',
  'ppm': 'PPM', 'jp2': 'JPEG2000', 'webp': 'WEBP', 'avif': 'AVIF',
}  # fmt: skip


def make_images(root):
  rng = np.random.default_rng(0)
  image = Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8))
  (root / 'train').mkdir()
  for ending, kind in FORMATS.items():
    if kind in ('WEBP', 'AVIF') and not features.check(kind.lower()):
      continue
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(root / 'train' / f'0.{ending}', kind, exif=exif)
  image.quantize(4).save(root / 'train' / '1.png', transparency=1)
  image.save(root / 'train' / '2.jpg', progressive=True)
  image.save(root / 'train' / '3.tif', compression='tiff_lzw')
  wide = Image.fromarray(rng.integers(0, 2**16, (9, 9), np.uint16))
  wide.save(root / 'train' / '4.png')
  Image.fromarray(rng.random((9, 9), np.float32)).save(root / 'train' / '5.tif')


def read_alone(root):
  for path in sorted((root / 'train').iterdir()):
    images.read_whole(path, 3, pixels.fixed((0, 255)))


def make_captioned(root):
  for i in range(2):
    path = root / 'train' / f'{i}.png'
    path.parent.mkdir(exist_ok=True)
    Image.new('RGB', (8, 8)).save(path)
  lines = [
    {'file': 'train/0.png', 'captions': ['a bird', 'red']},
    {'file_name': 'train/1.png', 'text': 'a cat'},
  ]
  (root / 'captions.jsonl').write_text('\n'.join(map(json.dumps, lines)))


def make_release(root):
  names = ['a/1', 'a/2']
  images_ = root / 'CUB_200_2011' / 'images'
  for name in names:
    for file in (images_ / f'{name}.jpg', root / 'text_c10' / f'{name}.txt'):
      file.parent.mkdir(parents=True, exist_ok=True)
      if file.suffix == '.jpg':
        Image.new('RGB', (40, 20)).save(file)
      else:
        file.write_text('a bird\na red bird')
  lines = [f'{i} {name}.jpg' for i, name in enumerate(names)]
  (images_.parent / 'images.txt').write_text('\n'.join(lines))
  lines = [f'{i} 10.0 5.0 9.0 8.0' for i in range(2)]
  (images_.parent / 'bounding_boxes.txt').write_text('\n'.join(lines))
  for split in ('train', 'test'):
    (root / split).mkdir()
    content = {
      'filenames': names,
      'class_info': [1, 2],
      'char-CNN-RNN-embeddings': np.ones((2, 3, 4), np.float32),
    }
    for name, value in content.items():
      file = root / split / f'{name}.pickle'
      file.write_bytes(pickle.dumps(value, 2))


def make_pickle(root):
  value = [[1, 'a'], [0.5, None], ['b', [1, 2]]]
  (root / 'x.pickle').write_bytes(pickle.dumps(value))


CONFIG = {
  'model_type': 'bert', 'vocab_size': 9, 'hidden_size': 4,
  'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 6,
  'max_position_embeddings': 8, 'type_vocab_size': 2, 'layer_norm_eps': 1e-12,
  'hidden_act': 'gelu', 'position_embedding_type': 'absolute',
}  # fmt: skip


def make_safetensors(root):
  from safetensors.numpy import save_file

  from gen_jax.data.text import bert

  arrays = {
    name: np.ones(shape, np.float32)
    for name, shape in bert.shapes(bert.Config(**CONFIG))
  }
  save_file(arrays, root / 'model.safetensors', {'format': 'pt'})


def make_torch(root):
  x = np.arange(24, dtype=np.float32)
  part = torch_container.Tensor(x, 4, (4, 3), (1, 6))
  value = {'a': {'whole': x, 'part': part}, 'lr': [0.1, None], 'b': (1, 'x')}
  for old in (False, True):
    torch_container.save(root / f'{old}.pth', value, old)


def read_torch(root):
  for old in (False, True):
    torch_files.read(root / f'{old}.pth', 'f', ('a',))


def make_model(root):
  tokenizers = pytest.importorskip('tokenizers')
  make_safetensors(root)
  pieces = '[PAD] [UNK] [CLS] [SEP] [MASK] a red ##s heart'.split()
  (root / 'vocab.txt').write_text('\n'.join(pieces))
  whole = tokenizers.BertWordPieceTokenizer(str(root / 'vocab.txt'))
  whole.save(str(root / 'tokenizer.json'))
  (root / '1_Pooling').mkdir()
  modules = [
    {'idx': 0, 'type': 'sentence_transformers.models.Transformer'},
    {'idx': 1, 'type': 'sentence_transformers.models.Pooling'},
  ]
  for name, value in {
    'config.json': CONFIG,
    'modules.json': modules,
    'sentence_bert_config.json': {'max_seq_length': 6},
    '1_Pooling/config.json': {'pooling_mode_mean_tokens': True},
  }.items():
    (root / name).write_text(json.dumps(value))


def make_words(root):
  """A model whose pieces stand in a text."""
  make_model(root)
  (root / 'tokenizer.json').unlink()
  file = root / 'tokenizer_config.json'
  file.write_text(json.dumps({'do_lower_case': True}))


def read_model(root):
  model = sentences._open.__wrapped__(str(root))
  rows = model.tokens(['a red heart ' * 3, 'Hearts'])
  tokens = np.zeros((2, max(map(len, rows))), np.int32)
  lengths = np.array([len(row) for row in rows])
  jax.eval_shape(model.encode, model.weights, tokens, lengths)


def make_tfds(root):
  from gen_jax.data.formats import tfds_idx

  image = np.arange(3 * 28 * 28).reshape(3, 28, 28).astype(np.uint8)
  arrays = {'train': (image, np.array([0, 1, 9]))}
  builder = tfds_idx.IdxBuilder('fashion_mnist', arrays, root)
  builder.download_and_prepare()


def read_tfds(root):
  source = tfds.load('train', 'fashion_mnist', str(root))
  source.__getitems__(range(len(source)))


def folders(root):
  return (str(root),)


CASES = {
  'npz': Case(make_npz, lambda root: npz.load('train', str(root / 'set.npz'))),
  'idx': Case(make_idx, read_idx),
  'folder': Case(
    make_images, lambda root: folder.load('train', root, SHAPE), folders
  ),
  'images': Case(make_images, read_alone),
  'captions': Case(
    make_captioned,
    lambda root: captioned_folder.load('train', root, SHAPE, words=2),
    lambda root: ('train/0.png', 'train/1.png'),
  ),
  'release': Case(
    make_release,
    lambda root: stackgan_release.load('train', root, SHAPE, words=2),
    lambda root: ('a/1', 'a/2', 'class_info.pickle', 'bounding_boxes.txt'),
  ),
  'pickle': Case(make_pickle, lambda root: pickles.read(root / 'x.pickle')),
  'torch': Case(make_torch, read_torch, lambda root: ('.pth',)),
  'safetensors': Case(
    make_safetensors,
    lambda root: safetensors.read(root / 'model.safetensors', 'f'),
  ),
  'model': Case(make_model, read_model, lambda root: ('config.json',)),
  'tfds': Case(make_tfds, read_tfds, lambda root: ('fashion_mnist',)),
  'words': Case(make_words, read_model, lambda root: ('config.json',)),
}  # fmt: skip

# -------------------------------------------------------------------- the tests


def attempt(case, root, path, content):
  """Reads damaged files and checks how that ends."""
  whole = path.read_bytes()
  path.write_bytes(content)
  start = time.monotonic()
  try:
    case.read(root)
  except InputError as error:
    line = str(error)
    assert '\n' not in line
    assert any(name in line for name in (path.name, *case.names(root))), line
  finally:
    path.write_bytes(whole)
  assert time.monotonic() - start < SECONDS


def mutate(path):
  content = path.read_bytes()
  if path.name in ('images.txt', 'bounding_boxes.txt'):
    return any_table(content) | damaged(content)
  if 'array_record' in path.name:  # mostly zeros behind that
    return damaged(content[:900]).map(lambda start: start + content[900:])
  return MUTATIONS.get(path.suffix, damaged)(content)


def fuzz(case, root, **settings):
  case.make(root)
  case.read(root)  # is valid
  files = sorted(path for path in root.rglob('*') if path.is_file())
  strategies = {path: mutate(path) for path in files}

  @hypothesis.settings(
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    **settings,
  )
  @hypothesis.given(st.data())
  def run(data):
    path = data.draw(st.sampled_from(files))
    attempt(case, root, path, data.draw(strategies[path]))

  run()


pytestmark = pytest.mark.filterwarnings('ignore')  # of Pillow, on damage


@pytest.mark.parametrize('name', CASES)
def test_damaged_files_are_read_or_refused(name, tmp_path):
  fuzz(CASES[name], tmp_path, max_examples=30, derandomize=True)


@pytest.mark.long
@pytest.mark.slow('reads thousands of files')
@pytest.mark.parametrize('name', CASES)
def test_many_damaged_files_are_read_or_refused(name, tmp_path):
  fuzz(CASES[name], tmp_path, max_examples=2000)
