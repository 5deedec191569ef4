"""StackGAN's networks: what they compute, and at which sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax.errors import InputError
from gen_jax.models import stackgan
from gen_jax.models.layers import conv
from gen_jax.models.layers.resampling import downsample, downsample_to, upsample

KEY = jax.random.key(0)


def normal(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def size(variables):
  return sum(x.size for x in jax.tree.leaves(variables['params']))


def test_an_upsampled_layer_is_a_convolution_of_the_enlarged_image():
  x = normal(2, 3, 5, 4)
  layer = stackgan.UpsampledConv(6)

  @jax.jit
  def compute(variables):
    kernel = variables['params']['kernel']
    return layer.apply(variables, x), conv.conv(upsample(x), kernel)

  out, expected = compute(drawn(layer.init, KEY, x))
  assert out.shape == (2, 6, 10, 6)
  np.testing.assert_allclose(out, expected, atol=1e-6)


def test_boxes_are_averaged():
  x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
  small, same = jax.jit(
    lambda x: (downsample(x), downsample(upsample(x, 3), 3))
  )(x)
  expected = np.reshape([2.5, 4.5, 10.5, 12.5], (1, 2, 2, 1))
  np.testing.assert_allclose(small, expected)
  np.testing.assert_array_equal(same, x)
  assert downsample_to(x, 0, 'size') is x
  with pytest.raises(InputError, match='size=3'):
    downsample_to(x, 3, 'size')


def test_conditioning_is_a_draw_of_its_gaussian():
  module = stackgan.ConditioningAugmentation(3)
  texts, noise = normal(2, 4, 5)[:, :, :3]
  variables = drawn(module.init, KEY, texts, noise)
  apply = jax.jit(module.apply)
  c, mean, log_variance = apply(variables, texts, noise)
  assert c.shape == mean.shape == log_variance.shape == (4, 3)
  deviation = np.exp(np.asarray(log_variance, np.float64) / 2)
  np.testing.assert_allclose(c, mean + deviation * noise, rtol=1e-5)
  silent, *_ = apply(variables, texts, 0 * noise)
  np.testing.assert_array_equal(silent, mean)


def shapes(network, *inputs):
  inputs = [jax.ShapeDtypeStruct(x, jnp.float32) for x in inputs]
  variables = jax.eval_shape(lambda *x: network.init(KEY, *x), *inputs)
  made = jax.eval_shape(network.apply, variables, *inputs)
  return jax.tree.map(lambda x: x.shape, made), variables


def test_sizes_of_the_paper():
  first = stackgan.Generator(shape=(64, 64, 3))
  (images, *moments), variables = shapes(first, (2, 1024), (2, 228))
  assert images == (2, 64, 64, 3) and moments == [(2, 128)] * 2
  maps = (1024, 512, 256, 128, 64)
  assert size(variables) == (
    1024 * 256 + 256  # the conditioning
    + 228 * 16 * 1024  # the smallest map
    + sum(9 * a * b for a, b in zip(maps[:-1], maps[1:], strict=True))
    + 2 * sum(maps)  # the scales and biases of the normalization
    + 9 * 64 * 3 + 3
  )  # fmt: skip
  second = stackgan.Refiner(shape=(256, 256, 3))
  made, _ = shapes(second, (2, 64, 64, 3), (2, 1024), (2, 128))
  assert made == ((2, 256, 256, 3), (2, 128), (2, 128))
  disc = stackgan.Discriminator()
  logits, _ = shapes(disc, (2, 64, 64, 3), (3, 2, 1024))
  assert logits == (3, 2)


def test_sizes_that_do_not_meet_are_named():
  with pytest.raises(InputError, match='Generator: 30x30'):
    shapes(stackgan.Generator(shape=(30, 30, 3)), (2, 8), (2, 228))
  with pytest.raises(InputError, match='Refiner: .* 64 pixels to 256'):
    shapes(
      stackgan.Refiner(shape=(128, 128, 3)),
      (2, 64, 64, 3),
      (2, 8),
      (2, 128),
    )


def test_a_discriminator_treats_each_caption_by_itself():
  disc = stackgan.Discriminator(channels=(4, 8), text=5, normalize='spectral')
  images, texts = normal(3, 8, 8, 3), normal(2, 3, 6, seed=1)
  variables = drawn(disc.init, KEY, images, texts)
  apply = jax.jit(disc.apply)
  both = apply(variables, images, texts)
  for index in range(2):
    others = texts.copy()
    others[1 - index] = 1
    other = apply(variables, images, others)
    np.testing.assert_allclose(both[index], other[index], atol=1e-6)
  assert np.abs(both[0] - both[1]).max() > 1e-7


def test_pairs_are_normalized_apart_as_by_one_call_for_each():
  disc = stackgan.Discriminator(channels=(4,), text=5, normalize='batch')
  images, texts = normal(6, 4, 4, 3), normal(2, 6, 6, seed=1)
  variables = drawn(disc.init, KEY, images, texts)

  @jax.jit
  def train(variables, texts):
    return disc.apply(variables, images, texts, True, mutable=['batch_stats'])

  logits, state = train(variables, texts)
  for pairs, alone in zip(texts, logits, strict=True):
    want, new = train(variables, pairs[None])
    np.testing.assert_allclose(alone, want[0], atol=1e-6)
    variables = {**variables, **new}
  for ours, want in zip(
    jax.tree.leaves(state), jax.tree.leaves(new), strict=True
  ):
    np.testing.assert_allclose(ours, want, rtol=1e-3, atol=1e-7)


def test_a_refiner_may_start_from_the_first_picture():
  refiner = stackgan.Refiner(
    shape=(8, 8, 3), down=(4, 4), blocks=1, up=(4, 4), condition=2, skip=True
  )
  images = np.tanh(normal(2, 4, 4, 3))
  texts, draws = np.ones((2, 5), np.float32), np.zeros((2, 2), np.float32)
  _, variables = shapes(refiner, images.shape, texts.shape, draws.shape)
  variables = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), variables)
  made, *_ = jax.jit(refiner.apply)(variables, images, texts, draws)
  expected = 0.95 * images.repeat(2, axis=1).repeat(2, axis=2)
  np.testing.assert_allclose(made, expected, atol=1e-5)
