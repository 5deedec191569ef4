"""1,911 emoji of 64x64 pixels in two aligned renderings, embedded.

The renderings are Google's Noto and Twitter's Twemoji, RGB on white, in the
same order: image i of one style shows the same emoji as image i of the other.
Names, keywords and captions are those of Unicode CLDR. `embedded/emoji` holds
the licenses.

1,690 emoji are 'train' and 221 are 'test': a tenth, by a fixed hash of the
code points. Some emoji are drawn alike (the flags of Norway and Svalbard);
these share the hash of the first, so no test image occurs in 'train'.
'combinations' are the 71 of the test emoji whose names have words that all
occur in names of 'train', but never together: 'red circle', 'kissing cat'.

Format of `embedded/emoji`: `<style>_<k>.webp` is a lossless sheet of 8 x 8
emoji, row by row, with those numbered 64 k, ..., 64 k + 63; the last sheet is
filled with white. `table.json.gz` is gzipped JSON: 'sha256', the digest of
each sheet, and 'emoji', a list per column: 'codepoints' ('1F600' or
'1F1E6-1F1E8'), 'name', 'caption', 'keywords', 'category', 'subcategory' and
'drawn_as', the code points of the first emoji with the same drawing in either
style.
"""

import gzip
import hashlib
import io
import json
from typing import Any

import numpy as np
from PIL import Image

from gen_jax.data.checks import check_split
from gen_jax.data.datasets import embedded
from gen_jax.data.formats import images
from gen_jax.data.sources import Source, array_source
from gen_jax.data.text import captions
from gen_jax.errors import check_choice
from gen_jax.registry.fields import Count

STYLES = ('noto', 'twemoji')
SPLITS = ('train', 'test', 'combinations')

_SIZE = 64  # pixels
_SHEET = 8  # emoji along a side
_TABLE_SHA256 = (
  '97c73fd190fa34852dee2590c78fab47903a660f417fc379b65dac640c4db9f0'
)


def load(
  split: str,
  style: str = 'noto',
  shape: images.Shape = (64, 64, 3),
  words: Count = 0,
  sentence_model: str = '',
) -> Source:
  """Returns a split with 'image' and 'label', the index of the category.

  Args:
    split: 'train' (1,690 emoji), 'test' (221) or 'combinations' (71).
    style: 'noto' or 'twemoji'; both have the same emoji in the same order.
    shape: (H, W, C) of the images; another than 64x64x3 resizes them.
    words: of each caption, for a field 'text' as well, int32 [2, words, P]: the
      caption and the name, see `captions.py`; 0 for none.
    sentence_model: directory of a model, for a field 'embedding', float32
      [2, D], of the same two; see `sentences.py`.

  Raises:
    InputError: an unknown split or style, or an embedded file is damaged.
  """
  shape = images.check_shape(shape)
  check_split(split, SPLITS, 'emoji')
  check_choice('data.style', style, STYLES)
  content = _read_table()
  rows = _rows(content['emoji'], split)
  sheets = sorted(k for k in content['sha256'] if k.startswith(style + '_'))
  tiles = images.map_threads(
    lambda name: _read_sheet(name, content['sha256'][name]), sheets
  )
  image = np.concatenate(list(tiles))[rows]  # [N, 64, 64, 3]
  categories = content['emoji']['category']
  classes = tuple(sorted(set(categories)))
  label = np.array([classes.index(categories[i]) for i in rows], np.int32)
  arrays = {'image': images.fit_array(image, shape), 'label': label}
  if words or sentence_model:
    columns = [content['emoji'][k] for k in ('caption', 'name')]
    texts = [[column[i] for column in columns] for i in rows]
    arrays |= captions.encode(texts, words, model=sentence_model)
  return array_source(f'emoji {style}', split, arrays, classes)


def load_table(split: str) -> dict[str, list[Any]]:
  """Returns what is known of each emoji, in the order of `load`.

  Args:
    split: 'train', 'test' or 'combinations'.

  Returns:
    A list per column: 'name', 'caption' (the name and the keywords),
    'keywords' (a list of str), 'category', 'subcategory', 'codepoints', and
    'drawn_as' (see the module).

  Raises:
    InputError: an unknown split, or the embedded file is damaged.
  """
  check_split(split, SPLITS, 'emoji')
  table = _read_table()['emoji']
  rows = _rows(table, split)
  return {k: [column[i] for i in rows] for k, column in table.items()}


def _read_table() -> dict[str, Any]:
  data = embedded.read('emoji/table.json.gz', _TABLE_SHA256)
  return json.loads(gzip.decompress(data))


def _rows(table: dict[str, list[Any]], split: str) -> list[int]:
  rows: dict[bool, list[int]] = {False: [], True: []}
  for i, codepoints in enumerate(table['drawn_as']):
    rows[_is_test(codepoints)].append(i)
  if split != 'combinations':
    return rows[split == 'test']
  words = [frozenset(captions.split(name)) for name in table['name']]
  together = {words[i] for i in rows[False]}
  known = frozenset().union(*together)
  return [
    i
    for i in rows[True]
    if len(words[i]) > 1 and words[i] <= known and words[i] not in together
  ]


def _is_test(codepoints: str) -> bool:
  digest = hashlib.sha256(codepoints.encode()).digest()
  return int.from_bytes(digest, 'big') % 10 == 0


def _read_sheet(name: str, sha256: str) -> np.ndarray:
  """Returns the emoji of a sheet, [64, 64, 64, 3]."""
  with Image.open(io.BytesIO(embedded.read(f'emoji/{name}', sha256))) as image:
    sheet = np.asarray(image)
  tiles = sheet.reshape(_SHEET, _SIZE, _SHEET, _SIZE, 3)
  return tiles.swapaxes(1, 2).reshape(-1, _SIZE, _SIZE, 3)
