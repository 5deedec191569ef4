"""2-D convolutions as a closed triple of bilinear maps, for every platform.

With stride s, padding l before the first pixel, and channels left out,

  F(x, w)[i] = sum_u x[s i + u - l] w[u]              a convolution,
  D(y, w)[p] = sum_{i, u: s i + u - l = p} y[i] w[u]  its transpose in x,
  W(x, y)[u] = sum_i x[s i + u - l] y[i]              its transpose in w,

  <F(x, w), y> = <x, D(y, w)> = <w, W(x, y)>.

The two gradients of each map are the other two maps, so the triple is closed
under reverse mode in any order: gradient penalties differentiate it twice. A
transposed convolution is D. (Forward mode is not defined for the triple, and
`shard_map` needs check_vma=False; `jit` over a sharded batch needs nothing.)

JAX's own gradients are convolutions that XLA:CPU rewrites into forms with fast
kernels, but not inside the body of a loop, where they are up to 134 times
slower. On the CPU every map is therefore made of plain NHWC x HWIO convolutions
and matrix products, or computed by oneDNN. On other platforms each map is one
convolution, the same that JAX's own gradients are (see `platforms.py`).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.models.layers import conv_native, platforms
from gen_jax.models.layers.linear import product

Pair = tuple[int, ...]  # (vertical, horizontal)
Pads = tuple[Pair, ...]


class Geometry(NamedTuple):
  """The static part of a convolution; each field is (vertical, horizontal)."""

  size: Pair  # of x
  out: Pair  # of y
  kernel: Pair
  strides: Pair
  low: Pair  # the padding l; may be negative


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def F(x: jax.Array, w: jax.Array, geo: Geometry) -> jax.Array:
  """Convolution: [B, H, W, C], [kh, kw, C, K] -> [B, Ho, Wo, K]."""
  return _by_platform('F', _cpu_f, _plain_f, x, w, geo)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def D(y: jax.Array, w: jax.Array, geo: Geometry) -> jax.Array:
  """F transposed in x: [B, Ho, Wo, K], [kh, kw, C, K] -> [B, H, W, C]."""
  return _by_platform('D', _cpu_d, _plain_d, y, w, geo)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def W(x: jax.Array, y: jax.Array, geo: Geometry) -> jax.Array:
  """F transposed in w: [B, H, W, C], [B, Ho, Wo, K] -> [kh, kw, C, K]."""
  return _by_platform('W', _cpu_w, _plain_w, x, y, geo)


F.defvjp(
  lambda x, w, geo: (F(x, w, geo), (x, w)),
  lambda geo, xw, dy: (D(dy, xw[1], geo), W(xw[0], dy, geo)),
)
D.defvjp(
  lambda y, w, geo: (D(y, w, geo), (y, w)),
  lambda geo, yw, dx: (F(dx, yw[1], geo), W(dx, yw[0], geo)),
)
W.defvjp(
  lambda x, y, geo: (W(x, y, geo), (x, y)),
  lambda geo, xy, dw: (D(xy[1], dw, geo), F(xy[0], dw, geo)),
)


def _by_platform(
  name: str,
  cpu: Callable[..., jax.Array],
  plain_form: Callable[..., jax.Array],
  a: jax.Array,
  b: jax.Array,
  geo: Geometry,
) -> jax.Array:
  """Returns a map of a and b in the form that suits the platform."""

  def on_cpu(a, b):  # traced, and oneDNN built, only where this form is needed
    native = conv_native.takes(name, a, b, geo)
    return (getattr(conv_native, name) if native else cpu)(a, b, geo)

  plain_form = functools.partial(plain_form, geo=geo)
  return platforms.by_platform(a, b, cpu=on_cpu, plain=plain_form)


# The forms for other platforms: F, and what JAX's own gradients of it are.


def _plain_f(x: jax.Array, w: jax.Array, geo: Geometry) -> jax.Array:
  return plain(x, w, _all_pads(geo), window_strides=geo.strides)


def _plain_d(y: jax.Array, w: jax.Array, geo: Geometry) -> jax.Array:
  w = jnp.flip(w, (0, 1)).swapaxes(2, 3)  # [kh, kw, K, C]
  return plain(y, w, _dilated_pads(geo), lhs_dilation=geo.strides)


def _plain_w(x: jax.Array, y: jax.Array, geo: Geometry) -> jax.Array:
  w = jax.ShapeDtypeStruct((*geo.kernel, x.shape[3], y.shape[3]), x.dtype)
  (w,) = jax.linear_transpose(lambda w: _plain_f(x, w, geo), w)(y)
  return w


# The forms for the CPU. Which is fastest was measured: 2 cores, float32, batch
# 128 unless said; median ms of alternating runs, * is the form that these
# shapes get; each row is one run. At stride 2 (W's first row) these are slower
# than the plain form of W by: columns 1.3, phases of x 1.5, rows 1.7, space to
# depth 1.8, a product per tap 2.6, part of the batch as a third dimension 7.
# Splitting the batch changed nothing, nor did turning x in two passes (of 8 or
# 16 images, of rows, of pixels), though the turning is a third of all.
#
#   map  x, y, kernel                          plain  other forms
#   F    28x28x1, 28x28x32, 3x3                  3.9  gather 2.2*
#   F    28x28x64, 28x28x1, 5x5                   17  scatter 3.4*
#   F    64x64x64, 64x64x3, 7x7, batch 4          27  scatter 6.9*
#   D    28x28x32, 14x14x64, 3x3                 8.9  phases 6.2*
#   D    14x14x64, 7x7x128, 5x5                   22  phases 14*
#   D    32x32x3, 16x16x64, 5x5                 6.0*  phases 22, scatter 9.5
#   W    28x28x32, 14x14x64, 3x3                 12*  phases 16
#   W    14x14x64, 7x7x32, 3x3                   3.7  phases 2.6*
#   W    32x32x64, 32x32x3, 3x3                   29  phases 9.2*
#   W    64x64x64, 32x32x128, 3x3, batch 1       2.5  columns 1.8*


def _cpu_f(x: jax.Array, w: jax.Array, geo: Geometry) -> jax.Array:
  x, pads = _fit(x, geo)
  return _correlate(x, w, geo.strides, pads)


def _cpu_d(y: jax.Array, w: jax.Array, geo: Geometry) -> jax.Array:
  if geo.strides != (1, 1) and w.shape[2] <= 8:
    # The phases would have too few output channels to fill a vector.
    return _plain_d(y, w, geo)
  w = jnp.flip(w, (0, 1)).swapaxes(2, 3)  # [kh, kw, K, C]
  # Phase (r, q) of x meets only the taps first, first + s, ... of each axis:
  # small exact convolutions, with no zeros put between the pixels of y.
  rows = [
    jnp.stack([_phase_of_x(y, w, geo, r, q) for q in _phases(geo, 1)], axis=3)
    for r in _phases(geo, 0)
  ]
  x = jnp.stack(rows, axis=2)  # [B, ceil(H / s), s, ceil(W / s), s, C]
  b, m, s, n, t, c = x.shape
  return x.reshape(b, m * s, n * t, c)[:, : geo.size[0], : geo.size[1]]


def _cpu_w(x: jax.Array, y: jax.Array, geo: Geometry) -> jax.Array:
  c, k = x.shape[3], y.shape[3]
  if c > k and geo.kernel != (1, 1):
    return _w_by_phases(x, y, geo)
  x, pads = _fit(x, geo)
  if geo.kernel == (1, 1) or x.shape[0] < 4:
    x = _columns(x, geo.kernel, geo.strides, pads)
    w = product(x.reshape(-1, x.shape[3]).T, y.reshape(-1, k))
    return w.reshape(*geo.kernel, c, k)
  return _contract(x, y, geo.strides, pads)


def plain(x: jax.Array, w: jax.Array, pads: Pads, **kwargs: Any) -> jax.Array:
  """Returns XLA's own convolution of x [B, H, W, C] and w [kh, kw, C, K]."""
  kwargs.setdefault('window_strides', (1, 1))
  return lax.conv_general_dilated(
    x,
    w,
    padding=[(a, b) for a, b in pads],
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    **kwargs,
  )


def _pad(x: jax.Array, *edges: tuple[int, int, int]) -> jax.Array:
  """Zeros (before, after, between) along the first axes; negative: crops."""
  edges += ((0, 0, 0),) * (x.ndim - len(edges))
  return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _correlate(
  x: jax.Array, w: jax.Array, strides: Pair, pads: Pads
) -> jax.Array:
  """A convolution; XLA's own is slow with few channels on either side."""
  kh, kw, c, k = w.shape
  if kh * kw * c <= 32:  # gather
    x = _columns(x, (kh, kw), strides, pads)
    return product(x, w.reshape(-1, k))
  if strides == (1, 1) and k <= 12 and 4 * k <= c:  # scatter
    # All taps of each pixel by one product, then shift them into place.
    wide = jnp.promote_types(x.dtype, jnp.float32)
    z = lax.dot_general(
      x, w, (((3,), (2,)), ((), ())), preferred_element_type=wide
    )  # [B, H, W, kh, kw, K]
    (a, b), (d, e) = pads
    shifted = (
      _pad(
        z[:, :, :, u, v],
        (0, 0, 0),
        (a - u, b - (kh - 1 - u), 0),
        (d - v, e - (kw - 1 - v), 0),
      )
      for u in range(kh)
      for v in range(kw)
    )
    return functools.reduce(jnp.add, shifted).astype(x.dtype)
  return plain(x, w, pads, window_strides=strides)


def _columns(
  x: jax.Array, kernel: Pair, strides: Pair, pads: Pads
) -> jax.Array:
  """The patches of x: [B, H, W, C] -> [B, Ho, Wo, kh * kw * C]."""
  (top, bottom), (left, right) = pads
  x = _pad(x, (0, 0, 0), (top, bottom, 0), (left, right, 0))
  (kh, kw), (sh, sw), (h, wd) = kernel, strides, x.shape[1:3]
  return jnp.concatenate(
    [
      x[:, u : h - kh + u + 1 : sh, v : wd - kw + v + 1 : sw]
      for u in range(kh)
      for v in range(kw)
    ],
    axis=3,
  )


def _contract(
  x: jax.Array, y: jax.Array, dilation: Pair, pads: Pads
) -> jax.Array:
  """W by one convolution whose channels are the batch -> [kh, kw, C, K].

  The columns and the channels of x are one long axis, along which a step of one
  column is a step of C. So all that x needs is a matrix transpose, and the
  result comes out in order: about a tenth faster than x as [C, H, W, B].
  """
  b, h, w, c = x.shape
  (top, bottom), (left, right) = pads
  x = x.reshape(b, -1).T.reshape(1, h, w * c, b)
  y = y.transpose(1, 2, 0, 3)  # [Ho, Wo, B, K]
  out = plain(
    x,
    y,
    ((top, bottom), (left * c, right * c)),
    rhs_dilation=(dilation[0], dilation[1] * c),
  )  # [1, kh, kw * C, K]
  return out.reshape(out.shape[1], -1, c, out.shape[3])


def _w_by_phases(x: jax.Array, y: jax.Array, geo: Geometry) -> jax.Array:
  """W with y, the thinner operand, as the image that patches are taken from."""
  (h, wd), (sh, sw), (kh, kw) = geo.size, geo.strides, geo.kernel
  x = _pad(x, (0, 0, 0), (0, -h % sh, 0), (0, -wd % sw, 0))
  parts = []
  for i, r in enumerate(_phases(geo, 0)):
    for j, q in enumerate(_phases(geo, 1)):
      if r.taps and q.taps:
        w = _contract(y, x[:, i::sh, j::sw], (1, 1), (r.pads, q.pads))
        w = jnp.flip(w, (0, 1)).swapaxes(2, 3)  # [taps, taps, C, K]
        below = kh - 1 - r.first - sh * (r.taps - 1)
        beside = kw - 1 - q.first - sw * (q.taps - 1)
        parts.append(
          _pad(w, (r.first, below, sh - 1), (q.first, beside, sw - 1))
        )
  return functools.reduce(jnp.add, parts)


class _Phase(NamedTuple):
  """How x[r], x[r + s], ... of one axis meets y: see `_phases`."""

  first: int
  taps: int
  count: int
  pads: Pair


def _phases(geo: Geometry, axis: int) -> list[_Phase]:
  """x[r + s m] = sum_j y[m + shift - j] w[first + s j] for r in range(s).

  That is y, padded with `pads`, correlated with the reversed taps. All phases
  get the same `count`, so the last pixel of some may lie outside x.
  """
  n, o, k, s, low = (field[axis] for field in geo)
  phases, count = [], -(-n // s)
  for r in range(s):
    shift, first = divmod(r + low, s)
    taps = len(range(first, k, s))
    before = taps - 1 - shift
    after = count + taps - 1 - o - before
    phases.append(_Phase(first, taps, count, (before, after)))
  return phases


def _phase_of_x(
  y: jax.Array, w: jax.Array, geo: Geometry, r: _Phase, q: _Phase
) -> jax.Array:
  """One phase of D, w being flipped as [kh, kw, K, C]."""
  if not (r.taps and q.taps):  # the kernel is smaller than the stride
    return jnp.zeros((y.shape[0], r.count, q.count, w.shape[3]), y.dtype)
  (kh, kw), (sh, sw) = geo.kernel, geo.strides
  # The taps first, first + s, ... of w, from the end of the flipped one.
  w = w[(kh - 1 - r.first) % sh : kh - r.first : sh]
  w = w[:, (kw - 1 - q.first) % sw : kw - q.first : sw]
  return _correlate(y, w, (1, 1), (r.pads, q.pads))


def _fit(x: jax.Array, geo: Geometry) -> tuple[jax.Array, Pads]:
  """Cuts off the pixels that no output sees; returns x and its padding.

  XLA has no fast kernels for negative padding.
  """
  cuts, pads = [slice(None)], []
  for n, o, k, s, low in zip(*geo, strict=True):
    stop = s * (o - 1) + k - low
    cuts.append(slice(max(-low, 0), stop))
    pads.append((max(low, 0), max(stop - n, 0)))
  return x[tuple(cuts)], tuple(pads)


def _all_pads(geo: Geometry) -> Pads:
  """The padding of F; negative where pixels are cut off."""
  return tuple(
    (low, s * (o - 1) + k - low - n)
    for n, o, k, s, low in zip(*geo, strict=True)
  )


def _dilated_pads(geo: Geometry) -> Pads:
  """The padding of D as a convolution of y with s - 1 zeros between pixels."""
  return tuple(
    (k - 1 - low, n + low - s * (o - 1) - 1)
    for n, o, k, s, low in zip(*geo, strict=True)
  )
