"""Vectors of sentences, by a model of a directory on this machine.

The directory is as Hugging Face and sentence-transformers write one of BERT's
kind, such as all-MiniLM-L6-v2:

  config.json, model.safetensors        the encoder
  tokenizer.json or vocab.txt           its pieces of words
  tokenizer_config.json, modules.json, sentence_bert_config.json,
  1_Pooling/config.json                 where they are

The pieces are by the library `tokenizers`, of the extra `text`.
"""

import dataclasses
import functools
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data import inputs
from gen_jax.data.formats import safetensors
from gen_jax.data.text import bert
from gen_jax.errors import InputError
from gen_jax.registry.fields import Field, Size, check, declared

_FIELD = 'data.sentence_model'
_BATCH = 64  # sentences in one dispatch
_TOKENIZER = 'tokenizer.json'


def embed(sentences: Sequence[str], path: str | pathlib.Path) -> np.ndarray:
  """Returns vectors of sentences, float32 [N, D], of mean square 1.

  A sentence longer than the model reads is cut, and a note says so.

  Args:
    sentences: in any script that the model knows.
    path: of the model's directory.

  Raises:
    InputError: no such directory, or a model of another kind.
  """
  model = _open(str(pathlib.Path(path).expanduser()))
  texts = list(dict.fromkeys(sentences))
  rows = model.tokens(texts)
  order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
  vectors: list[Any] = [None] * len(rows)
  for start in range(0, len(order), _BATCH):
    part = order[start : start + _BATCH]
    made = model.vectors([rows[i] for i in part])
    for i, vector in zip(part, made, strict=True):
      vectors[i] = vector
  by_text = dict(zip(texts, vectors, strict=True))
  return np.stack([by_text[sentence] for sentence in sentences])


@dataclasses.dataclass(frozen=True, eq=False)
class _Model:
  """A directory that was read.

  Attributes:
    weights: of the encoder.
    encode: `(weights, tokens, lengths) -> [B, L, D]`.
    pool: 'mean' or 'cls', the first token.
    tokenizer: of the library.
    file: of the tokenizer, for messages.
    longest: tokens that are read of a sentence.
  """

  weights: dict[str, jax.Array]
  encode: Any
  pool: str
  tokenizer: Any
  file: pathlib.Path
  longest: int

  def tokens(self, sentences: Sequence[str]) -> list[list[int]]:
    # The library takes no half of a surrogate pair.
    clean = [s.encode('utf-8', 'replace').decode() for s in sentences]
    with inputs.reading(self.file, _FIELD):
      encodings = self.tokenizer.encode_batch(clean)
      pieces = len(self.weights['embeddings.word_embeddings.weight'])
      # Parts of a tokenizer make tokens that are not in its vocabulary.
      for text, e in zip(clean, encodings, strict=True):
        if not e.ids or max(e.ids) >= pieces:
          raise ValueError(
            f'it makes the tokens {e.ids} of "{text[:40]}", and the model '
            f'knows {pieces}'
          )
    cut = [s for s, e in zip(clean, encodings, strict=True) if e.overflowing]
    if cut:
      print(
        f'{_FIELD}: of {len(cut)} of {len(clean)} sentences the first '
        f'{self.longest} tokens are read, as of "{cut[0][:40]}...".',
        file=sys.stderr,
      )
    return [e.ids for e in encodings]

  def vectors(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
    # One compiled program for each of a few sizes.
    length = min(_size(max(map(len, rows))), self.longest)
    tokens = np.zeros((_size(len(rows)), length), np.int32)
    for into, row in zip(tokens, rows, strict=False):
      into[: len(row)] = row
    lengths = np.ones(len(tokens), np.int32)
    lengths[: len(rows)] = [len(row) for row in rows]
    return np.asarray(self._vectors(self.weights, tokens, lengths))[: len(rows)]

  @functools.cached_property
  def _vectors(self):
    @jax.jit
    def run(weights, tokens, lengths):
      x = self.encode(weights, tokens, lengths)
      x = bert.mean(x, lengths) if self.pool == 'mean' else x[:, 0]
      square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
      return x * jax.lax.rsqrt(square + 1e-12)

    return run


def _size(count: int) -> int:
  """The least of 8, 16, 32, ... that is enough."""
  return 8 if count <= 8 else 2 ** (count - 1).bit_length()


@functools.lru_cache(maxsize=2)
def _open(path: str) -> _Model:
  root = pathlib.Path(path)
  if not root.is_dir():
    raise InputError(f'{_FIELD}: there is no directory "{path}".')
  file = root / 'config.json'
  config = bert.Config(**_entries(file, declared(bert.Config), needed=True))
  if config.hidden_size % config.num_attention_heads:
    raise InputError(
      f'{_FIELD}: {file}: hidden_size {config.hidden_size} cannot be divided '
      f'among {config.num_attention_heads} num_attention_heads.'
    )
  tokenizer = _tokenizer(root)  # first, for what is missing most often
  file = root / 'model.safetensors'
  weights = bert.check(safetensors.read(file, _FIELD), config, file, _FIELD)
  encode = functools.partial(bert.encode, config=config)
  longest = _longest(root, config, tokenizer)
  words = _tokenizer_file(root)
  with inputs.reading(words, _FIELD):
    pieces = max(tokenizer.get_vocab().values(), default=0) + 1
    if pieces > config.vocab_size:
      raise ValueError(
        f'it knows {pieces} pieces, and the model {config.vocab_size}'
      )
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
  weights = {k: jnp.asarray(x) for k, x in weights.items()}
  return _Model(weights, encode, _pool(root), tokenizer, words, longest)


def _longest(root: pathlib.Path, config: bert.Config, tokenizer: Any) -> int:
  """Returns how many tokens of a sentence are read."""
  file, name = root / 'sentence_bert_config.json', 'max_seq_length'
  most = _entries(file, {name: Field(Size | None, None)})[name] or 512
  most = min(most, config.max_position_embeddings)
  least = tokenizer.num_special_tokens_to_add(False) + 1
  if most < least:
    raise InputError(
      f'{_FIELD}: {file} and config.json allow {most} tokens; a sentence has '
      f'{least} or more.'
    )
  return most


def _entries(
  file: pathlib.Path, known: Mapping[str, Field], needed: bool = False
) -> dict[str, Any]:
  """Returns some entries of a JSON file, as they are declared."""
  found, values = _json(file, needed=needed), {}
  for name, field in known.items():
    values[name] = found.get(name, field.default)
    if name not in found and not field.has_default:
      raise InputError(f'{_FIELD}: {file}: {name!r} is missing.')
    check(field, values[name], f'{_FIELD}: {file}: {name}')
  return values


def _json(file: pathlib.Path, kind: type = dict, needed: bool = False) -> Any:
  if not needed and not os.path.exists(file):
    return kind()
  with inputs.reading(file, _FIELD):
    return inputs.parse_json(inputs.read_text(file), kind)


def _pool(root: pathlib.Path) -> str:
  """How the vectors of tokens become one."""
  file = root / 'modules.json'
  modules = _json(file, list)
  check(Field(tuple[dict, ...]), modules, f'{_FIELD}: {file}')
  for module in modules:
    kind = str(module.get('type', '')).split('.')[-1]
    if kind not in ('Transformer', 'Pooling', 'Normalize'):
      raise InputError(
        f'{_FIELD}: {file}: modules of the type {kind} are unknown.'
      )
  file = root / '1_Pooling' / 'config.json'
  modes = {
    k.removeprefix('pooling_mode_')
    for k, v in _json(file).items()
    if k.startswith('pooling_mode_') and v
  } or {'mean_tokens'}
  known = {'mean_tokens': 'mean', 'cls_token': 'cls'}
  if len(modes) > 1 or not modes <= set(known):
    raise InputError(
      f'{_FIELD}: {file} pools by {", ".join(sorted(modes))}; only the mean of '
      'the tokens or the first of them is known.'
    )
  return known[modes.pop()]


def _tokenizer_file(root: pathlib.Path) -> pathlib.Path:
  for name in (_TOKENIZER, 'vocab.txt'):
    if os.path.exists(root / name):
      return root / name
  raise InputError(
    f'{_FIELD}: {root} has neither a tokenizer.json nor a vocab.txt.'
  )


def _tokenizer(root: pathlib.Path) -> Any:
  try:
    import tokenizers
  except ImportError as error:
    raise InputError(
      f'{_FIELD}: needs the library tokenizers: pip install "gen_jax[text]".'
    ) from error
  file = _tokenizer_file(root)
  with inputs.reading(file, _FIELD):
    inputs.check_regular(file)
    if file.name == _TOKENIZER:
      return tokenizers.Tokenizer.from_file(str(file))
    file_of_case, name = root / 'tokenizer_config.json', 'do_lower_case'
    lower = _entries(file_of_case, {name: Field(bool, True)})[name]
    return tokenizers.BertWordPieceTokenizer(str(file), lowercase=lower)
