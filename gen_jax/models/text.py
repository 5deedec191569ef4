"""Networks that read captions: [B, ...] -> [B, E].

Each says which field of a batch it reads, `field`, with which the objectives
give it one caption of each image.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.errors import InputError
from gen_jax.models.layers.linear import Dense
from gen_jax.registry.fields import Decay, Dtype, Size


class Encoder(nn.Module):
  """Reads the words of `data/text/captions.py`.

  A word's vector is the mean over its pieces, itself and its n-grams, of the
  rows of a table; words then see the ones beside them, and the mean of all, by
  learned weights, is read by two dense layers. The output has mean square 1.

  Attributes:
    features: E.
    buckets: rows of the table; a piece has that of its hash.
    width: of a word's vector.
    hidden: of the layer before the last.
    dropout: share of the words that are left out in training.
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
    there = tokens > 0  # [B, W, P]
    table = nn.Embed(
      self.buckets,
      self.width,
      embedding_init=nn.initializers.normal(1.0),
      name='table',
    )
    # Cast after the lookup: the gradient of a row is a sum over its tokens.
    x = table(tokens % self.buckets).astype(self.dtype or jnp.float32)
    x = jnp.where(there[..., None], x, 0)
    # By the root, so that a long word is as large as a short one.
    pieces = jnp.sum(there, axis=-1, keepdims=True)  # [B, W, 1]
    x = jnp.sum(x, axis=2) / jnp.sqrt(jnp.maximum(pieces, 1))
    words = pieces > 0
    if train and self.dropout:
      key = self.make_rng('dropout')
      kept = words & jax.random.bernoulli(key, 1 - self.dropout, words.shape)
      words = jnp.where(jnp.any(kept, axis=1, keepdims=True), kept, words)
    x = jnp.where(words, x, 0)

    wide = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
    beside = jnp.concatenate([wide[:, :-2], x, wide[:, 2:]], axis=-1)
    x += nn.silu(Dense(self.width, dtype=self.dtype, name='beside')(beside))
    weight = nn.sigmoid(Dense(1, dtype=self.dtype, name='weight')(x))
    weight = jnp.where(words, weight, 0)
    total = jnp.maximum(jnp.sum(weight, axis=1), 1e-6)
    x = jnp.sum(weight * x, axis=1) / total  # [B, width], 0 without any word
    x = nn.silu(Dense(self.hidden, dtype=self.dtype, name='hidden')(x))
    x = Dense(self.features, dtype=self.dtype, name='out')(x)
    return unit(x.astype(jnp.float32))


class Given(nn.Module):
  """Takes vectors of the data as they are; it has no parameters."""

  field: ClassVar[str] = 'embedding'

  @nn.compact
  def __call__(self, vectors: jax.Array, train: bool = False) -> jax.Array:
    del train
    return vectors


def unit(x: jax.Array) -> jax.Array:
  """Scales the last axis to mean square 1; 0 stays 0."""
  return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), -1, keepdims=True) + 1e-8)


def choose(captions: jax.Array, key: jax.Array) -> jax.Array:
  """One caption of each image, [B, K, ...] -> [B, ...], each as likely."""
  count, most = captions.shape[:2]
  index = jax.random.randint(key, (count,), 0, most)
  return captions[jnp.arange(count), index]


def first(captions: jax.Array) -> jax.Array:
  """The first caption of each image, [B, K, ...] -> [B, ...]."""
  return captions[:, 0]


def check_captioned(batch: Any, encoder: nn.Module) -> None:
  """Raises InputError unless a batch has what the encoder reads."""
  if encoder.field not in batch:
    fix = {
      'text': 'captions: set data.words to how many words of each are read',
      'embedding': 'vectors of captions: set data.sentence_model, or take '
      'data with embeddings',
    }[encoder.field]
    raise InputError(
      f'objective.text: {type(encoder).__name__} reads '
      f'batch["{encoder.field}"], and the data has no {fix}.'
    )
