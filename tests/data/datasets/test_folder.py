"""A folder of images is checked when it is opened, and split for good."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.datasets import folder
from gen_jax.data.opening import open_split
from gen_jax.errors import InputError

SHAPE = (8, 8, 3)
ROOT = pathlib.Path(__file__).parents[3]
SHARED = pathlib.Path(
  os.environ.get('GEN_JAX_SHARED_DATA', ROOT / '../shared/data')
)


def write(path, value=0, size=(8, 8), mode='L'):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new(mode, size, value).save(path)


@pytest.fixture
def flat(tmp_path):
  """40 gray images; 7.png, 29.png and 32.png fall into 'test'."""
  for i in range(40):
    write(tmp_path / f'{i}.png', i)
  return tmp_path


@pytest.fixture
def classes(tmp_path):
  for split in ('train', 'test'):
    for i, name in enumerate(('ant', 'bee', 'cat')):
      for k in range(2):
        write(tmp_path / split / name / f'{k}.png', 10 * i + k)
  return tmp_path


def values(source):
  return sorted(source.arrays['image'][:, 0, 0, 0].tolist())


@pytest.mark.parametrize('count,held_out', [(1, 0), (2, 1), (5, 1), (7, 1)])
def test_of_few_images_one_is_test_and_a_single_one_is_train(
  tmp_path, count, held_out
):
  for i in range(count):
    write(tmp_path / f'{i}.png', i)
  train, test = (folder.load(k, tmp_path, SHAPE) for k in ('train', 'test'))
  assert (len(train), len(test)) == (count - held_out, held_out)
  assert sorted(values(train) + values(test)) == list(range(count))
  assert test.summary()


def test_a_tenth_is_test_by_a_fixed_hash_of_the_name(flat):
  assert values(folder.load('test', flat, SHAPE)) == [7, 29, 32]
  train = values(folder.load('train', flat, SHAPE))
  assert train == sorted(set(range(40)) - {7, 29, 32})


def test_an_image_stays_in_its_split_when_others_go(flat):
  for i in (3, 29):
    (flat / f'{i}.png').unlink()
  assert values(folder.load('test', flat, SHAPE)) == [7, 32]


def test_without_subfolders_there_are_no_labels(flat):
  source = folder.load('train', flat, SHAPE)
  assert source.classes == ()
  assert source.fields == {'image': (SHAPE, np.uint8)}


def test_subfolders_are_classes(classes):
  source = folder.load('train', classes / 'train', SHAPE)
  assert source.classes == ('ant', 'bee', 'cat')
  image, label = source.arrays['image'], source.arrays['label']
  np.testing.assert_array_equal(image[:, 0, 0, 0] // 10, label)
  assert label.dtype == np.int32


def test_classes_that_are_numbers_are_sorted_by_value(tmp_path):
  names = [str(number) for number in range(12)] + ['other']
  for name in names:
    write(tmp_path / 'train' / name / 'a.png')
  assert folder.load('train', tmp_path, SHAPE).classes == tuple(names)


def test_subfolders_train_and_test_are_the_splits(classes):
  (classes / 'test' / 'bee' / '1.png').unlink()
  assert values(folder.load('train', classes, SHAPE)) == [0, 1, 10, 11, 20, 21]
  assert values(folder.load('test', classes, SHAPE)) == [0, 1, 10, 20, 21]


def test_a_class_keeps_its_label_where_a_split_lacks_another(classes):
  for file in (classes / 'test' / 'ant').iterdir():
    file.unlink()
  source = folder.load('test', classes, SHAPE)
  assert source.classes == ('ant', 'bee', 'cat')
  assert sorted(source.arrays['label'].tolist()) == [1, 1, 2, 2]


@pytest.mark.parametrize(
  'folders',
  [
    ('Train', 'Test', 'Val'),
    ('training', 'testing', 'validation'),
    ('TRAINING', 'TESTING', 'valid'),
  ],
)
@pytest.mark.parametrize('asked', [str, str.capitalize])
def test_splits_have_their_usual_names_in_any_case(tmp_path, folders, asked):
  for i, name in enumerate(folders):
    write(tmp_path / name / 'cat' / 'x.png', i)
  for split, value in dict(
    train=0, training=0, test=1, testing=1, val=2, valid=2, validation=2
  ).items():
    source = folder.load(asked(split), tmp_path, SHAPE)
    assert values(source) == [value] and source.classes == ('cat',)
  for kind, name in zip(('train', 'test', 'val'), folders, strict=True):
    assert f'{name} is {kind}' in source.summary()


def test_a_folder_train_alone_is_divided_as_if_it_were_opened_itself(flat):
  (flat / 'train').mkdir()
  for file in flat.glob('*.png'):
    file.rename(flat / 'train' / file.name)
  for split in ('train', 'test'):
    source = folder.load(split, flat, SHAPE)
    assert values(source) == values(folder.load(split, flat / 'train', SHAPE))
    assert 'by a hash of the names in train' in source.summary()
  assert values(source) == [7, 29, 32]


def test_domains_are_divided_too_where_only_their_training_is_there(flat):
  for domain in ('TrainA', 'train_b'):
    for i in range(40):
      write(flat / 'set' / domain / f'{i}.png', i)
  for domain in ('A', 'B'):
    test = folder.load(f'test{domain}', flat / 'set', SHAPE)
    assert values(test) == [7, 29, 32]


@pytest.mark.parametrize(
  ('folders', 'message'),
  [
    (('Training', 'train', 'test'), 'two folders for the split "train"'),
    (('train', 'val', 'valid'), 'split "val": val and valid'),
    (('trainA', 'trainB', 'train_A'), 'split "trainA"'),
    (('bus', 'car', 'train'), 'train beside bus, car, .* split or a class'),
  ],
)
def test_unclear_names_of_folders_are_refused(tmp_path, folders, message):
  for name in folders:
    write(tmp_path / name / 'x.png')
  with pytest.raises(InputError, match=message) as caught:
    folder.load('train', tmp_path, SHAPE)
  assert '\n' not in str(caught.value)


def test_a_name_of_a_split_is_a_class_where_nothing_is_for_training(tmp_path):
  for i, name in enumerate(('car', 'road', 'test')):
    for k in range(10):
      write(tmp_path / name / f'{k}.png', i)
  source = folder.load('train', tmp_path, SHAPE)
  assert source.classes == ('car', 'road', 'test')
  assert 'test: taken as class names' in source.summary()


def test_folders_beside_the_splits_are_named(classes):
  write(classes / 'masks' / '0.png', 99)
  source = folder.load('train', classes, SHAPE)
  assert source.classes == ('ant', 'bee', 'cat')
  assert 99 not in values(source)
  assert 'folders that are not read: masks' in source.summary()


def test_unpaired_domains_are_splits_too(tmp_path):
  for i, name in enumerate(('trainA', 'trainB', 'testA')):
    write(tmp_path / name / 'x.png', i)
  assert values(folder.load('trainB', tmp_path, SHAPE)) == [1]
  assert values(folder.load('testA', tmp_path, SHAPE)) == [2]


def test_sizes_and_modes_are_brought_to_the_shape_and_reported(tmp_path):
  write(tmp_path / 'train' / 'a.png', (1, 2, 3), (20, 30), 'RGB')
  write(tmp_path / 'train' / 'b.PNG', 9, (40, 5), 'L')
  write(tmp_path / 'train' / 'c.jpg', 9, (7, 7), 'CMYK')
  write(tmp_path / 'train' / 'd.webp', (0, 0, 0, 0), (9, 9), 'RGBA')
  (tmp_path / 'train' / 'notes.txt').write_text('not an image')
  (tmp_path / 'train' / '._a.png').write_text('left by a file manager')
  write(tmp_path / 'test' / 'e.png')
  source = folder.load('train', tmp_path, SHAPE)
  assert source.arrays['image'].shape == (4, *SHAPE)
  assert (source.arrays['image'][3] == 255).all()
  summary = source.summary()
  assert 'train: 4 images of 8x8x3' in summary
  assert 'width 7..40, height 5..30 pixels' in summary
  for mode in ('RGB 1', 'L 1', 'CMYK 1', 'RGBA 1'):
    assert mode in summary


def test_what_is_left_out_is_listed_with_the_reason(tmp_path):
  train = tmp_path / 'train'
  write(train / 'a.png')
  write(tmp_path / 'loose.png')
  (train / '.git').mkdir()
  (train / '._a.png').write_text('left by a file manager')
  (train / 'notes.txt').write_text('BMW, P6 and II* begin as images do')
  lines = folder.load('train', tmp_path, SHAPE).summary().splitlines()
  assert (
    'left out: beside the splits (1): loose.png; hidden (2): train/._a.png, '
    'train/.git; not an image (1): train/notes.txt'
  ) in lines


def test_only_the_first_frame_or_page_is_read_and_reported(tmp_path):
  for name in ('a.gif', 'b.tif', 'c.webp', 'd.png'):
    (tmp_path / 'train').mkdir(exist_ok=True)
    first, second = (Image.new('RGB', (8, 8), (v, v, v)) for v in (7, 200))
    file = tmp_path / 'train' / name
    options = {'lossless': True} if name == 'c.webp' else {}
    first.save(file, save_all=True, append_images=[second], **options)
  write(tmp_path / 'train' / 'e.gif', 7)
  write(tmp_path / 'test' / 'f.gif', 7)
  source = folder.load('train', tmp_path, SHAPE)
  assert values(source) == [7] * 5
  assert (
    'only the first frame or page of 4 files with several: train/a.gif, '
    'train/b.tif, train/c.webp, train/d.png'
  ) in source.summary()


@pytest.fixture
def corrupt(flat):
  data = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
  Image.fromarray(data).save(flat / '1.png')
  whole = (flat / '1.png').read_bytes()
  (flat / '1.png').write_bytes(whole[: len(whole) // 2])
  (flat / '2.png').write_text('an error page of a web server')
  return flat


def test_unreadable_files_are_named(corrupt):
  with pytest.raises(InputError) as caught:
    folder.load('train', corrupt, SHAPE)
  message = str(caught.value)
  assert '\n' not in message
  assert message.startswith('data.path: 2 of 37 images')
  assert '1.png (' in message and 'truncated' in message
  assert '2.png (not an image)' in message
  assert 'data.skip_unreadable' in message


def test_unreadable_files_are_left_out_on_request(corrupt):
  source = folder.load('train', corrupt, SHAPE, skip_unreadable=True)
  assert values(source) == sorted(set(range(40)) - {1, 2, 7, 29, 32})
  assert 'left out 2 unreadable: 1.png' in source.summary()


def test_unreadable_files_are_left_out_of_a_stream_too(corrupt, monkeypatch):
  monkeypatch.setattr(folder, 'MEMORY_BYTES', 0)
  source = folder.load('train', corrupt, SHAPE, skip_unreadable=True)
  batch = source.__getitems__(range(len(source)))
  assert sorted(batch['image'][:, 0, 0, 0].tolist()) == sorted(
    set(range(40)) - {1, 2, 7, 29, 32}
  )


def test_a_folder_with_nothing_readable_is_refused(tmp_path):
  (tmp_path / 'train').mkdir()
  (tmp_path / 'train' / 'a.png').write_text('x')
  with pytest.raises(InputError, match='1 of 1 images'):
    folder.load('train', tmp_path, SHAPE, skip_unreadable=True)


def test_what_does_not_fit_in_memory_streams_the_same_images(
  classes, monkeypatch
):
  kept = folder.load('train', classes, SHAPE)
  monkeypatch.setattr(folder, 'MEMORY_BYTES', 6 * 8 * 8 * 3 - 1)
  stream = folder.load('train', classes, SHAPE)
  assert stream.arrays is None and kept.arrays is not None
  assert stream.fields == kept.fields
  assert stream.summary() == kept.summary()
  rows = np.array([5, 0, 5, 2])
  for field, array in stream.__getitems__(rows).items():
    np.testing.assert_array_equal(array, kept.__getitems__(rows)[field])
  with pytest.raises(IndexError):
    stream.__getitems__([6])


def test_links_are_followed_but_not_in_circles(tmp_path):
  write(tmp_path / 'real' / 'y.png', 5)
  (tmp_path / 'data' / 'train').mkdir(parents=True)
  (tmp_path / 'data' / 'train' / 'a').symlink_to(tmp_path / 'real')
  (tmp_path / 'real' / 'up').symlink_to(tmp_path / 'real')
  assert values(folder.load('train', tmp_path / 'data', SHAPE)) == [5]


@pytest.mark.parametrize(
  ('files', 'split', 'message'),
  [
    (
      ['readme.txt'],
      'train',
      'data.path: .* no images; left out: not an image .*: readme.txt',
    ),
    (['train/x.txt'], 'train', 'data.path: .*train has no images'),
    (['0.png'], 'valid', 'data.split: .* no split "valid"'),
    (['train/0.png', 'val/0.png'], 'test', 'data.split: .* no split "test"'),
    (['test/0.png', 'val/0.png'], 'train', 'data.split: .* no split "train"'),
    (['train/0.png', 'test/'], 'test', 'none of the 1 images .* split "test"'),
    (['a/0.png', '1.png'], 'train', 'data.path: .* 1 images beside .*1.png'),
  ],
)
def test_a_wrong_layout_is_explained(tmp_path, files, split, message):
  for name in files:
    if name.endswith('.png'):
      write(tmp_path / name)
    elif name.endswith('/'):
      (tmp_path / name).mkdir()
    else:
      (tmp_path / name).parent.mkdir(exist_ok=True)
      (tmp_path / name).write_text('text')
  with pytest.raises(InputError, match=message) as caught:
    open_split('folder', split, path=str(tmp_path), shape=SHAPE)
  assert '\n' not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
  with pytest.raises(InputError, match='data.path: there is no folder .*gone'):
    folder.load('train', tmp_path / 'gone', SHAPE)


def test_photographs_of_many_sizes():
  if not (SHARED / 'natural').is_dir():
    pytest.skip(f'{SHARED}/natural is not here')
  train, test = (
    folder.load(split, SHARED / 'natural', (64, 64, 3))
    for split in ('train', 'test')
  )
  assert train.arrays['image'].shape == (13, 64, 64, 3)
  assert 'modes RGB 8, L 5' in train.summary()
  assert test.arrays['image'].shape == (1, 64, 64, 3)
