"""Two domains: drawn apart in training, together where they are pairs."""

import functools

import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.data.datasets import domains, emoji
from gen_jax.data.opening import open_split
from gen_jax.data.pipeline import Batches
from gen_jax.data.sources import array_source, unpaired
from gen_jax.errors import InputError

EMOJI = dict(
  common=dict(name='emoji', shape=(8, 8, 3)),
  a=dict(style='noto'),
  b=dict(style='twemoji'),
  pairs=('test',),
)


@pytest.fixture(scope='module', autouse=True)
def sheets_are_read_once():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(emoji, '_read_sheet', functools.cache(emoji._read_sheet))
    yield


def numbered(name, size):
  """Images that are their own number."""
  values = np.arange(size, dtype=np.uint8)[:, None, None, None]
  return array_source(
    name, 'train', {name: np.broadcast_to(values, (size, 2, 2, 1))}
  )


def apart():
  return unpaired({'a': numbered('a', 20), 'b': numbered('b', 30)})


def batches(**fields):
  return Batches(apart(), **{'batch_size': 10, 'seed': 3, **fields})


def shown(b, step, count):
  """The numbers that some steps show, by field, [T, B]."""
  inputs = b.inputs(step, count, count)
  if b.data is not None:
    inputs = {k: b.data[k][rows] for k, rows in inputs.items()}
  return {k: x[..., 0, 0, 0] for k, x in inputs.items()}


def test_each_domain_has_epochs_and_an_order_of_its_own():
  seen = shown(batches(), 0, 6)
  a, b = seen['a'].reshape(3, 20), seen['b'].reshape(2, 30)
  np.testing.assert_array_equal(np.sort(a), np.tile(np.arange(20), (3, 1)))
  np.testing.assert_array_equal(np.sort(b), np.tile(np.arange(30), (2, 1)))
  assert np.any(a[0] != a[1])
  same = unpaired({'a': numbered('a', 20), 'b': numbered('b', 20)})
  seen = shown(Batches(same, batch_size=20, seed=0), 0, 1)
  assert np.any(seen['a'] != seen['b'])


def test_streamed_resident_and_read_batches_are_the_same():
  streamed, resident = batches(resident='no'), batches(resident='yes')
  assert streamed.data is None and set(resident.data) == {'a', 'b'}
  for step in (0, 5, 2):
    want = shown(resident, step, 3)
    for name, values in shown(streamed, step, 3).items():
      np.testing.assert_array_equal(values, want[name])
  read = resident.read(4)
  for name, rows in resident.rows(4).items():
    np.testing.assert_array_equal(read[name], resident.data[name][rows])
    np.testing.assert_array_equal(read[name][:, 0, 0, 0], want[name][2])
  streamed.close()


def test_processes_read_disjoint_slices():
  whole = batches().rows(3)
  for name in 'ab':
    parts = [batches(process=(p, 5)).rows(3)[name] for p in range(5)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[name])


def test_pairs_are_of_one_emoji_and_others_are_apart():
  test = open_split('domains', 'test', **EMOJI)
  for name, style in (('a', 'noto'), ('b', 'twemoji')):
    alone = open_split('emoji', 'test', style=style, shape=(8, 8, 3))
    np.testing.assert_array_equal(test.arrays[name], alone.arrays['image'])
  train = open_split('domains', 'train', **EMOJI)
  assert set(train.parts) == {'a', 'b'}
  assert train.fields['a'] == ((8, 8, 3), np.uint8)
  assert '1690' in train.summary() and '221' in test.summary()


def test_slices_are_of_each_domain():
  part = open_split('domains', 'train[:10%]', **EMOJI)
  assert [len(x) for x in part.parts.values()] == [169, 169]
  assert len(open_split('domains', 'test[:7]', **EMOJI)) == 7
  with pytest.raises(InputError, match='is empty'):
    open_split('domains', 'train[5:5]', **EMOJI)


def test_an_index_is_of_both_up_to_the_shorter():
  source = apart()
  assert len(source) == 20
  batch = source.__getitems__([3, 7])
  assert batch['a'][:, 0, 0, 0].tolist() == [3, 7]
  assert batch['b'][:, 0, 0, 0].tolist() == [3, 7]


def test_the_customary_folders(tmp_path):
  for index, name in enumerate(('trainA', 'trainB', 'testA', 'testB')):
    (tmp_path / name).mkdir()
    for i in range(3 + index):
      pixels = np.full((6, 9, 3), 40 * index, np.uint8)
      Image.fromarray(pixels).save(tmp_path / name / f'{i}.png')
  spec = dict(
    common=dict(name='folder', path=str(tmp_path), shape=(4, 4, 3)),
    a=dict(suffix='A'),
    b=dict(suffix='B'),
  )
  train = open_split('domains', 'train', **spec)
  assert [len(x) for x in train.parts.values()] == [3, 4]
  assert np.all(train.__getitems__([0])['b'] == 40)
  assert len(open_split('domains', 'test', **spec)) == 5
  with pytest.raises(InputError, match='and 1 have no partner: 5'):
    open_split('domains', 'test', **spec, pairs=('test',))
  with pytest.raises(InputError, match='data.a, or data.common: .*"valA"'):
    open_split('domains', 'val', **spec)


@pytest.mark.parametrize(
  'spec,expected',
  [
    (dict(a=dict(style='noto', change='lo')), 'data.a.change.*"low"'),
    (dict(b=dict(style='windings')), 'data.b, or .*windings'),
    (dict(b=dict(stile='noto')), 'data.b, or .*"style"'),
    (dict(a=dict(name='mnist'), common={}), 'unknown|there is no data set'),
    (dict(a=dict(style='noto', shape=(4, 8, 3))), 'one height and width'),
  ],
)
def test_wrong_domains_are_named(spec, expected):
  with pytest.raises(InputError, match=expected):
    domains.load('train', **{**EMOJI, **spec})


def test_low_resolution_keeps_means_and_size():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, 16, 24, 3), np.uint8)
  low = domains.low_resolution(images)
  assert low.shape == images.shape
  assert low.std() < images.std() / 2
  np.testing.assert_allclose(low.mean(), images.mean(), atol=2)
  flat = np.full((1, 8, 8, 1), 77, np.uint8)
  np.testing.assert_array_equal(domains.low_resolution(flat), flat)


def test_outlines_are_bright_around_strokes_and_dark_within():
  image = np.zeros((1, 7, 7, 1), np.uint8)
  image[0, 2:5, 2:5] = 200
  out = domains.outline(image)[0, :, :, 0]
  want = np.zeros((7, 7), np.uint8)
  want[1:6, 1:6] = 200
  want[2:5, 2:5] = 0
  np.testing.assert_array_equal(out, want)


def test_a_config_describes_them():
  from gen_jax.config.stages import plan
  from gen_jax.training.experiment import Experiment

  config = config_lib.load('configs/cyclegan.py:test')
  config_lib.override(config, 'data.common.shape', '16,16,3')
  experiment = Experiment(plan(config)[0])
  assert experiment.train_source.fields['b'][0] == (16, 16, 3)
  (image,) = experiment.source('test').__getitems__([0])['a']
  assert isinstance(image, np.ndarray)


@pytest.fixture
def pairs(tmp_path):
  """Folders of three pairs, whose endings differ."""
  for split in ('train', 'test'):
    for domain, ending in (('A', 'png'), ('B', 'jpg')):
      folder = tmp_path / f'{split}{domain}'
      folder.mkdir()
      for name in ('1', '2', '10'):
        Image.new('RGB', (6, 6)).save(folder / f'{name}.{ending}')
  return tmp_path


def open_pairs(folder, **fields):
  return open_split(
    'domains',
    'train',
    common=dict(name='folder', path=str(folder), shape=(6, 6, 3), **fields),
    a=dict(suffix='A'),
    b=dict(suffix='B'),
    pairs=('train', 'test'),
  )


def test_pairs_of_folders_are_files_of_one_name(pairs):
  assert len(open_pairs(pairs)) == 3


@pytest.mark.parametrize('damaged', [('trainA/1.png', 'trainB/2.jpg'), ()])
def test_images_without_a_partner_are_no_pairs(pairs, damaged):
  """Else the images behind a missing one would belong to other partners."""
  for name in damaged:
    (pairs / name).write_bytes(b'no image')
  if not damaged:
    (pairs / 'trainA/1.png').rename(pairs / 'trainA/3.png')
  with pytest.raises(
    InputError, match="'train': the two images.*2 .*: 1, [23]"
  ):
    open_pairs(pairs, skip_unreadable=bool(damaged))
