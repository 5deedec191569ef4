"""oneDNN's maps against the pure ones, which are tested against float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_conv
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.config import load, stages
from gen_jax.models.layers import conv as conv_lib
from gen_jax.models.layers import conv_native, conv_triple
from gen_jax.runtime import native_build, processor
from gen_jax.training import cost
from gen_jax.training.experiment import Experiment

needs_library = pytest.mark.skipif(
  not conv_native.available(), reason="pip install -e '.[native]', and a c++"
)
# Those whose padding oneDNN takes, too.
CASES = [c for c in test_conv.CASES if c != 'cropping']


needs_bfloat16 = pytest.mark.skipif(
  not processor.multiplies_bfloat16(),
  reason='oneDNN needs AMX or AVX512-BF16 for it',
)


def close(a, b, rtol=1e-5, atol=3e-5):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(
      np.float32(x), np.float32(y), rtol=rtol, atol=atol
    ),
    a,
    b,
  )


@needs_library
@pytest.mark.parametrize('case', CASES)
def test_the_maps_are_those_of_the_triple(case):
  close(*maps_of(case, jnp.float32))


@needs_library
@needs_bfloat16
@pytest.mark.parametrize('case', CASES)
def test_the_maps_are_those_of_the_triple_in_bfloat16(case):
  native, pure = maps_of(case, jnp.bfloat16)
  assert all(x.dtype == jnp.bfloat16 for x in native)
  close(native, pure, rtol=2**-8)  # the results are rounded to 8 bits


# For conv_amx.h, in the form of test_conv.CASES. The first ones have blocks of
# one pixel of many images, and the others those of pixels of an image. All have
# enough channels for conv_native.cc to choose it, but for D of 'groups'.
AMX_CASES = {
  'images': ((32, 7, 6, 40), (3, 5, 40, 70), (2, 1), ((1, 1), (2, 2))),
  'and zeros': ((60, 5, 4, 47), (3, 3, 47, 51), (1, 1), ((1, 1), (1, 0))),
  'phases': ((32, 9, 9, 50), (5, 5, 50, 70), (2, 2), ((2, 2), (1, 2))),
  'wide padding': ((32, 4, 5, 70), (3, 2, 70, 300), (2, 2), ((4, 3), (2, 5))),
  'groups': ((32, 5, 5, 16), (3, 3, 16, 512), (1, 1), ((1, 1), (1, 1))),
  'empty phase': ((32, 1, 5, 64), (3, 3, 64, 180), (2, 2), ((1, 1), (1, 1))),
  'pixels': ((3, 9, 8, 33), (3, 3, 33, 130), (2, 2), ((1, 1), (0, 1))),
  'many images': ((20, 5, 6, 50), (3, 3, 50, 64), (1, 1), ((1, 1), (1, 1))),
  'gaps': ((2, 9, 10, 64), (2, 2, 64, 580), (3, 3), ((0, 0), (0, 0))),
  'one image': ((1, 18, 18, 64), (3, 3, 64, 32), (1, 1), ((0, 0), (0, 0))),
  'one pixel': ((1, 4, 4, 32), (4, 4, 32, 17), (1, 1), ((0, 0), (0, 0))),
}  # fmt: skip


@needs_library
@pytest.mark.skipif(
  'amx_bf16' not in processor.instructions(), reason='needs AMX'
)
@pytest.mark.parametrize('case', AMX_CASES)
def test_the_maps_by_amx(case):
  native, pure = maps_of(case, jnp.bfloat16, AMX_CASES)
  for a, b in zip(native, pure, strict=True):
    # Sums of numbers that cancel keep the error of their terms.
    size = float(jnp.abs(b).max())
    close(a, b, rtol=2**-8, atol=size * 1e-5)


# Where the maps are products of matrices, these need several blocks of columns:
# few, which two threads share, and many. The last one has 1024 columns for each
# pixel, between which there is a gap.
BLOCKS = {
  'rows': ((5, 33, 33, 32), (3, 3, 32, 12), 1),
  'images': ((16, 63, 63, 16), (3, 3, 16, 12), 2),
  'a gap': ((3, 16, 16, 64), (4, 4, 64, 12), 2),
}


@needs_library
@pytest.mark.parametrize('case', BLOCKS)
def test_the_maps_of_many_images(case):
  shape, kernel, stride = BLOCKS[case]
  x, w = test_conv.arrays(shape, kernel)

  def maps(x, w):
    y, gradients = jax.vjp(
      functools.partial(conv_lib.conv, strides=stride), x, w
    )
    return y, *gradients(jnp.cos(y))

  ours = jax.jit(maps).lower(x, w)
  assert all(f'gen_jax_conv_{name}' in ours.as_text() for name in 'FDW')
  with conv_native.off():
    pure = jax.jit(maps)(x, w)
  for a, b in zip(ours.compile()(x, w), pure, strict=True):
    close(a / jnp.abs(b).max(), b / jnp.abs(b).max(), atol=1e-5)


def maps_of(case, dtype, cases=test_conv.CASES):
  """Returns oneDNN's in a type, and the pure ones of equal numbers."""
  *arrays, geo = test_conv.make(case, cases)
  assert conv_native._fits(geo)
  rounded = [a.astype(dtype) for a in arrays]

  def maps(lib, x, w, y):
    with conv_native.off():
      return lib.F(x, w, geo), lib.D(y, w, geo), lib.W(x, y, geo)

  native = jax.jit(functools.partial(maps, conv_native))(*rounded)
  pure = jax.jit(functools.partial(maps, conv_triple))(
    *(a.astype(jnp.float32) for a in rounded)
  )
  return native, pure


@needs_library
def test_each_device_computes_its_part_of_a_sharded_batch():
  x, w, y, geo = test_conv.make('stride 2, even')
  mesh = Mesh(np.asarray(jax.devices()[:2]), 'd')
  whole, batch = (NamedSharding(mesh, PartitionSpec(*p)) for p in ((), ('d',)))

  def maps(x, w, y):
    return (
      conv_native.F(x, w, geo),
      conv_native.D(y, w, geo),
      conv_native.W(x, y, geo),
    )

  divided = jax.jit(maps, in_shardings=(batch, whole, batch))
  program = divided.lower(x, w, y).compile()
  text = program.as_text()
  assert 'all-gather' not in text and text.count(' all-reduce(') == 1
  assert program.output_shardings == (batch, batch, whole)
  close(program(x, w, y), jax.jit(maps)(x, w, y))


@needs_library
def test_a_batch_that_a_reshape_divides_among_some_devices():
  # Of [2, 4] images, two parts of four devices have the axis of 4.
  x, w = test_conv.arrays((2, 4, 6, 6, 12), (3, 3, 12, 12))
  mesh = Mesh(np.asarray(jax.devices()[:8]), 'd')
  batch = NamedSharding(mesh, PartitionSpec('d'))

  def maps(x):
    y = jax.lax.map(lambda part: conv_lib.conv(part, w), x)
    return y.reshape(-1, *y.shape[2:])

  divided = jax.jit(maps, out_shardings=batch)
  assert 'gen_jax_conv_F' in divided.lower(x).compile().as_text()
  close(divided(x), jax.jit(maps)(x))


@needs_library
@pytest.mark.parametrize('transposed', [False, True])
def test_gradients_of_gradients_agree(transposed):
  x, w = test_conv.arrays((3, 8, 8, 9), (3, 3, 9, 10))
  fn = conv_lib.conv_transpose if transposed else conv_lib.conv

  def penalty(w, x):
    def score(x):
      return jnp.sum(jnp.tanh(fn(x, w, strides=2) / 10))

    return jnp.sum(jnp.square(jax.grad(score)(x)))

  ours = jax.jit(jax.grad(penalty, argnums=(0, 1))).lower(w, x)
  assert 'gen_jax_conv_W' in ours.as_text()
  with conv_native.off():
    pure = jax.jit(jax.grad(penalty, argnums=(0, 1))).lower(w, x)
  assert 'gen_jax_conv' not in pure.as_text()
  close(ours.compile()(w, x), pure.compile()(w, x))


@needs_library
def test_inside_a_loop_and_mapped():
  x, w = test_conv.arrays((2, 3, 6, 6, 12), (3, 3, 12, 12))

  def one(x):
    return conv_lib.conv(x, w)

  @jax.jit
  def forms(x):
    each = jnp.stack([one(a) for a in x])
    return each, jax.vmap(one)(x), jax.lax.map(one, x)

  each, mapped, looped = forms(x)
  close(mapped, each)
  close(looped, each)


@needs_library
def test_whom_it_serves(monkeypatch):
  x, w, _, geo = test_conv.make('plain')
  assert conv_native.takes('F', x, w, geo)
  low = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
  assert not conv_native.takes('F', low[0], w, geo)
  assert not conv_native.takes('F', x.astype(jnp.float16), low[1], geo)
  for there in (True, False, None):
    monkeypatch.setattr(processor, 'multiplies_bfloat16', lambda t=there: t)
    assert conv_native.takes('F', *low, geo) == bool(there)
  assert not conv_native.takes('F', x[..., :1], w[:, :, :1, :8], geo)
  x, w, y, geo = test_conv.make('from colors')
  assert conv_native.takes('F', x, w, geo)
  assert not conv_native.takes('D', y, w, geo)  # to three channels
  x, w, _, geo = test_conv.make('cropping')
  assert not conv_native.takes('F', x, w, geo)


@needs_library
def test_the_cost_of_a_step_counts_its_operations():
  config = load('configs/dcgan.py:test')
  config.objective.disc.channels = (12, 16)  # as many as oneDNN is asked for
  experiment = Experiment(stages.plan(config)[0])
  found = cost.mean_flops(experiment)
  with conv_native.off():
    assert found == cost.mean_flops(experiment)


def test_without_a_compiler_it_says_so_and_the_pure_forms_serve(
  monkeypatch, tmp_path
):
  if not conv_native.available():
    pytest.skip('needs oneDNN')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.setenv('CXX', 'false')
  with pytest.warns(UserWarning, match='cannot be used'):
    assert not conv_native.available.__wrapped__()
  monkeypatch.setenv('CXX', 'no-such-compiler')
  with pytest.warns(UserWarning, match='no-such-compiler'):
    assert not conv_native.available.__wrapped__()


def test_without_the_package_it_is_silent(monkeypatch, recwarn):
  monkeypatch.setattr(native_build, '_PACKAGES', ('no-such-package',))
  assert not conv_native.available.__wrapped__()
  assert not recwarn


@needs_library
def test_it_repeats_itself_bit_for_bit():
  # What a resumed run relies on; sums over the batch are made by many threads.
  x, y = test_conv.arrays((64, 14, 14, 24), (64, 7, 7, 40))
  geo = conv_triple.Geometry((14, 14), (7, 7), (3, 3), (2, 2), (0, 0))
  call = jax.jit(lambda x, y: conv_native.W(x, y, geo))
  first = call(x, y)
  for _ in range(20):
    np.testing.assert_array_equal(call(x, y), first)
