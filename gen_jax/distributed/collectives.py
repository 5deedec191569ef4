"""Operations over all devices: the only place that knows an axis name.

Under `jit` a function sees the batch of all devices, and these operations
leave out the communication, which the compiler inserts. Under `pmap` a function
sees the part of one device.
"""

import contextlib
import contextvars
from collections.abc import Generator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.distributed import process_group

AXIS = 'data'
# Elements of the smallest array of a state that devices divide among them.
# Smaller ones take little memory, and each costs a collective.
LEAST = 2**14
# The arguments of `over` while a function is traced in its scope.
_over: contextvars.ContextVar[tuple[Mesh | None, int | None]] = (
  contextvars.ContextVar('over', default=(None, None))
)
# True while a function is traced once per device.
_mapped = contextvars.ContextVar('mapped', default=False)


@contextlib.contextmanager
def mapped() -> Generator[None]:
  """The scope in which a function is traced once per device."""
  token = _mapped.set(True)
  try:
    yield
  finally:
    _mapped.reset(token)


@contextlib.contextmanager
def over(mesh: Mesh, least: int | None = None) -> Generator[None]:
  """The scope in which a function is traced that sees the batch of a mesh.

  Args:
    mesh: of the devices.
    least: that of `parts` for a function whose state the devices divide; None
      for one whose state every device has.
  """
  token = _over.set((mesh, least))
  try:
    yield
  finally:
    _over.reset(token)


def parts(tree: Any, mesh: Mesh, least: int = LEAST) -> Any:
  """Returns the layout of each array of a state that devices divide.

  An array is divided along the longest axis that is a multiple of the number of
  devices. One without such an axis, or with fewer elements than `least`, is on
  every device.
  """

  def layout(x):
    axes = [i for i, n in enumerate(x.shape) if n % mesh.size == 0]
    if x.size < least or not axes:
      return NamedSharding(mesh, PartitionSpec())
    longest = max(axes, key=lambda i: (x.shape[i], i))
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, AXIS))

  return jax.tree.map(layout, tree)


def divide(tree: Any) -> Any:
  """Returns arrays of which each device has a part, if a state is divided."""
  mesh, least = _over.get()
  if mesh is None or least is None:
    return tree
  return jax.lax.with_sharding_constraint(tree, parts(tree, mesh, least))


def whole(tree: Any) -> Any:
  """Returns arrays that every device has, if a state is divided."""
  mesh, least = _over.get()
  if mesh is None or least is None:
    return tree
  everywhere = NamedSharding(mesh, PartitionSpec())
  return jax.lax.with_sharding_constraint(tree, everywhere)


def divide_batch(tree: Any) -> Any:
  """Returns arrays [B, ...] of which each device has a part of the batch.

  The compiler divides what is computed from the data as the data are divided.
  What is drawn at random has no layout, so each device would compute all of it,
  and of what follows from it. With a divided state it took the layout of a
  gradient, and the gradient of the kernel of DCGAN's transposed convolution was
  wrong on eight CPU devices (JAX 0.10.2 and 0.12).
  """
  mesh, _ = _over.get()
  if mesh is None or mesh.size == 1:
    return tree
  rows = NamedSharding(mesh, PartitionSpec(AXIS))

  def divide_one(x):
    if len(x) % mesh.size:
      return x
    return jax.lax.with_sharding_constraint(x, rows)

  return jax.tree.map(divide_one, tree)


def mean(tree: Any) -> Any:
  """Returns the mean over the devices, in the scope of a pmapped function."""
  return jax.lax.pmean(tree, AXIS) if _mapped.get() else tree


def total(x: jax.Array, axes: Any) -> jax.Array:
  """Returns the sum over the devices along axes of a mesh.

  Args:
    x: the part of this device.
    axes: names of axes; None for none, where x is the sum.
  """
  return x if axes is None else jax.lax.psum(x, axes)


def batch_mean(x: jax.Array) -> jax.Array:
  """Returns the mean over the batch of all devices, [B, ...] -> [...].

  For losses that are not a mean over examples, such as one of a mean
  activation. It may be differentiated.
  """
  return mean(jnp.mean(x, axis=0))


def gather(x: jax.Array) -> jax.Array:
  """Returns the batch of all devices: [B / devices, ...] -> [B, ...].

  For losses that compare examples. It may be differentiated: the gradient is
  that of the mean over the devices' losses, whether each device returns the
  loss of the whole batch or that of its own part. Under `jit` a batch is that
  of all devices.
  """
  return jax.lax.all_gather(x, AXIS, tiled=True) if _mapped.get() else x


def std(x: jax.Array) -> jax.Array:
  """Returns the standard deviation of all values on all devices."""
  mean = batch_mean(x.reshape(-1))
  return jnp.sqrt(batch_mean(jnp.square(x - mean).reshape(-1)))


def own_part(x: jax.Array) -> jax.Array:
  """Returns the part of this device: [B, ...] -> [B / devices, ...].

  Under `jit` it is the batch of all devices, as in `divide_batch`.
  """
  if not _mapped.get():
    return divide_batch(x)
  count = len(x) // jax.lax.psum(1, AXIS)
  start = count * jax.lax.axis_index(AXIS)
  return jax.lax.dynamic_slice_in_dim(x, start, count)


def broadcast_first(tree: Any) -> Any:
  """Returns on all devices the arrays of the first one."""
  if not _mapped.get():
    return tree
  return jax.tree.map(lambda x: jax.lax.all_gather(x, AXIS)[0], tree)


def fold_device(key: jax.Array) -> jax.Array:
  """Returns a key of its own for each device of all processes."""
  index = jax.lax.axis_index(AXIS) if _mapped.get() else 0
  return jax.random.fold_in(key, index)


def warm_up_collectives() -> None:
  """Connects the devices of all processes; all call it at the same time.

  Between CPUs, the first collective fails after half a minute if one process
  still compiles. Later collectives wait for as long as it takes.
  """
  from jax.experimental import multihost_utils

  if not process_group.has_equal_devices():
    return  # `mesh.make` refuses it in words
  ones = np.ones(jax.local_device_count(), np.float32)
  jax.block_until_ready(
    jax.pmap(lambda x: jax.lax.psum(x, AXIS), axis_name=AXIS)(ones)
  )
  # The first collective of each process.
  multihost_utils.sync_global_devices('gen_jax')
