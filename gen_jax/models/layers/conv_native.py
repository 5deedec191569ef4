"""The maps of `conv_triple.py` by oneDNN, where that is installed and faster.

  pip install -e '.[native]'

brings the library; `conv_native.cc` is compiled once, and XLA calls it. Where
anything of that is missing the pure forms serve. For float32, and for bfloat16
where the processor multiplies it; there, too, sums are float32.

XLA cannot look into these calls. How a sharded batch divides them is therefore
stated here: each device computes its part of the batch, and the parts of W are
summed. JAX's compilation cache does not keep such a program of several devices,
because its key would hold an address of this process.
"""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Generator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from gen_jax.distributed import collectives
from gen_jax.runtime import native_build, processor

# The triple and oneDNN's maps, median ms; 2 cores of an AMD EPYC with AVX-512.
# Beside PyTorch's, whole steps take .73 (DCGAN) to .87 (StyleGAN) of the time.
#
#   x, y, kernel, batch                      F           D           W
#   28x28x32, 14x14x64, 3x3, 128     5.8   5.7   8.1   7.2    11   7.0
#   28x28x64, 14x14x128, 5x5, 128     59    49    75    49    65    58
#   14x14x128, 14x14x64, 5x5, 128     67    42    53    43    58    43
#   14x14x64, 7x7x128, 3x3, 128      6.1   5.8   8.1   7.6   8.7   9.9
#   32x32x64, 32x32x64, 3x3, 32       15    12    14    12    22    14
#   16x16x256, 16x16x256, 3x3, 1     2.1   1.9   3.5   2.1   2.8   2.8
#   28x28x1, 28x28x64, 5x5, 128      7.1   3.6   5.0    23   9.8   5.2
#   28x28x64, 28x28x1, 5x5, 128      4.9    24   7.5   3.6   7.8    23
#   32x32x64, 32x32x3, 1x1, 32        .9   1.3   1.0    .6   1.9    .8
#
# So a map to few channels is better off with the pure form. Without AVX-512
# conv_native.cc computes W, and D with a stride, as products of matrices. One
# core of an AMD EPYC with AVX2, oneDNN's kernel and the product, median ms:
#
#   x, y, kernel, batch                      D           W
#   28x28x32, 14x14x64, 3x3, 128      22    16    17    18
#   28x28x64, 14x14x128, 5x5, 128    176   125   205   158
#   14x14x64, 7x7x128, 3x3, 128       18    13    16    12
#   32x32x64, 32x32x64, 3x3, 32       33    35    48    39
#   16x16x256, 16x16x256, 3x3, 1     5.1   5.2   6.5   5.0
#   64x64x64, 32x32x128, 3x3, 2      7.3   4.5    11   5.2
#   14x14x64, 7x7x128, 4x4, 64        15    12    17    14
#
# With AMX conv_amx.h computes most maps of bfloat16. Two cores of an Intel Xeon
# (Emerald Rapids), oneDNN's kernel and that file's, least of 120 times in ms:
#
#   x, y, kernel, batch                      F           D           W
#   28x28x32, 14x14x64, 3x3, 128     1.2*  1.5   2.0*  2.7   1.8   2.1*
#   7x7x128, 7x7x256, 5x5, 128        20   4.1*   21   6.6*   44   5.9*
#   14x14x128, 14x14x64, 5x5, 128     13   6.9*   14   7.2*   24   6.6*
#   14x14x64, 6x6x128, 5x5, 128      5.3   1.7*  4.2   2.0*   13   1.9*
#   14x14x256, 7x7x128, 4x4, 64      9.1   2.7*  4.0   2.4*   11   3.0*
#   32x32x64, 32x32x64, 3x3, 32      2.5*  2.8   1.0*  2.6   2.6   3.1*
#   18x18x256, 16x16x256, 3x3, 1      .7    .4*   .7    .5*  1.0    .5*
#   64x64x64, 32x32x128, 3x3, 2       .5    .3*   .6    .4*   .7    .4*
#   16x16x64, 16x16x64, 1x1, 128      .5*  1.1    .4*  1.0    .7*  1.2
#
# *: the one that conv_native.cc chooses. Both are slower where other machines
# use the same processor; the least time is of a moment in which they do not.
_NARROW = 8
_enabled = True


@contextlib.contextmanager
def off() -> Generator[None]:
  """Within it the pure forms are traced, whose operations XLA can count."""
  global _enabled
  before, _enabled = _enabled, False
  try:
    yield
  finally:
    _enabled = before


def takes(name: str, a: jax.Array, b: jax.Array, geo: Any) -> bool:
  """Whether the map `name` of these operands is to be computed here."""
  if a.dtype != b.dtype or min(geo.low) < 0:
    return False
  if not (_enabled and _faster(name, a, b) and _fits(geo)):
    return False
  return _multiplies(a.dtype) and available()


def _multiplies(dtype: jnp.dtype) -> bool:
  """Whether oneDNN has kernels of a type for this processor."""
  if dtype == jnp.bfloat16:
    return bool(processor.multiplies_bfloat16())
  return dtype == jnp.float32


def _faster(name: str, a: jax.Array, b: jax.Array) -> bool:
  """Whether what comes out has the channels to fill oneDNN's vectors."""
  if name == 'W':
    return b.shape[3] > _NARROW  # those of y
  return b.shape[3 if name == 'F' else 2] > _NARROW


def _fits(geo: Any) -> bool:
  """Whether y is as large as the padding that `_high` finds makes it."""
  rows = zip(*geo, _high(geo), strict=True)
  return all((n + lo + hi - k) // s + 1 == o for n, o, k, s, lo, hi in rows)


def _high(geo: Any) -> tuple[int, ...]:
  """The padding after the last pixel, each (vertical, horizontal)."""
  rows = zip(*geo, strict=True)
  return tuple(max(s * (o - 1) + k - low - n, 0) for n, o, k, s, low in rows)


def F(x: jax.Array, w: jax.Array, geo: Any) -> jax.Array:
  """Convolution: [B, H, W, C], [kh, kw, C, K] -> [B, Ho, Wo, K]."""
  return _divisible('F', geo)(x, w)


def D(y: jax.Array, w: jax.Array, geo: Any) -> jax.Array:
  """F transposed in x: [B, Ho, Wo, K], [kh, kw, C, K] -> [B, H, W, C]."""
  return _divisible('D', geo)(y, w)


def W(x: jax.Array, y: jax.Array, geo: Any) -> jax.Array:
  """F transposed in w: [B, H, W, C], [B, Ho, Wo, K] -> [kh, kw, C, K]."""
  return _divisible('W', geo)(x, y)


# The axes of both operands and of the result, in the names of their shapes.
_AXES = {
  'F': 'b h w c, u v c k -> b m n k',
  'D': 'b m n k, u v c k -> b h w c',
  'W': 'b h w c, b m n k -> u v c k',
}


@functools.cache
def _divisible(name: str, geo: Any) -> Callable[..., jax.Array]:
  """Returns a map whose operands may be sharded along their batch."""

  def local(a, b):
    numbers = np.array([*geo.strides, *geo.low, *_high(geo)], np.int64)
    sizes = {
      'F': (len(a), *geo.out, b.shape[-1]),
      'D': (len(a), *geo.size, b.shape[-2]),
      'W': (*geo.kernel, a.shape[-1], b.shape[-1]),
    }
    out = jax.ShapeDtypeStruct(sizes[name], a.dtype)
    return jax.ffi.ffi_call(_target(name), out)(a, b, geo=numbers)

  def partition(mesh, operands, result):
    del result
    shape = operands[0].shape
    # A reshape may have divided the batch among some of the devices. All take
    # part then if they can, because a mesh names no part of its axis.
    divided = operands[0].sharding.shard_shape(shape)[0] < shape[0]
    devices = None
    if divided and shape[0] % mesh.size == 0:
      devices = tuple(mesh.shape)  # names of its axes
    batch = NamedSharding(mesh, PartitionSpec(devices))
    whole = NamedSharding(mesh, PartitionSpec())
    if name != 'W':
      return mesh, local, batch, (batch, whole)

    def summed(x, y):
      return collectives.total(local(x, y), devices)

    return mesh, summed, whole, (batch, batch)

  call = custom_partitioning(local)
  axes = dict.fromkeys(a for a in _AXES[name] if a.isalpha())
  call.def_partition(
    partition,
    decode_shardings=False,
    sharding_rule=_AXES[name],
    reduction_factors=('b',) if name == 'W' else (),
    need_replication_factors=tuple(a for a in axes if a != 'b'),
  )
  return jax.custom_batching.sequential_vmap(call)


def _target(name: str) -> str:
  return f'gen_jax_conv_{name}'


@functools.cache
def available() -> bool:
  """Whether the library is there; compiles and loads it when first asked."""
  library = native_build.load(pathlib.Path(__file__).with_suffix('.cc'))
  if library is None:
    return False
  for name in 'FDW':
    handler = jax.ffi.pycapsule(getattr(library, name))
    jax.ffi.register_ffi_target(_target(name), handler, platform='cpu')
  return True
