"""The style-based networks: sizes, layers and growth, by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from flax.traverse_util import flatten_dict, unflatten_dict
from forms import FORMS

from gen_jax.errors import InputError
from gen_jax.models import progressive, stylegan
from gen_jax.models.layers import equalized, resampling
from gen_jax.models.layers.conv import conv

KEY = jax.random.key(0)
RNGS = {'noise': KEY}
SMALL = dict(fmap_base=16, fmap_max=4)


def count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


def shapes(network, *inputs):
  """Of the variables of a network, without computing any."""
  keys = {'params': KEY, 'noise': KEY}
  return jax.eval_shape(lambda: network.init(keys, *inputs))


def generator(size, **fields):
  fields = {'width': 4, 'depth': 2, **SMALL, **fields}
  return stylegan.Generator((size, size, 3), **fields)


def apply(network, variables, *inputs, **options):
  """`network.apply`, compiled as one program."""
  return jax.jit(lambda v: network.apply(v, *inputs, **options))(variables)


def init(network, *inputs):
  """Variables of which none is 0 or 1 by chance of the initialization.

  As at initialization the slow layers' are the largest; NumPy draws them, so
  that nothing is compiled.
  """
  rng = np.random.default_rng(0)

  def draw(path, x):
    names = [part.key for part in path]
    slow = any(name.startswith('dense_') for name in names)
    deviation = (1 if names[-1] == 'kernel' else 0.3) * (100 if slow else 1)
    return (deviation * rng.normal(size=x.shape)).astype(x.dtype)

  return jax.tree_util.tree_map_with_path(draw, shapes(network, *inputs))


def normal(*shape):
  return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
  'size,total', [(1024, 26_219_627), (64, 25_137_935), (32, 22_841_356)]
)
def test_the_generator_has_the_parameters_of_the_authors(size, total):
  variables = shapes(stylegan.Generator((size, size, 3)), jnp.zeros((2, 512)))
  assert set(variables) == {'params'}  # noise and the mean of w are none
  assert count(variables) == total
  assert count(variables['params']['mapping']) == 2_101_248
  heads = {
    k: count(v)
    for k, v in variables['params']['synthesis'].items()
    if k.endswith('to_image')
  }
  assert set(heads) == {
    f'{n}x{n}_to_image' for n in progressive.resolutions(size)
  }
  widths = [min(16384 // n, 512) for n in progressive.resolutions(size)]
  assert sum(heads.values()) == sum(3 * w + 3 for w in widths)


def test_the_discriminator_has_the_parameters_of_the_authors():
  images = jnp.zeros((4, 1024, 1024, 3))
  assert count(shapes(progressive.Discriminator(), images)) == 23_087_249


@pytest.mark.parametrize('shape', [(8, 8, 1), (16, 16, 4), (1024, 1024, 3)])
def test_images_of_any_size_gray_or_with_alpha(shape):
  network = stylegan.Generator(shape, **SMALL)
  keys = {'params': KEY, 'noise': KEY}
  out, _ = jax.eval_shape(
    lambda: network.init_with_output(keys, jnp.zeros((2, 5)))
  )
  assert out.shape == (2, *shape)
  assert out.dtype == jnp.float32
  disc = progressive.Discriminator(**SMALL)
  out, _ = jax.eval_shape(
    lambda: disc.init_with_output(KEY, jnp.zeros(out.shape))
  )
  assert out.shape == (2,)


@pytest.mark.parametrize('size', [4, 12, 2048])
def test_other_sizes_are_refused(size):
  with pytest.raises(InputError, match='power of two from 8 to 1024'):
    shapes(generator(size), jnp.zeros((2, 4)))


# The layers.


def test_weights_are_scaled_where_they_are_used():
  x = np.float32([[1.0, -2.0, 3.0, 0.5]])
  layer = equalized.Dense(3, lr_mul=0.01)
  params = init(layer, x)['params']
  weight = params['kernel'] * np.sqrt(2) / np.sqrt(4) * 0.01
  expected = x @ weight + 0.01 * params['bias']
  np.testing.assert_allclose(
    apply(layer, {'params': params}, x), expected, rtol=1e-5, atol=1e-6
  )
  # Stored as N(0, 1 / lr_mul^2).
  wide = equalized.Dense(100, lr_mul=0.01)
  wide = jax.jit(wide.init)(KEY, np.zeros((1, 100), np.float32))
  assert np.std(wide['params']['kernel']) == pytest.approx(100, rel=0.05)


def test_a_convolution_is_scaled_by_its_fan_in():
  x = normal(2, 5, 5, 3)
  layer = equalized.Conv(4)

  @jax.jit
  def compute(x):
    out, variables = layer.init_with_output(KEY, x)
    kernel = variables['params']['kernel']
    return out, kernel, conv(x, kernel * (2 / 27) ** 0.5)

  out, kernel, expected = compute(x)
  assert np.std(kernel) == pytest.approx(1, rel=0.25)
  np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize('kernel', [1, 3])
def test_a_fused_scale_is_that_of_two_layers(kernel):
  x = normal(2, 6, 6, 3)
  plain, up, down = (
    equalized.Conv(4, kernel, scale=scale) for scale in (1, 2, 0.5)
  )

  @jax.jit
  def compute(variables):
    two = [
      plain.apply(variables, resampling.upsample(x)),
      resampling.downsample(plain.apply(variables, x)),
    ]
    return [up.apply(variables, x), down.apply(variables, x)], two

  for ours, expected in zip(*compute(init(plain, x)), strict=True):
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_pixel_norm_by_hand():
  x = jnp.asarray([[3.0, 4.0]])  # mean square 12.5
  np.testing.assert_allclose(
    equalized.pixel_norm(x), [[3 / 12.5**0.5, 4 / 12.5**0.5]], rtol=1e-6
  )


@pytest.mark.parametrize('forms', FORMS)
def test_blur_by_hand(forms):
  x = normal(1, 5, 4, 2)
  with FORMS[forms]():  # a new lambda: jit keeps the form of a known function
    out = np.asarray(jax.jit(lambda x: equalized.blur(x))(x))
  kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
  for channel in range(2):
    expected = scipy.signal.convolve2d(x[0, :, :, channel], kernel, 'same')
    np.testing.assert_allclose(out[0, :, :, channel], expected, atol=1e-6)


@pytest.mark.parametrize('forms', FORMS)
def test_the_gradient_of_blur_is_its_transpose(forms):
  x, y = normal(2, 2, 5, 4, 3)
  with FORMS[forms]():
    gradient = jax.grad(lambda x: jnp.sum(equalized.blur(x) * y))
    transposed = jax.linear_transpose(equalized.blur.fun, x)
    np.testing.assert_allclose(gradient(x), *transposed(y), atol=1e-6)
    # Of a gradient, too, as a penalty needs it.
    penalty = jax.grad(lambda x: jnp.sum(equalized.blur(jnp.square(x)) * y))
    second = jax.grad(lambda x: jnp.sum(penalty(x)))(x)
    np.testing.assert_allclose(second, 2 * gradient(x), atol=1e-6)


def test_downsample_averages_boxes_and_upsample_repeats_pixels():
  x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
  small, large = jax.jit(
    lambda x: (resampling.downsample(x), resampling.upsample(x))
  )(x)
  small, large = np.asarray(small), np.asarray(large)
  np.testing.assert_array_equal(small[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
  np.testing.assert_array_equal(large[0, :2, :4, 0], [[0, 0, 1, 1]] * 2)


def test_minibatch_stddev_by_hand():
  x = np.float32([[0, 1], [5, 5], [2, 1], [5, 9]]).reshape(4, 1, 1, 2)
  deviation = functools.partial(progressive.minibatch_stddev, group=2)
  out = np.asarray(jax.jit(deviation)(x))
  # Groups are images 0 and 2, deviations 1 and 0; and 1 and 3, with 0 and 2.
  np.testing.assert_allclose(out[..., :2], x)
  np.testing.assert_allclose(
    out[:, 0, 0, 2], [0.5, 1, 0.5, 1], rtol=1e-3, atol=1e-4
  )
  deviation = functools.partial(progressive.minibatch_stddev, group=4)
  assert jax.eval_shape(deviation, x[:3]).shape == (3, 1, 1, 3)
  with pytest.raises(InputError, match='do not divide'):
    progressive.minibatch_stddev(x, group=3)


def test_a_layer_is_noise_bias_rectifier_norm_and_style_in_this_order():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 3, 3, 4))
  noise, w = rng.normal(size=(2, 3, 3, 1)), rng.normal(size=(2, 5))
  layer = stylegan.Layer()
  args = [np.float32(a) for a in (x, noise, w)]
  variables = init(layer, *args)
  p = jax.tree.map(lambda a: np.asarray(a, np.float64), variables['params'])
  y = x + noise * p['noise'] + p['bias']
  y = np.where(y > 0, y, 0.2 * y)
  y = y - y.mean(axis=(1, 2), keepdims=True)
  y = y / np.sqrt(np.square(y).mean(axis=(1, 2), keepdims=True) + 1e-8)
  style = w @ p['style']['kernel'] / np.sqrt(5) + p['style']['bias']
  scale, shift = style[:, None, None, :4], style[:, None, None, 4:]
  expected = y * (scale + 1) + shift
  np.testing.assert_allclose(
    apply(layer, variables, *args), expected, rtol=1e-4, atol=1e-4
  )


def test_without_noise_it_is_as_with_noise_of_no_weight():
  codes = normal(2, 6)
  noisy, plain = generator(8), generator(8, noise=False)
  variables = flatten_dict(init(noisy, codes))
  silent = {k: v * (k[-1] != 'noise') for k, v in variables.items()}
  rest = {k: v for k, v in variables.items() if k[-1] != 'noise'}

  @jax.jit
  def compute(rest, silent):
    without = plain.apply(rest, codes)  # no random stream
    return without, noisy.apply(silent, codes, rngs=RNGS)

  without, of_no_weight = compute(unflatten_dict(rest), unflatten_dict(silent))
  np.testing.assert_allclose(without, of_no_weight, rtol=1e-5, atol=1e-5)


def test_mapping_is_a_pixel_norm_then_slow_dense_layers():
  z = normal(2, 3)
  network = stylegan.Mapping(width=5, layers=2)
  variables = init(network, z)
  p = variables['params']
  x = z / np.sqrt(np.mean(np.square(z), axis=-1, keepdims=True))
  for index, fan_in in enumerate((3, 5)):
    layer = p[f'dense_{index}']
    x = x @ layer['kernel'] * (0.01 * np.sqrt(2 / fan_in))
    x = x + 0.01 * layer['bias']
    x = np.where(x > 0, x, 0.2 * x)
  np.testing.assert_allclose(
    apply(network, variables, z), x, rtol=1e-4, atol=1e-5
  )


# Growth.


def smaller(variables):
  """The same without what belongs to 16 pixels."""
  if isinstance(variables, dict):
    return {k: smaller(v) for k, v in variables.items() if '16x16' not in k}
  return variables


def test_a_generator_fades_in_from_the_one_of_half_the_size():
  large, small = generator(16), generator(8)
  z = normal(2, 3)
  variables = init(large, z)
  for layer in variables['params']['synthesis'].values():
    if isinstance(layer, dict) and 'noise' in layer:  # draws differ by size
      layer['noise'] = 0 * layer['noise']

  @jax.jit
  def compute(variables, alpha):
    before = small.apply(smaller(variables), z, rngs=RNGS)
    after, fading = (
      large.apply(variables, z, alpha=a, rngs=RNGS) for a in (1.0, alpha)
    )
    return resampling.upsample(before), after, fading

  for alpha in (0.0, 1.0, 0.25):
    before, after, fading = compute(variables, alpha)
    expected = (1 - alpha) * before + alpha * after
    np.testing.assert_allclose(fading, expected, rtol=1e-4, atol=1e-5)
  assert np.max(np.abs(before - after)) > 0.1


def test_a_discriminator_fades_in_from_the_one_of_half_the_size():
  disc = progressive.Discriminator(**SMALL)
  images = normal(4, 16, 16, 3)
  variables = init(disc, images)

  @jax.jit
  def compute(variables, alpha):
    before = disc.apply(smaller(variables), resampling.downsample(images))
    after, fading = (
      disc.apply(variables, images, None, a) for a in (1.0, alpha)
    )
    return before, after, fading

  for alpha, index in ((0.0, 0), (1.0, 1)):
    out = compute(variables, alpha)
    np.testing.assert_allclose(out[2], out[index], rtol=1e-4, atol=1e-5)


def test_labels_are_seen_by_both():
  z, images = normal(3, 3), np.ones((3, 8, 8, 3), np.float32)
  labels = np.eye(3, dtype=np.float32)
  network = generator(8, classes=3)
  variables = init(network, z, labels)
  styles = jax.jit(lambda v, x: network.apply(v, z, x, method='map_latents'))
  w = [np.asarray(styles(variables, x)) for x in (labels, labels[::-1])]
  assert list(np.any(w[0] != w[1], axis=-1)) == [True, False, True]
  disc = progressive.Discriminator(classes=3, **SMALL)
  variables = init(disc, images, labels)
  logits = apply(disc, variables, images, labels)
  assert len(set(np.asarray(logits).round(4))) == 3


def test_bfloat16_computes_in_it_and_returns_float32():
  network = generator(8, dtype='bfloat16')
  z = normal(2, 3)
  variables = init(network, z)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype('float32')}

  @jax.jit
  def compute(variables):
    return [
      net.apply(variables, z, rngs=RNGS) for net in (network, generator(8))
    ]

  images, exact = compute(variables)
  assert images.dtype == jnp.float32
  difference = np.abs(np.asarray(images) - np.asarray(exact))
  assert 0 < difference.max() < 0.2 * np.std(exact)
