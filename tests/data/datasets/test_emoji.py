"""Both renderings of the emoji are aligned, lossless and split for good."""

import collections
import os
import pathlib
import time

import numpy as np
import pytest

from gen_jax.data.datasets import emoji
from gen_jax.errors import InputError

ROOT = pathlib.Path(__file__).parents[3]
SHARED = pathlib.Path(
  os.environ.get('GEN_JAX_SHARED_DATA', ROOT / '../shared/data')
)


@pytest.mark.parametrize('style', emoji.STYLES)
@pytest.mark.parametrize(('split', 'count'), [('train', 1690), ('test', 221)])
def test_counts_and_fields(split, count, style):
  source = emoji.load(split, style)
  assert len(source) == count
  assert source.fields == {
    'image': ((64, 64, 3), np.uint8),
    'label': ((), np.int32),
  }
  assert source.summary().startswith(f'emoji {style} {split}: {count} images')


def test_classes_are_the_categories():
  source = emoji.load('train')
  assert len(source.classes) == 10
  assert list(source.classes) == sorted(source.classes)
  named = [source.classes[i] for i in source.arrays['label']]
  assert named == emoji.load_table('train')['category']


def test_the_splits_are_disjoint_complete_and_stable():
  train = emoji.load_table('train')
  test = emoji.load_table('test')
  codepoints = train['codepoints'] + test['codepoints']
  assert len(set(codepoints)) == len(codepoints) == 1911
  assert test['name'][:5] == [
    'smiling face with heart-eyes',
    'face in clouds',
    'smirking face',
    'shaking face',
    'head shaking vertically',
  ]
  assert train['name'][:3] == [
    'grinning face',
    'grinning face with big eyes',
    'grinning face with smiling eyes',
  ]


@pytest.mark.parametrize('style', emoji.STYLES)
def test_no_test_image_occurs_in_train(style):
  images = {
    split: {x.tobytes() for x in emoji.load(split, style).arrays['image']}
    for split in emoji.SPLITS
  }
  assert not images['train'] & images['test']


def test_the_styles_share_order_and_labels():
  noto, twemoji = (emoji.load('test', style) for style in emoji.STYLES)
  np.testing.assert_array_equal(noto.arrays['label'], twemoji.arrays['label'])
  # Two drawings of an emoji are closer than those of different ones.
  a, b = (
    x.arrays['image'].reshape(len(x), 16, 4, 16, 4, 3).mean((2, 4))
    for x in (noto, twemoji)
  )  # [N, 16, 16, 3]
  distance = np.abs(a[:, None] - b[None]).mean((2, 3, 4))  # [N, N]
  matched = np.diag(distance)
  assert matched.mean() < 0.6 * distance.mean()


def test_each_emoji_has_a_name_a_caption_and_keywords():
  table = emoji.load_table('test')
  assert {len(column) for column in table.values()} == {221}
  for name, caption, keywords in zip(
    table['name'], table['caption'], table['keywords'], strict=True
  ):
    assert caption.startswith(name)
    assert all(keyword in caption for keyword in keywords)
  assert collections.Counter(table['category'])['Flags'] == 30


def test_a_smaller_shape_resizes():
  full = emoji.load('test').arrays['image']
  small = emoji.load('test', shape=(16, 16, 1)).arrays['image']
  assert small.shape == (221, 16, 16, 1)
  assert small.mean() == pytest.approx(full.mean(), abs=3)


def test_loading_is_quick():
  start = time.perf_counter()
  emoji.load('train')
  assert time.perf_counter() - start < 5  # 0.2 s on an idle machine


def test_an_unknown_style_is_named():
  with pytest.raises(InputError, match="data.style='apple' .*: noto, twemoji"):
    emoji.load('train', 'apple')


def test_a_damaged_sheet_is_refused(tmp_path, monkeypatch):
  files = emoji.embedded.importlib.resources.files(emoji.embedded.__name__)
  (tmp_path / 'emoji').mkdir()
  for path in (files / 'emoji').iterdir():
    (tmp_path / 'emoji' / path.name).write_bytes(path.read_bytes())
  sheet = tmp_path / 'emoji' / 'twemoji_07.webp'
  damaged = bytearray(sheet.read_bytes())
  damaged[5000] ^= 1
  sheet.write_bytes(damaged)
  monkeypatch.setattr(
    emoji.embedded.importlib.resources, 'files', lambda package: tmp_path
  )
  with pytest.raises(InputError, match='twemoji_07.webp is damaged'):
    emoji.load('train', 'twemoji')
  assert len(emoji.load('train', 'noto')) == 1690


def test_the_sheets_are_lossless():
  file = SHARED / 'emoji' / 'emoji64.npz'
  if not file.exists():
    pytest.skip(f'{file}, which the sheets were packed from, is not here')
  original = np.load(file)
  row = {c: i for i, c in enumerate(original['codepoints'].tolist())}
  for split in emoji.SPLITS:
    table = emoji.load_table(split)
    rows = [row[c] for c in table['codepoints']]
    for style in emoji.STYLES:
      np.testing.assert_array_equal(
        emoji.load(split, style).arrays['image'], original[style][rows]
      )
    for column in ('name', 'caption', 'category', 'subcategory'):
      assert table[column] == original[column][rows].tolist()
