"""Captions as arrays: words, and the letters that they are made of.

A word stands for itself and for its n-grams of letters, each by a hash. So
there is no vocabulary to keep beside a model, no word is unknown, and words
that are spelt alike have parts in common (Bojanowski et al. 2016). Which row of
a table a hash is, the network says that has the table.
"""

import functools
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from gen_jax.errors import InputError

PIECES = 12  # of a word: itself and at most 11 n-grams
MOST = 10  # captions of an image that are kept

_N = 3  # letters of an n-gram
_LONGEST = 12  # letters of a word; a longer one is several


def split(caption: str) -> list[str]:
  """Returns the words of a caption in any script.

  Letters and digits next to each other are a word, in lower case; so is each
  ideograph, for there are no spaces between those, and each symbol, such as an
  emoji. Punctuation is none.
  """
  words, current = [], ''
  for c in unicodedata.normalize('NFKC', caption).casefold() + ' ':
    kind = unicodedata.category(c)[0]
    alone = kind == 'S' or unicodedata.east_asian_width(c) in 'WF'
    if kind in 'LMN' and not alone:
      current += c
      continue
    # A mark without a letter is no word, as that which colors an emoji.
    if any(unicodedata.category(x)[0] in 'LN' for x in current):
      words.append(current)
    current = ''
    if alone and kind in 'LMNS':
      words.append(c)
  return [
    word[i : i + _LONGEST]
    for word in words
    for i in range(0, len(word), _LONGEST)
  ]


def tokens(caption: str, words: int) -> np.ndarray:
  """Returns hashes, int32 [words, PIECES]; 0 is no word, or no piece.

  Further words are left out.
  """
  out = np.zeros((words, PIECES), np.int32)
  for row, word in zip(out, split(caption), strict=False):
    row[:] = _pieces(word)
  return out


def encode(
  captions: Iterable[Sequence[str]],
  words: int,
  names: Sequence[str] = (),
  model: str = '',
) -> dict[str, np.ndarray]:
  """Returns what the networks see of some captions of each image.

  Args:
    captions: of each image.
    words: that are read of each, for 'text'; 0 for none.
    names: of the images, for messages.
    model: directory of a model of sentences, for 'embedding'; '' for none.

  Returns:
    'text', int32 [N, K, words, PIECES], and 'embedding', float32 [N, K, D]. K
    is the most captions that an image has, or MOST; those of an image with
    fewer are repeated.

  Raises:
    InputError: an image without a caption, or only with captions without a
      word; `words` is less than 0; or the model cannot be read.
  """
  if words or not model:
    check_words(words)
  readable = [[c for c in some if split(c)][:MOST] for some in captions]
  empty = [i for i, some in enumerate(readable) if not some]
  if empty:
    shown = [names[i] if names else f'number {i}' for i in empty[:5]]
    more = f' and {len(empty) - 5} more' if len(empty) > 5 else ''
    raise InputError(
      f'data: {len(empty)} of {len(readable)} images have no caption with a '
      f'word in it: {", ".join(shown)}{more}.'
    )
  most, fields = max(map(len, readable)), {}
  if words:
    texts = [repeat(some, most, words) for some in readable]
    fields['text'] = np.stack(texts)
  if model:
    from gen_jax.data.text import (
      sentences,  # imports JAX, which data do not need
    )

    whole = [some[i % len(some)] for some in readable for i in range(most)]
    vectors = sentences.embed(whole, model)
    fields['embedding'] = vectors.reshape(len(readable), most, -1)
  return fields


def repeat(some: Sequence[str], count: int, words: int) -> np.ndarray:
  """Returns the tokens of `count` of an image's captions, [count, words, P].

  Some again where it has fewer; no word at all where it has none.
  """
  found = np.zeros((max(len(some), 1), words, PIECES), np.int32)
  for row, caption in zip(found, some[:count], strict=False):
    row[...] = tokens(caption, words)
  return found[np.arange(count) % min(len(found), count)]


def check_words(words: Any) -> None:
  """Raises InputError unless `words` is a number of words."""
  if not isinstance(words, int) or words < 1:
    raise InputError(f'data.words={words}: expected 1 or more.')


def read(sentences: Sequence[str], data: Mapping[str, Any]) -> dict[str, Any]:
  """Returns sentences as a batch of the data set has its captions.

  Args:
    sentences: of a user.
    data: the group `data` of the config.

  Returns:
    'text', int32 [N, 1, words, PIECES], where the data has words, and
    'embedding', float32 [N, 1, D], where it has a model of sentences.

  Raises:
    InputError: a sentence without a word, or data without captions that are
      read here.
  """
  words, model = data.get('words', 0), data.get('sentence_model', '')
  if not words and not model:
    raise InputError('--text: this model was not trained on words.')
  for sentence in sentences:
    if not split(sentence):
      raise InputError(f'--text="{sentence}": there is no word in it.')
  return encode([[s] for s in sentences], words, model=model)


@functools.lru_cache(maxsize=2**16)
def _pieces(word: str) -> tuple[int, ...]:
  whole = f'<{word}>'
  grams = [whole[i : i + _N] for i in range(len(whole) - _N + 1)]
  # A word of one letter is its own only n-gram.
  parts = [whole, *(g for g in grams if g != whole)][:PIECES]
  hashes = [zlib.crc32(p.encode()) & 0x7FFFFFFF or 1 for p in parts]
  return tuple(hashes + [0] * (PIECES - len(hashes)))
