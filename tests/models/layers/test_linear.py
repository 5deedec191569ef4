"""Gradients are summed in float32, whatever the type of the computation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn
from flax import linen as nn
from jaxprs import equations

from gen_jax.models import (
  autoencoder,
  classifier,
  dcgan,
  dense,
  progressive,
  residual,
  stackgan,
  stylegan,
  text,
  translation,
)
from gen_jax.models.layers import conv, embedding, equalized, linear
from gen_jax.models.layers.normalization import Normalized

RNGS = {
  name: jax.random.key(seed)
  for seed, name in enumerate(('params', 'noise', 'dropout'))
}


class Styled(nn.Module):
  """`stylegan.Layer` with its noise and style."""

  dtype: str | None = None

  @nn.compact
  def __call__(self, x):
    noise = jnp.sin(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape)
    style = jnp.ones((len(x), 1))
    x = x.astype(self.dtype or x.dtype)
    return stylegan.Layer(self.dtype, name='layer')(x, noise, style)


class Normal(nn.Module):
  """A batch normalization alone."""

  dtype: str | None = None

  @nn.compact
  def __call__(self, x):
    return Normalized(lambda x: x, 'batch', dtype=self.dtype)(x, True)


ROWS, IMAGES = (131_072, 1), (32, 64, 64, 1)
LAYERS = {
  'Dense': (linear.Dense(2), ROWS),
  'Conv': (conv.Conv(2, 3), IMAGES),
  'ConvTranspose': (conv.ConvTranspose(2, 3), IMAGES),
  'equalized Dense': (equalized.Dense(2), ROWS),
  'equalized Conv': (equalized.Conv(2), IMAGES),
  'equalized Conv, doubled': (equalized.Conv(2, scale=2), (32, 32, 32, 1)),
  'equalized Conv, halved': (equalized.Conv(2, scale=0.5), (8, 256, 256, 1)),
  'StyleGAN layer': (Styled(), IMAGES),
  'batch normalization': (Normal(), IMAGES),
}


def test_a_product_and_its_gradients_are_summed_in_float32():
  rng = np.random.default_rng(0)
  x, w = (
    jnp.asarray(rng.normal(size=shape), jnp.bfloat16)
    for shape in ((2, 3, 600), (600, 5))
  )
  np.testing.assert_allclose(
    np.asarray(linear.product(x, w), np.float64),
    np.asarray(x, np.float64) @ np.asarray(w, np.float64),
    rtol=2**-8,
  )

  def score(x, w):
    return jnp.sum(jnp.tanh(linear.product(x, w) / 30))

  def penalty(x, w):  # its gradient differentiates each product twice
    return jnp.sum(jnp.square(jax.grad(score)(x, w)))

  found = [
    eqn
    for eqn in equations(jax.make_jaxpr(jax.grad(penalty, (0, 1)))(x, w))
    if eqn.primitive.name == 'dot_general'
  ]
  assert len(found) >= 5
  for eqn in found:
    assert {y.aval.dtype for y in eqn.invars} == {jnp.dtype(jnp.bfloat16)}
    assert {y.aval.dtype for y in eqn.outvars} == {jnp.dtype(jnp.float32)}
  exact = jax.grad(penalty, (0, 1))(*(y.astype(jnp.float32) for y in (x, w)))
  for ours, truth in zip(jax.grad(penalty, (0, 1))(x, w), exact, strict=True):
    assert np.linalg.norm(ours - truth) < 0.02 * np.linalg.norm(truth)


@pytest.mark.parametrize('name', LAYERS)
def test_gradients_of_100_000_terms_are_those_of_float64(name):
  layer, shape = LAYERS[name]
  x = np.random.default_rng(0).exponential(size=shape) - 1  # both signs
  variables = drawn(layer.init, RNGS, np.zeros((2, *shape[1:]), np.float32))

  def gradients(dtype, x, params):
    network = layer.clone(dtype=dtype)

    def loss(params):
      collections = {**variables, 'params': params}
      out, _ = network.apply(collections, x, mutable=True)
      assert out.dtype == dtype
      weights = 1 + jnp.sin(jnp.arange(out.size)).reshape(out.shape)
      return jnp.mean(weights * out.astype(weights.dtype) ** 3)

    return jax.grad(loss)(params)

  def compute(*dtypes):
    return jax.jit(lambda *args: [gradients(dtype, *args) for dtype in dtypes])(
      x, variables['params']
    )

  with jax.enable_x64(True):
    (expected,) = compute('float64')
  for computed in compute('bfloat16', 'float16'):
    for ours, truth in zip(
      jax.tree.leaves(computed), jax.tree.leaves(expected), strict=True
    ):
      assert ours.dtype == jnp.float32
      assert np.linalg.norm(ours - truth) < 0.01 * np.linalg.norm(truth)


# Networks in bfloat16 and their inputs: batches of 16.
SMALL, LARGE = (np.zeros((16, n, n, 3), np.float32) for n in (8, 32))
CODES, CLASSES = (np.zeros((16, n), np.float32) for n in (6, 10))
NETWORKS = {
  'dense encoder': (autoencoder.DenseEncoder(3), SMALL, CLASSES),
  'dense decoder': (autoencoder.DenseDecoder((8, 8, 3)), CODES, CLASSES),
  'encoder': (autoencoder.ConvEncoder(3), SMALL, CLASSES),
  'decoder': (autoencoder.ConvDecoder((8, 8, 3)), CODES, CLASSES),
  'map encoder': (autoencoder.MapEncoder(), SMALL),
  'map decoder': (autoencoder.MapDecoder((2, 3, 3)), CODES),
  'residual encoder': (residual.ResidualEncoder(3), SMALL),
  'residual decoder': (residual.ResidualDecoder((8, 8, 3)), CODES),
  'classifier': (classifier.ConvClassifier(10), SMALL, True),
  'dense generator': (dense.Generator((8, 8, 3), normalize='batch'), CODES,
                      True),
  'dense discriminator': (dense.Discriminator(pieces=2), SMALL, True),
  'DCGAN generator': (dcgan.Generator((16, 16, 3), hidden=(4,)), CODES, True),
  'DCGAN discriminator': (dcgan.Discriminator(extra=3, hidden=(4,)), LARGE,
                          True),
  'spectral discriminator': (dcgan.Discriminator(normalize='spectral'), LARGE,
                             True),
  'tutorial generator': (dcgan.SmallGenerator(), CODES, True),
  'tutorial discriminator': (dcgan.SmallDiscriminator(), SMALL, True),
  'embedded classes': (
    embedding.Embedded(dense.Generator((8, 8, 3)), classes=4), CODES, True),
  'StackGAN generator': (
    stackgan.Generator((8, 8, 3), channels=(4, 4), condition=3), CODES, CODES,
    True),
  'StackGAN refiner': (
    stackgan.Refiner((16, 16, 3), (4, 4), 1, (4, 4), 6), SMALL, CODES, CODES,
    True),
  'StackGAN discriminator': (
    stackgan.Discriminator((4, 4)), SMALL, np.zeros((2, 16, 6), np.float32),
    True),
  'StyleGAN generator': (
    stylegan.Generator((8, 8, 3), 4, 2, classes=10, fmap_max=4), CODES, CLASSES,
    0.5),
  'StyleGAN discriminator': (
    progressive.Discriminator(fmap_max=4, classes=10), SMALL, CLASSES, 0.5),
  'text encoder': (text.Encoder(), np.zeros((16, 5, 6), np.int32), True),
  'translator': (
    translation.ResidualTranslator(3, 4, 1, normalize='batch'), SMALL, True),
  'resizing translator': (
    translation.ResidualTranslator(3, 4, 1, upsample='resize'), SMALL, True),
  'U-Net': (translation.UNetTranslator(3, (4, 4, 4)), LARGE, True),
  'patch discriminator': (
    translation.PatchDiscriminator(4, 2), LARGE, True),
}  # fmt: skip


@pytest.mark.parametrize('name', NETWORKS)
def test_no_network_sums_many_terms_of_a_gradient_in_bfloat16(name):
  network, *inputs = NETWORKS[name]
  network = with_dtype(network, jnp.bfloat16)
  fixed = [x for x in inputs if not isinstance(x, np.ndarray)]
  inputs = [x for x in inputs if isinstance(x, np.ndarray)]
  variables = jax.eval_shape(lambda: network.init(RNGS, *inputs, *fixed))

  def loss(differentiated, variables, tokens):
    params, images = differentiated
    variables = {**variables, 'params': params}
    out, _ = network.apply(
      variables, *(images or tokens), *fixed, rngs=RNGS, mutable=True
    )
    return sum(jnp.sum(x) for x in jax.tree.leaves(out))

  images = inputs if jnp.issubdtype(inputs[0].dtype, jnp.floating) else []
  jaxpr = jax.make_jaxpr(jax.grad(loss))(
    (variables['params'], images), variables, inputs
  )
  halves = 0
  for eqn in equations(jaxpr):
    out = eqn.outvars[0].aval
    halves += out.dtype == jnp.bfloat16
    terms = 1
    if eqn.primitive.name == 'reduce_sum':
      terms = eqn.invars[0].aval.size // math.prod(out.shape)
    elif eqn.primitive.name.startswith('scatter'):
      terms = math.inf
    assert terms < 16 or out.dtype == jnp.float32, eqn.source_info
  assert halves > 10


def with_dtype(network, dtype):
  if isinstance(network, embedding.Embedded):
    return network.clone(network=network.network.clone(dtype=dtype))
  return network.clone(dtype=dtype)
