"""Readers of captions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.text import captions
from gen_jax.errors import InputError
from gen_jax.models import text

KEY = jax.random.key(0)
ENCODER = text.Encoder(features=8, buckets=50, width=6, hidden=7)
READ = jax.jit(ENCODER.apply)


def tokens(*sentences, words=5):
  return jnp.stack([captions.tokens(s, words) for s in sentences])


@pytest.fixture(scope='module')
def variables():
  return jax.jit(ENCODER.init)(KEY, tokens('a'))


def test_padding_changes_nothing(variables):
  short, long = (
    READ(variables, tokens('a red heart', words=n)) for n in (3, 9)
  )
  np.testing.assert_allclose(short, long, rtol=1e-5)
  np.testing.assert_allclose(jnp.mean(short**2), 1, rtol=1e-4)


def test_words_and_their_neighbors_count(variables):
  out = READ(variables, tokens('red heart blue', 'blue heart red', 'red heart'))
  assert np.abs(out[0] - out[1]).max() > 1e-3
  assert np.abs(out[0] - out[2]).max() > 1e-3


def test_words_are_left_out_in_training_but_never_all(variables):
  encoder = ENCODER.clone(dropout=0.9)
  read = jax.jit(
    lambda key: encoder.apply(
      variables, tokens('red'), train=True, rngs={'dropout': key}
    )
  )
  alone = READ(variables, tokens('red'))
  for seed in range(5):
    np.testing.assert_allclose(read(jax.random.key(seed)), alone, rtol=1e-5)


def test_nothing_at_all_is_finite_with_its_gradient(variables):
  def total(variables):
    return jnp.sum(ENCODER.apply(variables, tokens('')) ** 3)

  value, grads = jax.jit(jax.value_and_grad(total))(variables)
  assert np.isfinite(value)
  assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(grads))


def test_each_caption_of_an_image_is_chosen_as_often():
  given = jnp.broadcast_to(jnp.arange(3.0)[:, None], (3000, 3, 1))
  chosen = text.choose(given, KEY)
  assert chosen.shape == (3000, 1)
  counts = np.bincount(np.asarray(chosen)[:, 0].astype(int))
  np.testing.assert_allclose(counts / 3000, 1 / 3, atol=0.04)
  np.testing.assert_array_equal(text.first(given), 0)


def test_data_without_captions_is_refused():
  with pytest.raises(InputError, match='data.words'):
    text.check_captioned({'image': 0}, ENCODER)
  with pytest.raises(InputError, match='embeddings'):
    text.check_captioned({'text': 0}, text.PrecomputedEmbedding())
