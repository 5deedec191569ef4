"""BERT's encoder (Devlin et al. 2018), of which MiniLM is a small one.

Blocks of self-attention and two dense layers, each added to its input and then
normalised (Vaswani et al. 2017, section 3.1). The weights are those of a file,
under the names of Hugging Face's BertModel.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import InputError

Weights = Mapping[str, jax.Array]

ACTIVATIONS = {
  'gelu': lambda x: jax.nn.gelu(x, approximate=False),
  'gelu_new': lambda x: jax.nn.gelu(x, approximate=True),
  'relu': jax.nn.relu,
}


def encode(
  weights: Weights,
  tokens: jax.Array,
  lengths: jax.Array,
  *,
  layers: int,
  heads: int,
  activation: str = 'gelu',
  epsilon: float = 1e-12,
) -> jax.Array:
  """Returns a vector of each token, [B, L] -> [B, L, D].

  Args:
    weights: by name, see `names`.
    tokens: int [B, L], rows of the table; each text's first, then anything.
    lengths: of the texts, int [B], 1 or more; what comes after is not seen.
    layers: blocks.
    heads: of the attention.
    activation: of `ACTIVATIONS`.
    epsilon: beneath the variances.
  """

  def dense(x, name):
    kernel = weights[f'{name}.weight'].T  # of [out, in]
    x = jnp.matmul(x, kernel, precision='highest')
    return x + weights[f'{name}.bias']

  def normal(x, name):
    x -= jnp.mean(x, axis=-1, keepdims=True)
    x *= jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon)
    return x * weights[f'{name}.weight'] + weights[f'{name}.bias']

  def split(x):  # [B, L, D] -> [B, L, heads, D / heads]
    return x.reshape(*x.shape[:2], heads, -1)

  length = tokens.shape[1]
  there = jnp.arange(length) < lengths[:, None]  # [B, L]
  x = weights['embeddings.word_embeddings.weight'][tokens]
  x += weights['embeddings.position_embeddings.weight'][:length]
  x += weights['embeddings.token_type_embeddings.weight'][0]
  x = normal(x, 'embeddings.LayerNorm')
  for index in range(layers):
    block = f'encoder.layer.{index}'
    query, key, value = (
      split(dense(x, f'{block}.attention.self.{name}'))
      for name in ('query', 'key', 'value')
    )
    logits = jnp.einsum('bqhd,bkhd->bhqk', query, key, precision='highest')
    logits /= jnp.sqrt(query.shape[-1])
    logits = jnp.where(there[:, None, None], logits, -jnp.inf)
    share = jax.nn.softmax(logits)
    seen = jnp.einsum('bhqk,bkhd->bqhd', share, value, precision='highest')
    y = dense(seen.reshape(x.shape), f'{block}.attention.output.dense')
    x = normal(x + y, f'{block}.attention.output.LayerNorm')
    y = ACTIVATIONS[activation](dense(x, f'{block}.intermediate.dense'))
    y = dense(y, f'{block}.output.dense')
    x = normal(x + y, f'{block}.output.LayerNorm')
  return x


def mean(x: jax.Array, lengths: jax.Array) -> jax.Array:
  """Means over the tokens of each text, [B, L, D] -> [B, D]."""
  there = jnp.arange(x.shape[1]) < lengths[:, None]
  total = jnp.sum(jnp.where(there[..., None], x, 0), axis=1)
  return total / lengths[:, None]


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
  """Returns the shape of each weight that is read, for a model's config.json.

  Raises:
    KeyError: a number is missing.
  """
  width, inner = config['hidden_size'], config['intermediate_size']
  tables = {
    'word': config['vocab_size'],
    'position': config['max_position_embeddings'],
    'token_type': config['type_vocab_size'],
  }
  out = {
    f'embeddings.{name}_embeddings.weight': (rows, width)
    for name, rows in tables.items()
  }
  layers = {'embeddings.LayerNorm': (width,)}
  for index in range(config['num_hidden_layers']):
    block = f'encoder.layer.{index}'
    layers |= {
      f'{block}.attention.self.query': (width, width),
      f'{block}.attention.self.key': (width, width),
      f'{block}.attention.self.value': (width, width),
      f'{block}.attention.output.dense': (width, width),
      f'{block}.attention.output.LayerNorm': (width,),
      f'{block}.intermediate.dense': (inner, width),
      f'{block}.output.dense': (width, inner),
      f'{block}.output.LayerNorm': (width,),
    }
  for name, shape in layers.items():
    out |= {f'{name}.weight': shape, f'{name}.bias': shape[:1]}
  return out


def check(
  arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], field: str
) -> dict[str, np.ndarray]:
  """Returns the weights of the encoder among the arrays of a file.

  Raises:
    InputError: one is missing, or of another shape than the config's.
  """
  found = {}
  for name, shape in shapes(config).items():
    x = arrays.get(name, arrays.get(f'bert.{name}'))
    if x is None or x.shape != shape:
      what = 'missing' if x is None else f'of {x.shape}'
      raise InputError(
        f'{field}: the weight {name} is {what}; expected {shape} as by '
        'config.json.'
      )
    found[name] = x
  return found
