"""Words of any script become hashes; no text can break that."""

import numpy as np
import pytest

from gen_jax.data.datasets import emoji
from gen_jax.data.text import captions
from gen_jax.errors import InputError


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('A Red  heart!', ['a', 'red', 'heart']),
    (
      'smiling face with heart-eyes',
      ['smiling', 'face', 'with', 'heart', 'eyes'],
    ),
    ('let’s go_on', ['let', 's', 'go', 'on']),
    ('напуганный кот', ['напуганный', 'кот']),
    ('红色的心', ['红', '色', '的', '心']),
    ('कुत्ता', ['कुत्ता']),
    ('❤️ 😀', ['❤', '😀']),
    ('ｆｕｌｌ width', ['full', 'width']),
    ('', []),
    (' ... ,\n', []),
    ('\udcff\x00', []),
    ('x' * 30, ['x' * 12, 'x' * 12, 'x' * 6]),
  ],
)
def test_a_caption_is_split_into_words(text, words):
  found = captions.split(text)
  assert found[-len(words) :] == words if words else found == []


def test_a_word_is_itself_and_its_n_grams():
  smile, smiling, other = (
    captions.tokens(w, 2) for w in ('smile', 'smiling', 'cat')
  )
  assert smile.shape == (2, captions.PIECES) and smile.dtype == np.int32
  assert (smile >= 0).all() and (smile[1] == 0).all()
  assert np.count_nonzero(smile[0]) == 1 + 5  # <smile>; <sm smi mil ile le>
  shared = set(smile[0]) & set(smiling[0]) - {0}
  assert len(shared) == 3  # <sm smi mil
  assert not set(smile[0]) & set(other[0]) - {0}


def test_hashes_are_the_same_for_ever():
  assert captions.tokens('cat', 1)[0, :2].tolist() == [1212676665, 643148876]


def test_a_long_caption_is_cut_and_a_short_one_padded():
  long = captions.tokens('a red heart ' * 1000, 4)
  np.testing.assert_array_equal(long, captions.tokens('a red heart a', 4))
  assert np.count_nonzero(captions.tokens('a', 4).any(axis=1)) == 1


def test_captions_of_an_image_are_repeated_to_one_number():
  out = captions.encode([['a', 'b', ''], ['c']], words=2)['text']
  assert out.shape == (2, 2, 2, captions.PIECES)
  np.testing.assert_array_equal(out[1, 0], out[1, 1])
  assert (out[0, 0] != out[0, 1]).any()
  nothing = captions.repeat([], 3, 2)
  assert nothing.shape == (3, 2, captions.PIECES) and not nothing.any()


def test_an_image_without_a_word_is_named():
  with pytest.raises(InputError, match=r'1 of 2 images have no .*: b.png'):
    captions.encode([['a'], ['...', '']], 2, ['a.png', 'b.png'])
  with pytest.raises(InputError, match='data.words=0'):
    captions.encode([['a']], 0)


def test_sentences_of_a_user_are_checked():
  assert captions.read(['red'], {'words': 3})['text'].shape[:3] == (1, 1, 3)
  for text in ('', '?!'):
    with pytest.raises(InputError, match='no word in it'):
      captions.read([text], {'words': 3})
  with pytest.raises(InputError, match='not trained on words'):
    captions.read(['red'], {})


def test_emoji_have_their_captions_and_combinations_are_new():
  source = emoji.load('combinations', shape=(8, 8, 3), words=5)
  table = emoji.load_table('combinations')
  assert len(source) == len(table['name']) == 71
  assert source.fields['text'] == ((2, 5, captions.PIECES), np.int32)
  row = table['name'].index('red circle')
  np.testing.assert_array_equal(
    source.arrays['text'][row, 1], captions.tokens('red circle', 5)
  )
  seen = emoji.load_table('train')['name']
  assert 'red circle' not in seen
  words = {w for name in seen for w in captions.split(name)}
  assert {'red', 'circle'} <= words
  assert set(table['codepoints']) <= set(emoji.load_table('test')['codepoints'])
