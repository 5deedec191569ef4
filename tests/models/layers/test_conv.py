"""The convolution triple against float64 references and against flax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from forms import FORMS
from jax import lax

from gen_jax.models.layers import conv_triple
from gen_jax.models.layers.conv import Conv, ConvTranspose, conv, conv_transpose
from gen_jax.models.layers.conv_triple import Geometry

# Compiling is what takes the time here.
jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)

# x [B, H, W, C], w [kh, kw, C, K], strides, low and high padding.
CASES = {
  'plain': ((4, 6, 5, 12), (3, 3, 12, 13), (1, 1), ((1, 1), (1, 1))),
  'stride 2, even': ((4, 8, 6, 12), (3, 3, 12, 16), (2, 2), ((0, 1), (0, 1))),
  'stride 2, odd': ((5, 7, 9, 9), (5, 5, 9, 16), (2, 2), ((2, 2), (2, 2))),
  'narrowing': ((4, 7, 8, 16), (3, 4, 16, 9), (2, 2), ((1, 1), (1, 2))),
  'to one channel': ((4, 6, 6, 16), (3, 3, 16, 1), (1, 1), ((1, 1), (1, 1))),
  'large, to colors': ((2, 8, 8, 12), (7, 7, 12, 3), (1, 1), ((3, 3), (3, 3))),
  'from one channel': ((4, 8, 8, 1), (3, 3, 1, 8), (2, 2), ((0, 1), (0, 1))),
  'from colors': ((4, 9, 8, 3), (5, 5, 3, 10), (2, 2), ((2, 2), (1, 2))),
  '1x1': ((4, 5, 4, 12), (1, 1, 12, 9), (1, 1), ((0, 0), (0, 0))),
  '1x1, stride 2': ((4, 6, 5, 12), (1, 1, 12, 16), (2, 2), ((0, 0), (0, 0))),
  'gaps': ((4, 9, 10, 16), (2, 2, 16, 12), (3, 3), ((0, 0), (0, 0))),
  'leftover': ((4, 9, 8, 12), (3, 3, 12, 16), (3, 2), ((0, 0), (0, 0))),
  'mixed strides': ((4, 8, 7, 16), (4, 3, 16, 10), (1, 2), ((1, 2), (1, 1))),
  'one image': ((1, 8, 9, 12), (3, 3, 12, 12), (2, 2), ((1, 1), (1, 1))),
  'wide padding': ((4, 4, 5, 16), (3, 2, 16, 12), (2, 2), ((4, 3), (2, 5))),
  'cropping': ((4, 8, 8, 16), (3, 3, 16, 16), (2, 2), ((-1, 0), (-2, -1))),
  'whole image': ((4, 4, 4, 16), (4, 4, 16, 1), (1, 1), ((0, 0), (0, 0))),
}


def arrays(*shapes, dtype=np.float32, seed=0):
  rng = np.random.default_rng(seed)
  return [rng.standard_normal(s).astype(dtype) for s in shapes]


def make(case, cases=CASES):
  """Returns x, w, y (float32) and the geometry of a case."""
  x_shape, w_shape, strides, pads = cases[case]
  out = tuple(
    (n + lo + hi - k) // s + 1
    for n, (lo, hi), k, s in zip(
      x_shape[1:3], pads, w_shape[:2], strides, strict=True
    )
  )
  low = (pads[0][0], pads[1][0])
  geo = Geometry(x_shape[1:3], out, w_shape[:2], strides, low)
  y_shape = (x_shape[0], *out, w_shape[3])
  return *arrays(x_shape, w_shape, y_shape), geo


def taps(geo):
  """Yields u, v, and the pixels of x, with those of y, that they join."""

  def axis(i, u):
    n, o, _, s, low = (field[i] for field in geo)
    ys = [j for j in range(o) if 0 <= s * j + u - low < n]
    return [s * j + u - low for j in ys], ys

  for u in range(geo.kernel[0]):
    for v in range(geo.kernel[1]):
      (xr, yr), (xc, yc) = axis(0, u), axis(1, v)
      yield u, v, np.ix_(xr, xc), np.ix_(yr, yc)


def reference(x, w, y, geo):
  """F(x, w), D(y, w), W(x, y) by their definitions, in float64."""
  # Pixels first, so that pairs of pixel lists index the leading axes.
  x, y = (np.moveaxis(a.astype(np.float64), 0, 2) for a in (x, y))
  f, d, dw = np.zeros_like(y), np.zeros_like(x), np.zeros(w.shape)
  for u, v, ix, iy in taps(geo):
    f[iy] += x[ix] @ w[u, v]
    d[ix] += y[iy] @ w[u, v].T
    dw[u, v] = np.einsum('ijbc,ijbk->ck', x[ix], y[iy])
  return np.moveaxis(f, 2, 0), np.moveaxis(d, 2, 0), dw


def assert_near(actual, expected, tolerance=2e-6):
  """Compares relative to the largest entry."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  scale = max(np.abs(expected).max(), 1e-6)
  assert np.abs(actual - expected).max() <= tolerance * scale


def assert_trees_near(actual, expected, tolerance=2e-6):
  near = functools.partial(assert_near, tolerance=tolerance)
  jax.tree.map(near, actual, expected)


@functools.partial(jit, static_argnums=(3, 4))
def triple(x, w, y, geo, forms):
  with FORMS[forms]():
    return (
      conv_triple.F(x, w, geo),
      conv_triple.D(y, w, geo),
      conv_triple.W(x, y, geo),
    )


@pytest.mark.parametrize('forms', FORMS)
@pytest.mark.parametrize('case', CASES)
def test_triple_is_its_definition_and_transposed(case, forms):
  x, w, y, geo = make(case)
  f, d, dw = triple(x, w, y, geo, forms)
  assert_trees_near((f, d, dw), reference(x, w, y, geo))
  # <F(x, w), y> = <x, D(y, w)> = <w, W(x, y)>
  products = [np.vdot(*p) for p in ((f, y), (x, d), (w, dw))]
  norm = np.linalg.norm(f) * np.linalg.norm(y)
  assert np.ptp(products) < 1e-6 * norm


def lax_conv(x, w, strides, pads):
  return lax.conv_general_dilated(
    x, w, strides, pads, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


@pytest.mark.parametrize(
  'case',
  ['stride 2, odd', 'narrowing', 'to one channel', 'from one channel', 'gaps'],
)
@pytest.mark.parametrize('forms', FORMS)
def test_gradients_of_gradients(case, forms):
  _, _, strides, pads = CASES[case]

  def losses(fn, x, w):
    def score(x, w):
      return jnp.sin(fn(x, w)).sum(axis=(1, 2, 3))  # [B]

    def penalty(x, w):  # differentiates twice, as R1 and WGAN-GP do
      return (jax.grad(lambda x: score(x, w).sum())(x) ** 2).sum()

    def sharpness(x, w):
      gx, gw = jax.grad(lambda *a: score(*a).sum(), argnums=(0, 1))(x, w)
      return (gx**2).sum() + (gw**3).sum()

    grad = functools.partial(jax.value_and_grad, argnums=(0, 1))
    return (
      grad(lambda x, w: score(x, w).sum())(x, w),
      grad(penalty)(x, w),
      grad(sharpness)(x, w),
    )

  x, w, _, _ = make(case)
  ours = functools.partial(conv, strides=strides, padding=pads)
  plain = functools.partial(lax_conv, strides=strides, pads=pads)
  with jax.enable_x64(True), FORMS[forms]():
    x, w = x.astype(np.float64), w.astype(np.float64) / 4
    actual, expected = jit(
      lambda *args: [losses(fn, *args) for fn in (ours, plain)]
    )(x, w)
    assert jax.tree.leaves(actual)[0].dtype == jnp.float64
    assert_trees_near(actual, expected, 1e-12)


class Net(nn.Module):
  """Down, up, and out, with the layers given."""

  conv: type[nn.Module]
  conv_transpose: type[nn.Module]

  @nn.compact
  def __call__(self, x):
    x = nn.tanh(self.conv(10, (3, 3), strides=(2, 2))(x))
    x = nn.tanh(self.conv_transpose(12, (3, 3), strides=(2, 2))(x))
    return self.conv_transpose(1, (3, 3), use_bias=False)(x)


OURS, FLAX = Net(Conv, ConvTranspose), Net(nn.Conv, nn.ConvTranspose)


@functools.cache
def params_and_input():
  (x,) = arrays((8, 8, 6, 1))
  return jit(OURS.init)(jax.random.key(0), x), x


def step(net, params, x, axis=None):
  """One step of gradient descent."""

  def loss(params):
    out = net.apply(params, x)
    return ((out - x) ** 2).mean() + out.mean()

  value, grads = jax.value_and_grad(loss)(params)
  if axis:
    value, grads = lax.pmean((value, grads), axis)
  return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value


@functools.cache
def once():
  return jit(functools.partial(step, OURS))


def test_a_network_has_the_parameters_and_the_training_of_flax():
  params, x = params_and_input()
  expected = jit(FLAX.init)(jax.random.key(0), x)
  jax.tree.map(np.testing.assert_array_equal, params, expected)
  steps = once(), jit(functools.partial(step, FLAX))
  for _ in range(3):
    params, value = steps[0](params, x)
    expected, expected_value = steps[1](expected, x)
  assert_trees_near((params, value), (expected, expected_value), 1e-5)


@pytest.mark.parametrize('loop', ['scan', 'fori_loop', 'while_loop'])
def test_in_a_loop_as_outside(loop):
  params, x = params_and_input()
  update = functools.partial(step, OURS)

  @jit
  def run(params):
    if loop == 'scan':
      return lax.scan(lambda p, _: update(p, x), params, length=3)[0]
    if loop == 'fori_loop':
      return lax.fori_loop(0, 3, lambda i, p: update(p, x)[0], params)
    return lax.while_loop(
      lambda c: c[0] < 3, lambda c: (c[0] + 1, update(c[1], x)[0]), (0, params)
    )[1]

  actual = run(params)
  for _ in range(3):
    params, _ = once()(params, x)
  assert_trees_near(actual, params, 1e-5)


def test_under_vmap():
  xs, ws = arrays((3, 4, 7, 6, 12), (3, 3, 3, 12, 9))

  def grads(fn):
    def one(x, w):
      return jax.grad(lambda *a: jnp.sin(fn(*a)).sum(), argnums=(0, 1))(x, w)

    return jax.vmap(one)

  pads = ((1, 1), (1, 1))
  ours = functools.partial(conv, strides=2, padding=pads)
  plain = functools.partial(lax_conv, strides=(2, 2), pads=pads)
  both = jit(lambda *args: (grads(ours)(*args), grads(plain)(*args)))
  assert_trees_near(*both(xs, ws), 1e-5)


@pytest.mark.parametrize(
  'kernel, strides, padding',
  [
    ((3, 3), (2, 2), 'SAME'),
    ((4, 5), (2, 1), 'SAME'),
    ((2, 3), (3, 2), 'SAME'),
    ((4, 4), (1, 1), 'VALID'),
    ((2, 5), (3, 2), 'VALID'),
    ((3, 4), (2, 2), ((1, 2), (0, 3))),
    ((3, 3), (1, 1), 2),
  ],
)
@pytest.mark.parametrize(
  'ours, theirs', [(Conv, nn.Conv), (ConvTranspose, nn.ConvTranspose)]
)
def test_layers_are_drop_in(ours, theirs, kernel, strides, padding):
  x, w, b = arrays((4, 7, 6, 9), (*kernel, 9, 10), (10,))
  params = {'params': {'kernel': w, 'bias': b}}
  kwargs = dict(strides=strides, padding=padding)
  ours, theirs = ours(10, kernel, **kwargs), theirs(10, kernel, **kwargs)

  def values(layer, *args):
    def loss(params, x):
      out = layer.apply(params, x)
      return jnp.sin(out).sum(), out

    return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(*args)

  both = jit(lambda *args: (values(ours, *args), values(theirs, *args)))
  assert_trees_near(*both(params, x), 1e-5)


@pytest.mark.parametrize('channels', [(12, 10), (16, 1), (1, 10)])
@pytest.mark.parametrize('layer', [Conv, ConvTranspose])
def test_bfloat16(layer, channels):
  c, k = channels
  x, w, b = arrays((4, 6, 6, c), (3, 3, c, k), (k,))
  params = {'params': {'kernel': w, 'bias': b}}

  def values(layer, *args):
    def loss(params, x):
      out = layer.apply(params, x)
      return (out.astype(jnp.float32) ** 2).sum(), out

    return jax.grad(loss, argnums=(0, 1), has_aux=True)(*args)

  layers = layer(k, (3, 3), dtype=jnp.bfloat16), layer(k, (3, 3))
  (grads, out), expected = jit(
    lambda *args: [values(layer, *args) for layer in layers]
  )(params, x)
  assert out.dtype == jnp.bfloat16
  assert jax.tree.leaves(grads)[0].dtype == jnp.float32
  assert_trees_near((grads, out), expected, 0.03)


@pytest.mark.skipif(jax.device_count() < 2, reason='needs two devices')
@pytest.mark.parametrize('parallel', ['jit', 'pmap'])
def test_on_two_devices_as_on_one(parallel):
  params, x = params_and_input()
  update = functools.partial(step, OURS)
  expected = once()(params, x)
  devices = jax.devices()[:2]
  if parallel == 'pmap':
    update = jax.pmap(
      functools.partial(update, axis='i'),
      axis_name='i',
      in_axes=(None, 0),
      devices=devices,
    )
    actual = update(params, x.reshape(2, 4, *x.shape[1:]))
    actual = jax.tree.map(lambda a: a[0], actual)
  else:
    mesh = jax.sharding.Mesh(np.array(devices), ('i',))
    spec = jax.sharding.PartitionSpec('i')
    x = jax.device_put(x, jax.sharding.NamedSharding(mesh, spec))
    actual = jit(update)(params, x)
  assert_trees_near(actual, expected, 1e-5)


ONES = np.ones((1, 4, 4, 3), np.float32)
KERNEL = np.ones((5, 5, 3, 2), np.float32)


@pytest.mark.parametrize(
  'call, message',
  [
    (lambda: conv(ONES[0], KERNEL), 'B, H, W, C'),
    (lambda: conv(ONES, KERNEL[..., :1, :]), 'channels'),
    (lambda: conv(ONES, KERNEL, padding='VALID'), 'no output'),
    (lambda: conv_transpose(ONES, KERNEL, padding=0), 'no output'),
    (lambda: conv(ONES, KERNEL, padding='same'), "'SAME'"),
    (lambda: conv(ONES, KERNEL, strides=[1]), 'two of them'),
    (lambda: Conv(2, 3).init(jax.random.key(0), ONES[0]), 'Conv needs'),
    (lambda: ConvTranspose(2, 3).init(jax.random.key(0), ONES[0]), 'e needs'),
  ],
)
def test_errors_say_what_is_wrong(call, message):
  with pytest.raises(ValueError, match=message):
    call()
