"""Generators and discriminators: shapes, parameters and statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax.models import dcgan, dense
from gen_jax.models.layers.conv import Conv, ConvTranspose
from gen_jax.models.layers.linear import Dense
from gen_jax.models.layers.normalization import Normalized

KEY = jax.random.key(0)
CODES = np.random.default_rng(0).normal(size=(6, 100)).astype(np.float32)


def count(variables, collection='params'):
  return sum(x.size for x in jax.tree.leaves(variables.get(collection, {})))


@pytest.mark.parametrize(
  'shape,channels',
  [
    ((28, 28, 1), (256, 128)),
    ((28, 28, 1), (256, 128, 64)),
    ((30, 45, 2), (16, 8, 4)),
    ((32, 32, 3), (512, 256, 128)),
    ((64, 64, 3), (1024, 512, 256, 128)),
  ],
)
def test_images_of_each_size_and_back_to_logits(shape, channels):
  gen = dcgan.Generator(shape, channels)
  disc = dcgan.Discriminator(tuple(c // 2 for c in channels[::-1]))
  variables = jax.eval_shape(gen.init, KEY, CODES)
  images = jax.eval_shape(gen.apply, variables, CODES)
  assert images.shape == (6, *shape)
  logits, _ = jax.eval_shape(
    lambda: disc.init_with_output(KEY, jnp.zeros(images.shape))
  )
  assert logits.shape == (6,)


def test_the_papers_networks():
  gen = dcgan.Generator((64, 64, 3))
  shapes = jax.eval_shape(gen.init, KEY, CODES)['params']
  kernels = [x.shape for x in jax.tree.leaves(shapes) if len(x.shape) == 4]
  assert sorted(kernels) == [
    (5, 5, 128, 3),
    (5, 5, 256, 128),
    (5, 5, 512, 256),
    (5, 5, 1024, 512),
  ]
  disc = dcgan.Discriminator()
  shapes = jax.eval_shape(disc.init, KEY, jnp.zeros((2, 64, 64, 3)))
  norms = [x.shape for x in jax.tree.leaves(shapes['batch_stats'])]
  # None at the discriminator's input.
  assert sorted(set(norms)) == [(128,), (256,), (512,)]
  assert shapes['params']['Dense_0']['kernel'].shape == (4 * 4 * 512, 1)


def test_the_tutorials_counts():
  gen, disc = dcgan.SmallGenerator(), dcgan.SmallDiscriminator()
  images, variables = jax.eval_shape(gen.init_with_output, KEY, CODES)
  assert images.shape == (6, 28, 28, 1)
  assert count(variables) == 2_305_472
  assert count(variables, 'batch_stats') == 25_472
  shapes = jax.eval_shape(disc.init, KEY, jnp.zeros(images.shape))
  assert count(shapes) == 212_865


def test_infogans_dense_layers_lie_between_code_and_maps():
  codes = CODES[:, :74]
  gen = dcgan.Generator((28, 28, 1), (128, 64), 4, hidden=(1024,))
  made = 74 * 1024 + 1024 * 7 * 7 * 128 + 16 * 128 * 64 + 16 * 64 + 1
  normalized = 2 * (1024 + 128 + 64)
  assert count(jax.eval_shape(gen.init, KEY, codes)) == made + normalized
  disc = dcgan.Discriminator((64, 128), 4, hidden=(1024,), extra=12)
  trunk = 16 * 64 + 64 + 16 * 64 * 128 + 7 * 7 * 128 * 1024
  normalized = 2 * (128 + 1024)
  heads = 1024 + 1 + 1024 * 128 + 128 + 128 * 12 + 12
  shapes = jax.eval_shape(disc.init, KEY, jnp.zeros((2, 28, 28, 1)))
  assert count(shapes) == trunk + normalized + heads


def test_weights_start_at_the_papers_deviation():
  gen = dcgan.Generator((28, 28, 1), (256, 128))
  variables = jax.jit(gen.init)(KEY, CODES)
  kernel = variables['params']['ConvTranspose_0']['kernel']
  assert float(kernel.std()) == pytest.approx(0.02, rel=0.02)
  scale = variables['params']['Normalized_0']['BatchNorm_0']['scale']
  assert float(scale.mean()) == pytest.approx(1, abs=0.01)
  assert float(scale.std()) == pytest.approx(0.02, rel=0.15)


def test_training_looks_at_the_batch_and_use_at_the_running_averages():
  gen = dcgan.Generator((8, 8, 1), (8, 4))
  variables = drawn(gen.init, KEY, CODES)
  step = jax.jit(lambda v: gen.apply(v, CODES, True, mutable=['batch_stats']))
  use = jax.jit(gen.apply)
  for _ in range(100):
    variables = {**variables, **step(variables)[1]}
  trained, _ = step(variables)
  np.testing.assert_allclose(use(variables, CODES), trained, atol=1e-3)
  one = use(variables, CODES[:1])
  np.testing.assert_allclose(one, trained[:1], atol=1e-3)


@pytest.mark.parametrize(
  'layer',
  [
    Dense(7),
    Conv(7, (3, 3), strides=2),
    ConvTranspose(3, (4, 4), strides=2),
  ],
  ids=lambda layer: type(layer).__name__,
)
def test_spectral_normalization_leaves_a_largest_singular_value_of_1(layer):
  """The kernel as a matrix of its outputs, as Miyato et al. reshape it."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(5, 8, 8, 6)).astype(np.float32)
  if isinstance(layer, Dense):
    x = x.reshape(5, -1)

  class Network(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
      return Normalized(layer.copy(), 'spectral')(x, train)

  network = Network()
  variables = drawn(network.init, KEY, x)
  # The power iteration starts from any vector but 0.
  variables['spectral'] = jax.tree.map(
    lambda v: rng.normal(size=v.shape).astype(np.float32), variables['spectral']
  )
  (name,) = variables['params']
  params = variables['params'][name]
  variables['params'][name] = {
    'kernel': 3 * params['kernel'],
    'bias': params['bias'] + 0.5,
  }
  step = jax.jit(lambda v: network.apply(v, x, True, mutable=['spectral']))
  for _ in range(30):
    variables = {**variables, **step(variables)[1]}
  kernel = variables['params'][name]['kernel']
  matrix = np.asarray(kernel).reshape(-1, kernel.shape[-1])
  sigma = np.linalg.svd(matrix, compute_uv=False)[0]
  expected = {
    'params': {'kernel': kernel / sigma, 'bias': params['bias'] + 0.5}
  }
  ours, theirs = jax.jit(lambda a, b: (network.apply(a, x), layer.apply(b, x)))(
    variables, expected
  )
  np.testing.assert_allclose(ours, theirs, atol=0.01 * np.abs(theirs).max())


def test_maxout_takes_the_largest_of_its_pieces():
  network = dense.Discriminator((4,), pieces=3)
  x = np.random.default_rng(0).normal(size=(5, 1, 1, 2)).astype(np.float32)
  variables = drawn(network.init, KEY, x)
  first, last = (variables['params'][f'Dense_{i}'] for i in range(2))
  maps = x.reshape(5, 2) @ first['kernel'] + first['bias']
  hidden = maps.reshape(5, 4, 3).max(axis=-1)
  expected = (hidden @ last['kernel'] + last['bias'])[:, 0]
  np.testing.assert_allclose(
    jax.jit(network.apply)(variables, x), expected, rtol=1e-5, atol=1e-6
  )
