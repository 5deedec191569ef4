"""StackGAN's networks: what they compute, and at which sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import InputError
from gen_jax.models import conv, stackgan
from gen_jax.models.resampling import enlarge, shrink, shrink_to

KEY = jax.random.key(0)


def size(variables):
  return sum(x.size for x in jax.tree.leaves(variables['params']))


def test_an_upsampled_layer_is_a_convolution_of_the_enlarged_image():
  x = jax.random.normal(KEY, (2, 3, 5, 4))
  layer = stackgan.Upsampled(6)
  variables = layer.init(KEY, x)
  out = layer.apply(variables, x)
  expected = conv.conv(enlarge(x), variables['params']['kernel'])
  assert out.shape == (2, 6, 10, 6)
  np.testing.assert_allclose(out, expected, atol=1e-6)


def test_boxes_are_averaged():
  x = jnp.arange(16.0).reshape(1, 4, 4, 1)
  np.testing.assert_allclose(shrink(x)[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
  np.testing.assert_array_equal(shrink(enlarge(x, 3), 3), x)
  assert shrink_to(x, 0, 'size') is x
  with pytest.raises(InputError, match='size=3'):
    shrink_to(x, 3, 'size')


def test_conditioning_is_a_draw_of_its_gaussian():
  module = stackgan.Condition(3)
  texts, noise = jax.random.normal(KEY, (2, 4, 5))[:, :, :3]
  variables = module.init(KEY, texts, noise)
  c, mean, log_variance = module.apply(variables, texts, noise)
  assert c.shape == mean.shape == log_variance.shape == (4, 3)
  deviation = np.exp(np.asarray(log_variance, np.float64) / 2)
  np.testing.assert_allclose(c, mean + deviation * noise, rtol=1e-5)
  silent, *_ = module.apply(variables, texts, 0 * noise)
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
    + 2 * sum(maps)  # the scales and biases of the normalisation
    + 9 * 64 * 3 + 3
  )  # fmt: skip
  second = stackgan.Refiner(shape=(256, 256, 3))
  made, _ = shapes(second, (2, 64, 64, 3), (2, 1024), (2, 128))
  assert made == ((2, 256, 256, 3), (2, 128), (2, 128))
  judge = stackgan.Discriminator()
  logits, _ = shapes(judge, (2, 64, 64, 3), (3, 2, 1024))
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


def test_a_judge_sees_each_caption_on_its_own():
  judge = stackgan.Discriminator(channels=(4, 8), text=5, normalise='spectral')
  images = jax.random.normal(KEY, (3, 8, 8, 3))
  texts = jax.random.normal(jax.random.key(1), (2, 3, 6))
  variables = jax.jit(judge.init)(KEY, images, texts)
  apply = jax.jit(judge.apply)
  both = apply(variables, images, texts)
  for index in range(2):
    other = apply(variables, images, texts.at[1 - index].set(1.0))
    np.testing.assert_allclose(both[index], other[index], atol=1e-6)
  assert np.abs(both[0] - both[1]).max() > 1e-7


def test_pairs_are_normalized_apart_as_by_one_call_for_each():
  judge = stackgan.Discriminator(channels=(4,), text=5, normalise='batch')
  images = jax.random.normal(KEY, (6, 4, 4, 3))
  texts = jax.random.normal(jax.random.key(1), (2, 6, 6))
  variables = jax.jit(judge.init)(KEY, images, texts)

  @jax.jit
  def train(variables, texts):
    return judge.apply(variables, images, texts, True, mutable=['batch_stats'])

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
  images = jax.random.uniform(KEY, (2, 4, 4, 3), minval=-1)
  texts, draws = jnp.ones((2, 5)), jnp.zeros((2, 2))
  _, variables = shapes(refiner, images.shape, texts.shape, draws.shape)
  variables = jax.tree.map(lambda x: jnp.zeros(x.shape), variables)
  made, *_ = jax.jit(refiner.apply)(variables, images, texts, draws)
  np.testing.assert_allclose(made, 0.95 * enlarge(images), atol=1e-5)
