"""Networks of translations: the reference's layers, at any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax.errors import InputError
from gen_jax.models import translation
from gen_jax.models.layers.normalization import instance_norm
from gen_jax.models.translation import (
  PatchDiscriminator,
  ResidualTranslator,
  UNetTranslator,
)

KEY = jax.random.key(0)


def count(network, size=256, channels=3):
  images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
  params = jax.eval_shape(network.init, KEY, images)['params']
  return sum(x.size for x in jax.tree.leaves(params))


def test_parameters_are_those_of_the_authors_program():
  # What its `define_G` and `define_D` print, with instance normalization.
  assert count(ResidualTranslator()) == 11_378_179
  assert count(ResidualTranslator(blocks=6)) == 7_837_699
  assert count(PatchDiscriminator()) == 2_764_737
  # Its unet_256 prints 54,413,955 with batch normalization: there two numbers
  # for each of 4,928 channels, here the biases of those and of 64 + 512 more.
  channels = (64, 128, 256, 512, 512, 512, 512, 512)
  biases = 4928 + 64 + 512
  assert count(UNetTranslator(channels=channels)) == (
    54_413_955 - 2 * 4928 + biases
  )


@pytest.mark.parametrize(
  'network',
  [
    ResidualTranslator(out=4, channels=4, blocks=1, upsample='resize'),
    UNetTranslator(out=4, channels=(4, 8)),
    UNetTranslator(out=4, channels=(4, 8), upsample='resize'),
  ],
)
def test_any_size_that_the_stride_divides(network):
  images = np.random.default_rng(0).normal(size=(2, 8, 20, 1))
  images = images.astype(np.float32)
  variables = drawn(network.init, KEY, images)
  assert set(variables) == {'params'}
  apply = jax.jit(network.apply)
  out = apply(variables, images)
  assert out.shape == (2, 8, 20, 4)
  assert np.abs(out).max() < 1
  # Each image by itself.
  images[1] = 0.5
  other = apply(variables, images)
  np.testing.assert_allclose(out[0], other[0], atol=1e-5)
  with pytest.raises(InputError, match='10x20 pixels are not a multiple'):
    jax.eval_shape(network.init, KEY, jnp.zeros((1, 10, 20, 1)))


@pytest.mark.parametrize('levels,size,patch', [(3, 96, 70), (1, 32, 16)])
def test_a_logit_sees_a_patch(levels, size, patch):
  network = PatchDiscriminator(channels=1, levels=levels, normalize='')
  images = np.random.default_rng(0).uniform(0.1, 1, (1, size, size, 1))
  images = images.astype(np.float32)
  shapes = jax.eval_shape(network.init, KEY, images)
  # Small enough for a sum over many, positive so that no rectifier hides one.
  variables = jax.tree.map(lambda x: np.full(x.shape, 0.1, x.dtype), shapes)

  def middle(x):
    out = network.apply(variables, x)
    return out[0, out.shape[1] // 2, out.shape[2] // 2]

  seen = np.asarray(jax.jit(jax.grad(middle))(images))
  seen = seen[0, :, :, 0] != 0
  assert seen.any(axis=1).sum() == seen.any(axis=0).sum() == patch
  out = size // 2**levels - 2
  made = jax.eval_shape(network.apply, variables, images)
  assert made.shape == (1, out, out)


def test_images_that_are_too_small_are_refused():
  with pytest.raises(InputError, match='too small for 3 `levels`'):
    jax.eval_shape(PatchDiscriminator().init, KEY, jnp.zeros((1, 16, 64, 3)))
  with pytest.raises(InputError, match='too small to be padded by 1'):
    network = ResidualTranslator(channels=2)
    jax.eval_shape(network.init, KEY, jnp.zeros((1, 4, 8, 3)))
  with pytest.raises(InputError, match='1x1'):
    jax.eval_shape(instance_norm, jnp.ones((1, 1, 1, 8)))


def test_reflection_is_numpys():
  x = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
  pads = ((0, 0), (3, 3), (3, 3), (0, 0))
  np.testing.assert_array_equal(
    jax.jit(translation.reflect, static_argnums=1)(x, 3),
    np.pad(x, pads, mode='reflect'),
  )


@pytest.mark.parametrize('size', [(5, 4), (9, 8)])  # edges that meet, or not
def test_the_gradient_of_a_reflection_is_its_transpose(size):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, *size, 3)).astype(np.float32)
  dy = rng.normal(size=(2, size[0] + 6, size[1] + 6, 3)).astype(np.float32)
  gradient = jax.grad(lambda x: jnp.sum(translation.reflect(x, 3) * dy))(x)
  pads = ((0, 0), (3, 3), (3, 3), (0, 0))
  index = np.pad(np.arange(x.size).reshape(x.shape), pads, mode='reflect')
  want = np.zeros(x.size)
  np.add.at(want, index.ravel(), dy.ravel())
  np.testing.assert_allclose(gradient, want.reshape(x.shape), atol=1e-5)


def test_instance_normalization_is_pytorchs():
  torch = pytest.importorskip('torch')
  x = np.random.default_rng(0).normal(3, 2, (2, 5, 7, 4)).astype(np.float32)
  norm = torch.nn.InstanceNorm2d(4)
  want = norm(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy()
  out = np.asarray(instance_norm(jnp.asarray(x)))
  np.testing.assert_allclose(out.transpose(0, 3, 1, 2), want, atol=1e-5)
  half = instance_norm(jnp.asarray(x, jnp.bfloat16))
  assert half.dtype == jnp.bfloat16
  np.testing.assert_allclose(half.astype(np.float32), out, atol=0.05)


def test_a_generator_is_pytorchs():
  torch = pytest.importorskip('torch')
  nn = torch.nn
  network = ResidualTranslator(channels=4, blocks=1, out=2)
  x = np.random.default_rng(1).normal(size=(1, 12, 16, 3)).astype(np.float32)
  variables = drawn(network.init, KEY, x)
  params = dict(variables['params'])
  layers = [
    nn.ReflectionPad2d(3),
    nn.Conv2d(3, 4, 7),
    nn.InstanceNorm2d(4),
    nn.ReLU(),
    nn.Conv2d(4, 8, 3, 2, 1),
    nn.InstanceNorm2d(8),
    nn.ReLU(),
    nn.Conv2d(8, 16, 3, 2, 1),
    nn.InstanceNorm2d(16),
    nn.ReLU(),
  ]
  block = [
    nn.ReflectionPad2d(1),
    nn.Conv2d(16, 16, 3),
    nn.InstanceNorm2d(16),
    nn.ReLU(),
    nn.ReflectionPad2d(1),
    nn.Conv2d(16, 16, 3),
    nn.InstanceNorm2d(16),
  ]
  after = [
    nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1),
    nn.InstanceNorm2d(8),
    nn.ReLU(),
    nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1),
    nn.InstanceNorm2d(4),
    nn.ReLU(),
    nn.ReflectionPad2d(3),
    nn.Conv2d(4, 2, 7),
    nn.Tanh(),
  ]
  inner = params.pop('_Block_0')

  def load(modules, layers):
    parametric = [m for m in modules if list(m.parameters())]
    for module, layer in zip(parametric, layers, strict=True):
      kernel = layer['kernel']
      if isinstance(module, nn.ConvTranspose2d):
        weight = kernel[::-1, ::-1].transpose(2, 3, 0, 1)
      else:
        weight = kernel.transpose(3, 2, 0, 1)
      with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight.copy()))
        module.bias.copy_(torch.from_numpy(layer['bias'].copy()))

  def in_order(tree):
    convs = [k for k in tree if k.startswith('Conv_')]
    ups = [k for k in tree if k.startswith('ConvTranspose_')]
    number = lambda k: int(k.rpartition('_')[2])  # noqa: E731
    names = sorted(convs, key=number)
    ups = sorted(ups, key=number)
    return [tree[k] for k in names], [tree[k] for k in ups]

  convs, ups = in_order(params)
  load(layers, convs[:3])
  load(block, in_order(inner)[0])
  load(after, [*ups, convs[3]])
  with torch.no_grad():
    y = torch.from_numpy(x.transpose(0, 3, 1, 2))
    for layer in layers:
      y = layer(y)
    z = y
    for layer in block:
      z = layer(z)
    y = y + z
    for layer in after:
      y = layer(y)
  out = np.asarray(jax.jit(network.apply)(variables, x))
  np.testing.assert_allclose(
    out.transpose(0, 3, 1, 2), y.numpy(), rtol=1e-4, atol=1e-5
  )
