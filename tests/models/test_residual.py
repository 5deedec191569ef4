"""Residual networks start as shallow ones, and keep images apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models.autoencoder import ConvDecoder, ConvEncoder
from gen_jax.models.residual import Block, ResidualDecoder, ResidualEncoder

KEY = jax.random.key(0)


def test_a_block_starts_as_the_identity_and_learns():
  x = jax.random.normal(KEY, (2, 5, 5, 3))
  block = Block()
  params = jax.jit(block.init)(KEY, x)
  np.testing.assert_array_equal(jax.jit(block.apply)(params, x), x)
  grads = jax.jit(jax.grad(lambda p: jnp.sum(block.apply(p, x) ** 2)))(params)
  last = grads['params']['Conv_1']['kernel']
  assert np.abs(last).max() > 0.1


def test_shapes_and_that_images_do_not_see_each_other():
  encoder = ResidualEncoder(features=6, channels=(4, 8), hidden=16)
  decoder = ResidualDecoder(shape=(12, 8, 3), channels=(8, 4), hidden=16)
  x = jax.random.normal(KEY, (5, 12, 8, 3))
  encode = jax.jit(encoder.apply)
  params = jax.jit(encoder.init)(KEY, x)
  codes = encode(params, x)
  assert codes.shape == (5, 6)
  np.testing.assert_allclose(encode(params, x[:2]), codes[:2], atol=1e-5)
  images, _ = jax.jit(decoder.init_with_output)(KEY, codes)
  assert images.shape == x.shape


@pytest.mark.parametrize('size', [28, 32, 64, 21])
@pytest.mark.parametrize(
  'encoder,decoder',
  [(ConvEncoder, ConvDecoder), (ResidualEncoder, ResidualDecoder)],
)
def test_decoders_make_images_of_any_size(encoder, decoder, size):
  x, channels = jnp.zeros((2, size, size, 3)), (4, 4, 4)
  encode = encoder(features=6, channels=channels).init_with_output
  codes = jax.eval_shape(encode, KEY, x)[0]
  decode = decoder(shape=x.shape[1:], channels=channels).init_with_output
  assert jax.eval_shape(decode, KEY, codes)[0].shape == x.shape
