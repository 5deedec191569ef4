"""Text encoders: captions [B, ...] -> vectors [B, E].

Each encoder names the field of a batch that it takes, `field`. Objectives pass
it one caption of each image from that field.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import InputError
from gen_jax.models.layers.linear import Dense
from gen_jax.registry.fields import Decay, Dtype, Size


class Encoder(nn.Module):
  """Encodes the tokens of `data/text/captions.py`.

  The vector of a word is the sum of the embeddings of its pieces (the word and
  its n-grams) over the root of their number. A dense layer adds the context of
  the two neighboring words. The mean over the words, by learned weights, passes
  through two dense layers. The output has mean square 1.

  Attributes:
    features: E, the size of the output.
    buckets: rows of the embedding table, into which pieces are hashed.
    width: size of the vector of a word.
    hidden: units of the layer before the last.
    dropout: fraction of the words that is dropped in training.
  """

  features: Size = 128
  buckets: Size = 16_384
  width: Size = 96
  hidden: Size = 256
  dropout: Decay = 0.2
  dtype: Dtype = None

  field: ClassVar[str] = 'text'

  @nn.compact
  def __call__(self, tokens: jax.Array, train: bool = False) -> jax.Array:
    """Returns vectors [B, E] of tokens [B, words, pieces]; 0 is no piece."""
    present = tokens > 0  # [B, W, P]
    table = nn.Embed(
      self.buckets,
      self.width,
      embedding_init=nn.initializers.normal(1.0),
      name='table',
    )
    # Cast after the lookup: the gradient of a row is a sum over its tokens.
    rows = jnp.remainder(tokens, self.buckets)
    x = table(rows).astype(self.dtype or jnp.float32)
    x = jnp.where(present[..., None], x, 0)
    # Over the root, so that long and short words have vectors of equal size.
    pieces = jnp.sum(present, axis=-1, keepdims=True)  # [B, W, 1]
    x = jnp.sum(x, axis=2) / jnp.sqrt(jnp.maximum(pieces, 1))
    words = pieces > 0
    if train and self.dropout:
      key = self.make_rng('dropout')
      kept = words & jax.random.bernoulli(key, 1 - self.dropout, words.shape)
      words = jnp.where(jnp.any(kept, axis=1, keepdims=True), kept, words)
    x = jnp.where(words, x, 0)

    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    context = jnp.concatenate([padded[:, :-2], x, padded[:, 2:]], axis=-1)
    x += nn.silu(Dense(self.width, dtype=self.dtype, name='context')(context))
    weight = nn.sigmoid(Dense(1, dtype=self.dtype, name='weight')(x))
    weight = jnp.where(words, weight, 0)
    total = jnp.maximum(jnp.sum(weight, axis=1), 1e-6)
    x = jnp.sum(weight * x, axis=1) / total  # [B, width], 0 without any word
    x = nn.silu(Dense(self.hidden, dtype=self.dtype, name='hidden')(x))
    x = Dense(self.features, dtype=self.dtype, name='out')(x)
    return unit(x.astype(jnp.float32))


class PrecomputedEmbedding(nn.Module):
  """Returns the caption vectors of the data unchanged; it has no parameters."""

  field: ClassVar[str] = 'embedding'

  @nn.compact
  def __call__(self, vectors: jax.Array, train: bool = False) -> jax.Array:
    """Returns the vectors, [B, E]."""
    del train
    return vectors


def unit(x: jax.Array) -> jax.Array:
  """Returns x with the last axis scaled to mean square 1; 0 stays 0."""
  return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-8)


def choose(captions: jax.Array, key: jax.Array) -> jax.Array:
  """Returns a random caption of each image, [B, K, ...] -> [B, ...]."""
  count, choices = captions.shape[:2]
  index = jax.random.randint(key, (count,), 0, choices)
  # Along an axis, so that each device chooses among its own captions.
  index = index.reshape(-1, *[1] * (captions.ndim - 1))
  return jnp.take_along_axis(captions, index, axis=1)[:, 0]


def first(captions: jax.Array) -> jax.Array:
  """Returns the first caption of each image, [B, K, ...] -> [B, ...]."""
  return captions[:, 0]


def check_captioned(batch: Any, encoder: nn.Module) -> None:
  """Raises InputError unless a batch has the field of the encoder."""
  if encoder.field not in batch:
    fix = {
      'text': 'captions: set data.words to the number of words of each caption',
      'embedding': 'vectors of captions: set data.sentence_model, or take '
      'data with embeddings',
    }[encoder.field]
    raise InputError(
      f'objective.text: {type(encoder).__name__} needs '
      f'batch["{encoder.field}"], and the data has no {fix}.'
    )
