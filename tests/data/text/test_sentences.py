"""A model of sentences from a directory, beside its mathematics in NumPy."""

import json
import pathlib
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from gen_jax import config as config_lib
from gen_jax.data.datasets import emoji
from gen_jax.data.formats import safetensors
from gen_jax.data.text import bert, captions, sentences
from gen_jax.errors import InputError

CONFIG = {
  'model_type': 'bert',
  'vocab_size': 12,
  'hidden_size': 8,
  'num_hidden_layers': 2,
  'num_attention_heads': 2,
  'intermediate_size': 16,
  'max_position_embeddings': 24,
  'type_vocab_size': 2,
  'layer_norm_eps': 1e-12,
}
PIECES = (
  '[PAD] [UNK] [CLS] [SEP] [MASK] a red blue heart ##s кот 心'
).split()  # fmt: skip


def draw():
  random = np.random.default_rng(0)
  return {
    name: random.normal(0, 0.5, shape)
    for name, shape in bert.shapes(bert.Config(**CONFIG))
  }


def write(path, arrays, dtype='<f4', kind='F32'):
  """By the format's description, with numbers that are not read."""
  data, header = b'', {'__metadata__': {'format': 'pt'}}
  rows = np.arange(3, dtype='<i8')
  for name, x, of in [
    ('position_ids', rows, 'I64'),
    *((k, x.astype(dtype), kind) for k, x in arrays.items()),
  ]:
    places = [len(data), len(data) + x.nbytes]
    header[name] = dict(dtype=of, shape=x.shape, data_offsets=places)
    data += x.tobytes()
  head = json.dumps(header).encode() + b'  '
  path.write_bytes(len(head).to_bytes(8, 'little') + head + data)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  root = tmp_path_factory.mktemp('model')
  (root / 'config.json').write_text(json.dumps(CONFIG))
  (root / 'vocab.txt').write_text('\n'.join(PIECES), 'utf-8')
  write(root / 'model.safetensors', {f'bert.{k}': x for k, x in draw().items()})
  return root


@pytest.fixture
def copy(model, tmp_path):
  shutil.copytree(model, tmp_path, dirs_exist_ok=True)
  return tmp_path


def expected(weights, tokens):
  """One text's vectors in float64, a head at a time."""

  def dense(x, name):
    return x @ weights[f'{name}.weight'].T + weights[f'{name}.bias']

  def normal(x, name):
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    return x * weights[f'{name}.weight'] + weights[f'{name}.bias']

  x = weights['embeddings.word_embeddings.weight'][tokens]
  x = x + weights['embeddings.position_embeddings.weight'][: len(tokens)]
  x = x + weights['embeddings.token_type_embeddings.weight'][0]
  x = normal(x, 'embeddings.LayerNorm')
  for i in range(2):
    block = f'encoder.layer.{i}'
    q, k, v = (
      dense(x, f'{block}.attention.self.{n}') for n in ('query', 'key', 'value')
    )
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
      share = np.exp(q[:, part] @ k[:, part].T / 2)
      heads.append(share / share.sum(1, keepdims=True) @ v[:, part])
    y = dense(np.concatenate(heads, 1), f'{block}.attention.output.dense')
    x = normal(x + y, f'{block}.attention.output.LayerNorm')
    y = dense(x, f'{block}.intermediate.dense')
    y = y * (1 + erf(y / np.sqrt(2))) / 2
    x = normal(
      x + dense(y, f'{block}.output.dense'), f'{block}.output.LayerNorm'
    )
  return x


def test_the_encoder_is_berts():
  weights, tokens = draw(), np.array([[2, 5, 6, 8, 3], [2, 7, 3, 11, 9]])
  lengths = np.array([5, 3])
  run = jax.jit(lambda *a: bert.encode(*a, bert.Config(**CONFIG)))
  small = {k: jnp.asarray(x, jnp.float32) for k, x in weights.items()}
  made = run(small, tokens, lengths)
  means = bert.mean(made, lengths)
  for row, length in enumerate(lengths):  # what follows a text is not seen
    exact = expected(weights, tokens[row, :length])
    np.testing.assert_allclose(made[row, :length], exact, atol=2e-5)
    np.testing.assert_allclose(means[row], exact.mean(0), atol=2e-5)


def test_types_of_a_file(tmp_path):
  x = {'w': np.arange(6.0).reshape(2, 3)}
  for dtype, kind in (
    ('<f8', 'F64'),
    ('<f4', 'F32'),
    ('<f2', 'F16'),
    (jnp.bfloat16, 'BF16'),
  ):
    write(tmp_path / 'a', x, dtype, kind)
    found = safetensors.read(tmp_path / 'a', 'f')
    assert list(found) == ['w'] and found['w'].dtype == np.float32
    np.testing.assert_array_equal(found['w'], x['w'])


def test_damaged_files_are_named(tmp_path):
  write(tmp_path / 'whole', {'w': np.zeros((2, 3))})
  whole = (tmp_path / 'whole').read_bytes()
  bad = tmp_path / 'bad'
  for data in (b'', whole[:40], whole[:-4], b'\xff' * 100):
    bad.write_bytes(data)
    with pytest.raises(InputError, match='f: .*bad cannot be read'):
      safetensors.read(bad, 'f')


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e300])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
  write(tmp_path / 'a', {'w': np.array([0, value])}, '<f8', 'F64')
  with pytest.raises(InputError, match='a cannot .* w has numbers that are no'):
    safetensors.read(tmp_path / 'a', 'f')


@pytest.mark.parametrize('offsets', [[-4, 8], [0, 4], [8, 0], [0, 400], [0]])
def test_wrong_places_of_weights_are_refused(tmp_path, offsets):
  entry = dict(dtype='F32', shape=[2], data_offsets=offsets)
  head = json.dumps({'w': entry, 'v': {**entry, 'data_offsets': [0, 8]}})
  data = len(head).to_bytes(8, 'little') + head.encode() + bytes(16)
  (tmp_path / 'a').write_bytes(data)
  with pytest.raises(InputError, match='f: .*a cannot be read'):
    safetensors.read(tmp_path / 'a', 'f')


def test_a_header_that_is_nested_or_claimed_too_large_is_refused(tmp_path):
  deep = b'[' * 100_000
  for head, size in ((deep, len(deep)), (b'{}', 2**62)):
    (tmp_path / 'a').write_bytes(size.to_bytes(8, 'little') + head)
    with pytest.raises(InputError, match='f: .*a cannot be read'):
      safetensors.read(tmp_path / 'a', 'f')


def test_sentences_become_vectors(model, capsys):
  pytest.importorskip('tokenizers')
  texts = ['a red heart', 'Hearts', 'a red heart', 'кот 心', 'dog \udcff', '']
  vectors = sentences.embed(texts, model)
  rows = [[5, 6, 8], [8, 9], [5, 6, 8], [10, 11], [1, 1], []]
  for vector, row in zip(vectors, rows, strict=True):
    exact = expected(draw(), [2, *row, 3]).mean(0)
    exact /= np.sqrt(np.mean(exact**2))
    np.testing.assert_allclose(vector, exact, atol=1e-4)
  # Of a long one as much is read as there are positions.
  long = sentences.embed(['a ' * n for n in (22, 23, 10_000)], model)
  np.testing.assert_array_equal(long[0], long[2])
  np.testing.assert_array_equal(long[0], long[1])
  assert 'of 2 of 3 sentences the first 24 tokens' in capsys.readouterr().err
  many = sentences.embed(['a ' * (i % 20) + 'red' for i in range(99)], model)
  alone = sentences.embed(['a a red'], model)
  np.testing.assert_allclose(many[2], alone[0], atol=1e-5)


def test_other_tokenizers_and_pooling(copy):
  tokenizers = pytest.importorskip('tokenizers')
  mean = sentences.embed(['Red heart'], copy)
  whole = tokenizers.BertWordPieceTokenizer(str(copy / 'vocab.txt'))
  whole.enable_padding(length=20)
  whole.enable_truncation(3)
  whole.save(str(copy / 'tokenizer.json'))
  (copy / 'vocab.txt').unlink()
  sentences._open.cache_clear()
  np.testing.assert_array_equal(sentences.embed(['Red heart'], copy), mean)

  (copy / '1_Pooling').mkdir()
  pooling = copy / '1_Pooling' / 'config.json'
  pooling.write_text('{"pooling_mode_cls_token": true}')
  sentences._open.cache_clear()
  first = expected(draw(), [2, 6, 8, 3])[0]
  first /= np.sqrt(np.mean(first**2))
  made = sentences.embed(['red heart'], copy)
  np.testing.assert_allclose(made[0], first, atol=1e-4)
  pooling.write_text('{"pooling_mode_max_tokens": true}')
  sentences._open.cache_clear()
  with pytest.raises(InputError, match='pools by max_tokens'):
    sentences.embed(['a'], copy)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'model_type': 'mpnet'}, "model_type='mpnet': it is unknown.*bert"),
    ({'hidden_act': 'tanh'}, "hidden_act='tanh': it is unknown"),
    ({'hidden_size': 10}, r'is of \(12, 8\); expected \(12, 10\)'),
    ({'hidden_size': '8'}, "config.json: hidden_size='8': expected a whole"),
    ({'num_attention_heads': 3}, 'cannot be divided among 3'),
    ({'num_hidden_layers': 10**8}, 'encoder.layer.2.* is missing'),
    ({'layer_norm_eps': float('nan')}, 'layer_norm_eps=nan: expected'),
    ({'hidden_act': ['gelu']}, 'hidden_act=.*: expected text'),
    ({'num_hidden_layers': 3}, 'encoder.layer.2.* is missing'),
    ({'num_attention_heads': None}, "'num_attention_heads' is missing"),
  ],
)
def test_models_of_another_kind_are_refused(copy, change, message):
  pytest.importorskip('tokenizers')
  config = {k: v for k, v in {**CONFIG, **change}.items() if v is not None}
  (copy / 'config.json').write_text(json.dumps(config))
  with pytest.raises(InputError, match=f'data.sentence_model: .*{message}'):
    sentences.embed(['a'], copy)


def test_what_is_missing_is_named(copy, monkeypatch):
  def refused(message):
    with pytest.raises(InputError, match=f'data.sentence_model: .*{message}'):
      sentences.embed(['a'], copy)

  with pytest.raises(InputError, match='no directory "/nowhere"'):
    sentences.embed(['a'], '/nowhere')
  with monkeypatch.context() as patch:
    patch.setitem(sys.modules, 'tokenizers', None)
    refused(r'pip install "gen_jax\[text\]"')
  pytest.importorskip('tokenizers')
  (copy / 'vocab.txt').unlink()
  refused('neither a tokenizer.json nor a vocab.txt')
  (copy / 'tokenizer.json').write_text('{}')
  refused('tokenizer.json cannot be read')
  (copy / 'config.json').write_text('{')
  refused('config.json cannot be read')


def test_captions_carry_their_vectors(model):
  pytest.importorskip('tokenizers')
  source = emoji.load('combinations', shape=(8, 8, 3), sentence_model=model)
  assert source.fields['embedding'] == ((2, 8), np.float32)
  assert 'text' not in source.fields
  names = emoji.load_table('combinations')['name']
  exact = sentences.embed(names, model)
  np.testing.assert_allclose(source.arrays['embedding'][:, 1], exact, atol=1e-5)
  both = captions.read(['a red heart'], {'words': 3, 'sentence_model': model})
  assert both['text'].shape == (1, 1, 3, captions.PIECES)
  assert both['embedding'].shape == (1, 1, 8)
  with pytest.raises(InputError, match='no word in it'):
    captions.read(['?!'], {'sentence_model': model})


@pytest.mark.parametrize('variant', ['minilm', 'folder_minilm'])
def test_a_config_without_a_reader_of_its_own(variant):
  root = pathlib.Path(__file__).parents[3]
  config = config_lib.load(f'{root}/configs/stackgan.py:{variant}')
  config_lib.apply(config, [('data.sentence_model', '/models/minilm')])
  names = [dict(stage)['objective']['text']['name'] for stage in config.stages]
  assert names == ['text.PrecomputedEmbedding'] * 2
