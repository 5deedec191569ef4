"""Functions of trained players, computed on all devices."""

import functools
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.distributed import mesh, process_group
from gen_jax.distributed.collectives import AXIS


def full_precision(fn: Callable) -> Callable:
  """Returns a function that computes in full float32, on every platform.

  By default TPUs round the factors of matrix products and convolutions to
  bfloat16, and GPUs to TF32, which is enough for training. Likelihoods and
  features have to mean the same everywhere.
  """

  @functools.wraps(fn)
  def call(*args, **kwargs):
    with jax.default_matmul_precision('highest'):
      return fn(*args, **kwargs)

  return call


def shard_batch(fn: Callable, static: Iterable[str] = ()) -> Callable:
  """Compiles a function of the examples of a batch for all devices.

  Every process gives the same arguments and gets the whole result. The first
  argument is on every device; of the others, what has a leading axis that the
  devices divide is split over them, as is the result if nothing was. Neither
  the place nor the platform changes what is computed of an example.

  Args:
    fn: `(players, *args, **kwargs) -> arrays [B, ...]`.
    static: names of keyword arguments that are no arrays.
  """
  fn, static = full_precision(fn), tuple(static)
  devices = process_group.devices()
  if len(devices) == 1:
    return jax.jit(fn, static_argnames=static)
  all_devices = Mesh(np.asarray(devices), (AXIS,))
  whole = NamedSharding(all_devices, PartitionSpec())
  rows = NamedSharding(all_devices, PartitionSpec(AXIS))

  def divides(x):
    return jnp.ndim(x) > 0 and len(x) > 0 and len(x) % len(devices) == 0

  def place(x):
    return mesh.put(x, rows if divides(x) else whole)

  def run(split, *args, **kwargs):
    out = fn(*args, **kwargs)
    if split:
      return out
    return jax.tree.map(
      lambda x: jax.lax.with_sharding_constraint(x, rows) if divides(x) else x,
      out,
    )

  compiled = jax.jit(
    run, static_argnums=0, static_argnames=static, out_shardings=whole
  )

  def call(players, *args, **kwargs):
    if any(
      isinstance(x, jax.core.Tracer)
      for x in jax.tree.leaves((players, args, kwargs))
    ):
      return fn(players, *args, **kwargs)  # part of another function
    fixed = {k: v for k, v in kwargs.items() if k in static}
    args, rest = jax.tree.map(
      place, (args, {k: v for k, v in kwargs.items() if k not in static})
    )
    split = any(x.sharding == rows for x in jax.tree.leaves((args, rest)))
    out = compiled(split, mesh.put(players, whole), *args, **rest, **fixed)
    return jax.tree.map(lambda x: x.addressable_data(0), out)

  return call
