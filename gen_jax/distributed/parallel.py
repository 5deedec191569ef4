"""One device or many: the only place that knows an axis name.

Two forms of data parallelism, chosen by `config.parallel`:

* `jit`: one logical device. The batch is sharded over a mesh, the state is
  replicated, and the compiler puts in the communication. A step on N devices
  draws the same noise and gives the same parameters as on one.
* `pmap`: one program per device. Gradients, metrics and statistics are
  averaged by hand, and each device draws noise of its own.
"""

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.distributed import process_group
from gen_jax.errors import InputError, nearest
from gen_jax.runtime.compiled import Program

_AXIS = 'data'
# True while a function is traced once per device.
_mapped = contextvars.ContextVar('mapped', default=False)


def mean(tree: Any) -> Any:
  """Averages over the devices, in the scope of a pmapped function."""
  return jax.lax.pmean(tree, _AXIS) if _mapped.get() else tree


def batch_mean(x: jax.Array) -> jax.Array:
  """Mean over the leading axis of the batch of all devices, [B, ...] -> [...].

  For losses that are not a mean over examples, such as one of a mean
  activation. It may be differentiated.
  """
  return mean(jnp.mean(x, axis=0))


def gather(x: jax.Array) -> jax.Array:
  """The batch of all devices, on each of them: [B / devices, ...] -> [B, ...].

  For losses that compare examples. It may be differentiated: the gradient is
  that of the mean over the devices' losses, whether each device returns the
  loss of the whole batch or that of its own part. Under `jit` a batch is that
  of all devices.
  """
  return jax.lax.all_gather(x, _AXIS, tiled=True) if _mapped.get() else x


def deviation(x: jax.Array) -> jax.Array:
  """Standard deviation of all values in the batch of all devices."""
  mean = batch_mean(x.reshape(-1))
  return jnp.sqrt(batch_mean(jnp.square(x - mean).reshape(-1)))


def own_part(x: jax.Array) -> jax.Array:
  """The inverse of `gather`: [B, ...] -> [B / devices, ...]."""
  if not _mapped.get():
    return x
  count = len(x) // jax.lax.psum(1, _AXIS)
  start = count * jax.lax.axis_index(_AXIS)
  return jax.lax.dynamic_slice_in_dim(x, start, count)


def of_first(tree: Any) -> Any:
  """Gives all devices the arrays that the first one has."""
  if not _mapped.get():
    return tree
  return jax.tree.map(lambda x: jax.lax.all_gather(x, _AXIS)[0], tree)


def fold_device(key: jax.Array) -> jax.Array:
  """Gives each device its own key, counted over all processes."""
  index = jax.lax.axis_index(_AXIS) if _mapped.get() else 0
  return jax.random.fold_in(key, index)


class Parallel(Protocol):
  """How state and batches are laid out, and how a step is compiled."""

  def compile(self, chunk: Callable) -> Program:
    """Compiles `(state, data, inputs, count) -> (state, metrics)`.

    The state is donated; `inputs` are [T, B, ...] and split over devices.
    """

  def replicate(self, tree: Any) -> Any:
    """Puts the same arrays on every device."""

  def unreplicate(self, tree: Any) -> Any:
    """The inverse of `replicate`, still on a device."""

  def seen(self, batch_size: int) -> int:
    """Returns how many examples of a batch a loss sees at a time."""

  def shard(self, inputs: Any) -> Any:
    """Splits this process's part of [T, B, ...] over its devices."""


class _PmapProgram(Program):
  def __init__(self, jitted, unreplicate):
    super().__init__(jitted)
    self._unreplicate = unreplicate

  def __call__(self, *args):
    state, metrics = super().__call__(*args)
    return state, self._unreplicate(metrics)


@dataclasses.dataclass(frozen=True)
class Jit:
  """One program over a mesh of devices."""

  mesh: Mesh

  def compile(self, chunk):
    # Said, lest the compiler splits a part of the state that holds examples.
    whole = NamedSharding(self.mesh, PartitionSpec())
    return Program(jax.jit(chunk, donate_argnums=0, out_shardings=whole))

  def replicate(self, tree):
    return _put(tree, NamedSharding(self.mesh, PartitionSpec()))

  def unreplicate(self, tree):
    return jax.tree.map(lambda x: x.addressable_data(0), tree)

  def seen(self, batch_size):
    return batch_size

  def shard(self, inputs):
    sharding = NamedSharding(self.mesh, PartitionSpec(None, _AXIS))
    return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(sharding, x), inputs
    )


@dataclasses.dataclass(frozen=True)
class Pmap:
  """One program per device."""

  devices: tuple[jax.Device, ...]  # of this process

  def compile(self, chunk):
    def per_device(*args):
      with _set(_mapped, True):
        return chunk(*args)

    return _PmapProgram(
      jax.pmap(
        per_device, axis_name=_AXIS, in_axes=(0, 0, 0, None), donate_argnums=0
      ),
      self.unreplicate,
    )

  def replicate(self, tree):
    mesh = Mesh(np.asarray(self.devices), (_AXIS,))
    sharding = NamedSharding(mesh, PartitionSpec(_AXIS))

    def stack(x):  # [...] -> [D, ...], a copy on each device
      x = np.asarray(x)
      return jax.device_put(
        np.broadcast_to(x, (len(self.devices), *x.shape)), sharding
      )

    return jax.tree.map(stack, tree)

  def unreplicate(self, tree):
    return jax.tree.map(lambda x: x.addressable_shards[0].data[0], tree)

  def seen(self, batch_size):
    return batch_size // len(process_group.devices())

  def shard(self, inputs):
    count = len(self.devices)

    def split(x):  # [T, B, ...] -> [D, T, B / D, ...]
      time, batch, *rest = x.shape
      x = x.reshape(time, count, batch // count, *rest)
      return np.moveaxis(x, 1, 0)

    return jax.tree.map(split, inputs)


@contextlib.contextmanager
def _set(variable, value):
  token = variable.set(value)
  try:
    yield
  finally:
    variable.reset(token)


def divisible(batch_size: int) -> int:
  """Returns the largest batch up to this one that the devices divide.

  That is one image for each device where there are more devices than images.
  """
  count = len(process_group.devices())
  return max(batch_size // count, 1) * count


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


def spread(fn: Callable, static: Iterable[str] = ()) -> Callable:
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
  mesh = Mesh(np.asarray(devices), (_AXIS,))
  whole = NamedSharding(mesh, PartitionSpec())
  rows = NamedSharding(mesh, PartitionSpec(_AXIS))

  def divides(x):
    return jnp.ndim(x) > 0 and len(x) > 0 and len(x) % len(devices) == 0

  def put(x):
    return _put(x, rows if divides(x) else whole)

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
      put, (args, {k: v for k, v in kwargs.items() if k not in static})
    )
    split = any(x.sharding == rows for x in jax.tree.leaves((args, rest)))
    out = compiled(split, _put(players, whole), *args, **rest, **fixed)
    return jax.tree.map(lambda x: x.addressable_data(0), out)

  return call


def _put(tree: Any, sharding: NamedSharding) -> Any:
  """Lays out arrays that are the same on every process."""
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)

  def put(x):
    if isinstance(x, jax.Array) and jnp.issubdtype(
      x.dtype, jax.dtypes.prng_key
    ):
      data = put(jax.random.key_data(x))
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda at: x[at])

  return jax.tree.map(put, tree)


def from_first_process(tree: Any) -> Any:
  """Gives every process the arrays of process 0; all have to call it.

  Args:
    tree: of the same shapes and dtypes on every process.
  """
  from jax.experimental import multihost_utils

  return multihost_utils.broadcast_one_to_all(tree)


def introduce() -> None:
  """Connects the devices of all processes; all have to call it at once.

  Between CPUs two devices that have not met give up on each other after half a
  minute, less than one may compile for longer than another. Those that have met
  wait for as long as it takes.
  """
  from jax.experimental import multihost_utils

  if not _even():
    return  # `make` refuses it in words
  ones = np.ones(jax.local_device_count(), np.float32)
  jax.block_until_ready(
    jax.pmap(lambda x: jax.lax.psum(x, _AXIS), axis_name=_AXIS)(ones)
  )
  multihost_utils.sync_global_devices('gen_jax')  # the first of each process


def _even() -> bool:
  """Whether this process has as many devices as the others on average."""
  count = jax.local_device_count() * process_group.count()
  return count == len(process_group.devices())


def make(name: str, batch_size: int) -> Parallel:
  """Returns the form that `config.parallel` names, over all devices.

  Raises:
    InputError: on an unknown name, or when the devices do not divide the batch.
  """
  devices = process_group.devices()
  if not _even():
    raise InputError(
      f'{len(devices)} devices in {process_group.count()} processes, '
      f'{jax.local_device_count()} of them in this one: every process needs as '
      'many as the others.'
    )
  if batch_size % len(devices):
    raise InputError(
      f'batch_size={batch_size} is not a multiple of the {len(devices)} '
      f'devices: take {divisible(batch_size)}.'
    )
  if name == 'jit':
    return Jit(Mesh(np.asarray(devices), (_AXIS,)))
  if name == 'pmap':
    return Pmap(tuple(jax.local_devices()))
  raise InputError(
    f'parallel={name!r} is unknown.' + nearest(str(name), ('jit', 'pmap'))
  )
