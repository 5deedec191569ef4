"""Folders with captions, and the release that StackGAN's authors published."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.datasets import captioned_folder, stackgan_release
from gen_jax.data.text import captions
from gen_jax.errors import InputError

SHAPE = (8, 8, 3)


def write(path, value=0, size=(8, 8)):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new('RGB', size, (value, 0, 0)).save(path)


@pytest.fixture
def folder(tmp_path):
  for split in ('train', 'test'):
    for i in range(3):
      write(tmp_path / split / f'{i}.png', i)
  return tmp_path


def lines(folder, entries):
  text = '\n'.join(json.dumps(e) for e in entries)
  (folder / 'captions.jsonl').write_text(text + '\n\n')


def test_captions_of_a_list(folder):
  entries = [
    {'file': f'{split}/{i}.png', 'captions': [f'number {i}', 'a picture']}
    for split in ('train', 'test')
    for i in range(3)
  ]
  entries[1] = {'file_name': './train/1.png', 'text': 'number 1'}
  lines(folder, entries)
  source = captioned_folder.load('train', folder, SHAPE, words=4)
  assert source.fields['text'] == ((2, 4, captions.PIECES), np.int32)
  for i in range(3):
    expected = captions.tokens(f'number {i}', 4)
    np.testing.assert_array_equal(source.arrays['text'][i, 0], expected)
  assert source.arrays['image'][2, 0, 0, 0] == 2


def test_captions_beside_the_images(folder, monkeypatch):
  for split in ('train', 'test'):
    for i in range(3):
      file = folder / split / f'{i}.txt'
      file.write_text(f'number {i}\n\nein Bild\n', 'utf-8')
  whole = captioned_folder.load('train', folder, SHAPE, words=4)
  monkeypatch.setattr(captioned_folder.folder, 'MEMORY_BYTES', 0)
  stream = captioned_folder.load('train', folder, SHAPE, words=4)
  assert stream.arrays is None and stream.fields == whole.fields
  for name, x in stream.__getitems__([2, 0]).items():
    np.testing.assert_array_equal(x, whole.arrays[name][[2, 0]])


def test_what_is_wrong_is_named(folder):
  with pytest.raises(InputError, match='3 of 3 images have no caption'):
    captioned_folder.load('train', folder, SHAPE)
  (folder / 'captions.jsonl').write_text('{"file": "train/0.png"}\n')
  with pytest.raises(InputError, match='line 1 of .*captions.jsonl cannot be'):
    captioned_folder.load('train', folder, SHAPE)
  for bad in (
    '["a"]',
    '{"file": 3, "text": "a"}',
    'a',
    '{"file": "a", "text": 1}',
  ):
    (folder / 'captions.jsonl').write_text(bad)
    with pytest.raises(InputError, match='line 1'):
      captioned_folder.load('train', folder, SHAPE)
  (folder / 'captions.jsonl').write_bytes(b'\xff\xfe\x00')
  with pytest.raises(InputError, match='cannot be read'):
    captioned_folder.load('train', folder, SHAPE)


@pytest.fixture
def birds(tmp_path):
  names = ['001.A/a_1', '001.A/a_2', '002.B/b_1']
  root = tmp_path / 'birds'
  for i, name in enumerate(names):
    file = root / 'CUB_200_2011' / 'images' / f'{name}.jpg'
    write(file, 0, (40, 20))
    image = Image.new('RGB', (40, 20))
    image.paste((255, 0, 0), (10, 5, 20, 15))
    image.save(file, quality=100, subsampling=0)
    text = root / 'text_c10' / f'{name}.txt'
    text.parent.mkdir(parents=True, exist_ok=True)
    text.write_text('\n'.join(f'bird {i} caption {k}' for k in range(10)))
  cub = root / 'CUB_200_2011'
  cub.joinpath('images.txt').write_text(
    ''.join(f'{i + 1} {n}.jpg\n' for i, n in enumerate(names))
  )
  cub.joinpath('bounding_boxes.txt').write_text(
    ''.join(f'{i + 1} 10.0 5.0 10.0 10.0\n' for i in range(3))
  )
  vectors = np.random.default_rng(0).normal(size=(3, 10, 6)).astype('f4')
  for split, rows in (('train', [0, 2]), ('test', [1])):
    folder = root / split
    folder.mkdir()
    content = {
      'filenames': [names[i] for i in rows],
      'class_info': [(1, 1, 2)[i] for i in rows],
      'char-CNN-RNN-embeddings': [vectors[i] for i in rows],
    }
    for name, value in content.items():
      folder.joinpath(f'{name}.pickle').write_bytes(pickle.dumps(value, 2))
  return root, vectors


def test_the_release_of_the_birds(birds):
  root, vectors = birds
  source = stackgan_release.load('train', root, (8, 8, 3), words=5)
  assert source.classes == ('1', '2')
  np.testing.assert_array_equal(source.arrays['label'], [0, 1])
  np.testing.assert_array_equal(source.arrays['embedding'], vectors[[0, 2]])
  np.testing.assert_array_equal(
    source.arrays['text'][1, 3], captions.tokens('bird 2 caption 3', 5)
  )
  # A square of 1.5 times the box around it: the bird fills (2/3)^2 of it.
  red = source.arrays['image'][0, ..., 0] > 128
  assert 16 <= red.sum() <= 36
  assert red[2:6, 2:6].all()
  assert stackgan_release.load(
    'test', root, SHAPE, embeddings=False
  ).fields == {
    'image': (SHAPE, np.uint8),
    'label': ((), np.int32),
  }


def test_labels_of_the_release_mean_the_same_in_both_splits(birds):
  root, _ = birds
  (root / 'test' / 'class_info.pickle').write_bytes(pickle.dumps([2], 2))
  source = stackgan_release.load('test', root, SHAPE)
  assert source.classes == ('1', '2')
  np.testing.assert_array_equal(source.arrays['label'], [1])


def test_the_release_of_the_flowers(birds):
  root, _ = birds
  (root / 'CUB_200_2011').rename(root / 'away')
  (root / 'text_c10').rename(root / 'away2')
  write(root / 'jpg' / 'image_1.jpg')
  text = root / 'text_c10' / 'class_1' / 'image_1.txt'
  text.parent.mkdir(parents=True)
  text.write_text('a flower')
  for name, value in (('filenames', ['jpg/image_1']), ('class_info', [7])):
    file = root / 'test' / f'{name}.pickle'
    file.write_bytes(pickle.dumps(value, 2))
  source = stackgan_release.load('test', root, SHAPE, words=2)
  expected = captions.tokens('a flower', 2)
  np.testing.assert_array_equal(source.arrays['text'][0, 0], expected)


@pytest.mark.parametrize(
  ('name', 'value', 'message'),
  [
    ('filenames', ['../../etc/x', '002.B/b_1'], 'leads out of'),
    ('filenames', ['/etc/x', '002.B/b_1'], 'filenames.pickle .*leads out of'),
    ('filenames', ['001.A/none', '002.B/b_1'], '1 of 2 images .* missing'),
    ('filenames', 3, 'filenames.pickle .*expected a list, found 3'),
    ('filenames', [1, 2], 'filenames.pickle .*1 is no name'),
    ('filenames', [], 'filenames.pickle .*no names'),
    ('class_info', ['a', 'b'], 'class_info.pickle cannot be read'),
    ('class_info', {'a': 1}, 'class_info.pickle .*expected a list'),
    ('class_info', [1], 'has 1 entries for 2'),
    ('char-CNN-RNN-embeddings', np.zeros((3, 10, 6)), 'expected'),
    ('char-CNN-RNN-embeddings', ['a', 'b'], 'cannot be read: could not'),
    ('char-CNN-RNN-embeddings', np.full((2, 1, 6), np.nan), 'not finite'),
  ],
)
def test_a_wrong_file_of_the_release_is_named(birds, name, value, message):
  root, _ = birds
  (root / 'train' / f'{name}.pickle').write_bytes(pickle.dumps(value, 2))
  with pytest.raises(InputError, match=message):
    stackgan_release.load('train', root, SHAPE)
  (root / 'train' / 'filenames.pickle').unlink()
  with pytest.raises(
    InputError, match='filenames.pickle cannot be read: No such'
  ):
    stackgan_release.load('train', root, SHAPE)


@pytest.mark.parametrize(
  ('file', 'line', 'message'),
  [
    ('images.txt', '2 ../../../photo.jpg', 'leads out of'),
    ('images.txt', '2 /etc/passwd', 'leads out of'),
    ('images.txt', '2 link.jpg', 'leads out of'),
    ('images.txt', '2 folder/photo.jpg', 'leads out of'),
    ('images.txt', '2', 'cannot be read'),
    ('bounding_boxes.txt', '2 1 1 inf 1', 'cannot be read'),
    ('bounding_boxes.txt', '2 1 1 x 1', 'cannot be read'),
    ('bounding_boxes.txt', '2 1 1 1', 'cannot be read'),
    ('bounding_boxes.txt', '7 1 1 2 2', "has no image '7'"),
    ('bounding_boxes.txt', '2 900 1 2 2', 'has nothing of'),
    ('bounding_boxes.txt', '2 1 1 -9 -9', 'has nothing of'),
  ],
)
def test_a_wrong_line_of_the_release_is_named(birds, file, line, message):
  root, _ = birds
  write(root.parent / 'photo.jpg')
  images = root / 'CUB_200_2011' / 'images'
  (images / 'link.jpg').symlink_to(root.parent / 'photo.jpg')
  (images / 'folder').symlink_to(root.parent)
  path = root / 'CUB_200_2011' / file
  lines = path.read_text().splitlines()
  path.write_text('\n'.join([lines[0], line, lines[2]]))
  with pytest.raises(InputError, match=f'line 2 of .*{file} .*{message}'):
    stackgan_release.load('train', root, SHAPE)


def test_captions_behind_a_link_out_of_the_release_are_refused(birds):
  root, _ = birds
  file = root / 'text_c10' / '001.A' / 'a_1.txt'
  file.rename(root.parent / 'private')
  file.symlink_to(root.parent / 'private')
  with pytest.raises(InputError, match=r"'001.A/a_1.txt' leads out of"):
    stackgan_release.load('train', root, SHAPE, words=3)


@pytest.mark.parametrize(
  'line',
  ['{"file": "a", "captions": {"b": 1}}', '[' * 100_000, 'null', '3', '""'],
)
def test_a_line_of_another_kind_is_named(folder, line):
  (folder / 'captions.jsonl').write_text(f'\n{line}\n')
  with pytest.raises(InputError, match='line 2 of .*captions.jsonl cannot be'):
    captioned_folder.load('train', folder, SHAPE)
