"""BERT's encoder (Devlin et al. 2018), of which MiniLM is a small one.

Blocks of self-attention and two dense layers, each added to its input and then
normalized (Vaswani et al. 2017, section 3.1). The weights are those of a file,
under the names of Hugging Face's BertModel.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import InputError
from gen_jax.registry.fields import Positive, Size, one_of

Weights = Mapping[str, jax.Array]

ACTIVATIONS = {
  'gelu': lambda x: jax.nn.gelu(x, approximate=False),
  'gelu_new': lambda x: jax.nn.gelu(x, approximate=True),
  'relu': jax.nn.relu,
}


class Config(NamedTuple):
  """The fields of a model's config.json, under its names."""

  model_type: Literal['bert']
  vocab_size: Size
  hidden_size: Size
  num_hidden_layers: Size
  num_attention_heads: Size
  intermediate_size: Size
  max_position_embeddings: Size
  type_vocab_size: Size
  hidden_act: Annotated[str, one_of(ACTIVATIONS)] = 'gelu'
  position_embedding_type: Literal['absolute'] | None = None
  layer_norm_eps: Positive = 1e-12


def encode(
  weights: Weights,
  tokens: jax.Array,
  lengths: jax.Array,
  config: Config,
) -> jax.Array:
  """Returns a vector of each token, [B, L] -> [B, L, D].

  Args:
    weights: by name, see `names`.
    tokens: int [B, L], rows of the table; each text's first, then anything.
    lengths: of the texts, int [B], 1 or more; what comes after is not seen.
    config: of the model.
  """

  def dense(x, name):
    kernel = weights[f'{name}.weight'].T  # of [out, in]
    x = jnp.matmul(x, kernel, precision='highest')
    return x + weights[f'{name}.bias']

  def normal(x, name):
    x -= jnp.mean(x, axis=-1, keepdims=True)
    x *= jax.lax.rsqrt(
      jnp.mean(x * x, axis=-1, keepdims=True) + config.layer_norm_eps
    )
    return x * weights[f'{name}.weight'] + weights[f'{name}.bias']

  def split(x):  # [B, L, D] -> [B, L, heads, D / heads]
    return x.reshape(*x.shape[:2], config.num_attention_heads, -1)

  length = tokens.shape[1]
  mask = jnp.arange(length) < lengths[:, None]  # [B, L]
  x = weights['embeddings.word_embeddings.weight'][tokens]
  x += weights['embeddings.position_embeddings.weight'][:length]
  x += weights['embeddings.token_type_embeddings.weight'][0]
  x = normal(x, 'embeddings.LayerNorm')
  for index in range(config.num_hidden_layers):
    block = f'encoder.layer.{index}'
    query, key, value = (
      split(dense(x, f'{block}.attention.self.{name}'))
      for name in ('query', 'key', 'value')
    )
    logits = jnp.einsum('bqhd,bkhd->bhqk', query, key, precision='highest')
    logits /= jnp.sqrt(query.shape[-1])
    logits = jnp.where(mask[:, None, None], logits, -jnp.inf)
    attention = jax.nn.softmax(logits)
    mixed = jnp.einsum('bhqk,bkhd->bqhd', attention, value, precision='highest')
    y = dense(mixed.reshape(x.shape), f'{block}.attention.output.dense')
    x = normal(x + y, f'{block}.attention.output.LayerNorm')
    y = ACTIVATIONS[config.hidden_act](dense(x, f'{block}.intermediate.dense'))
    y = dense(y, f'{block}.output.dense')
    x = normal(x + y, f'{block}.output.LayerNorm')
  return x


def mean(x: jax.Array, lengths: jax.Array) -> jax.Array:
  """Means over the tokens of each text, [B, L, D] -> [B, D]."""
  mask = jnp.arange(x.shape[1]) < lengths[:, None]
  total = jnp.sum(jnp.where(mask[..., None], x, 0), axis=1)
  return total / lengths[:, None]


def shapes(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
  """Yields name and shape of each weight that is read."""
  width, inner = config.hidden_size, config.intermediate_size
  tables = {
    'word': config.vocab_size,
    'position': config.max_position_embeddings,
    'token_type': config.type_vocab_size,
  }
  for name, rows in tables.items():
    yield f'embeddings.{name}_embeddings.weight', (rows, width)
  yield from _layer('embeddings.LayerNorm', (width,))
  layers = {
    'attention.self.query': (width, width),
    'attention.self.key': (width, width),
    'attention.self.value': (width, width),
    'attention.output.dense': (width, width),
    'attention.output.LayerNorm': (width,),
    'intermediate.dense': (inner, width),
    'output.dense': (width, inner),
    'output.LayerNorm': (width,),
  }
  for index in range(config.num_hidden_layers):
    for name, shape in layers.items():
      yield from _layer(f'encoder.layer.{index}.{name}', shape)


def _layer(name, shape):
  yield f'{name}.weight', shape
  yield f'{name}.bias', shape[:1]


def check(
  arrays: Mapping[str, np.ndarray], config: Config, file: Any, field: str
) -> dict[str, np.ndarray]:
  """Returns the weights of the encoder among the arrays of a file.

  It ends at the first that is missing, also of a config with many layers.

  Raises:
    InputError: one is missing, or of another shape than the config's.
  """
  found = {}
  for name, shape in shapes(config):
    x = arrays.get(name, arrays.get(f'bert.{name}'))
    if x is None or x.shape != shape:
      what = 'missing' if x is None else f'of {x.shape}'
      raise InputError(
        f'{field}: {file}: the weight {name} is {what}; expected {shape} as '
        'by config.json.'
      )
    found[name] = x
  return found
