"""One device or many: how states and batches are laid out.

Three forms of data parallelism, chosen by `config.parallel`:

* `jit`: one logical device. The batch is sharded over a mesh, the state is
  replicated, and the compiler inserts the communication. A step on N devices
  draws the same noise and gives the same parameters as on one.
* `pmap`: one program per device. Gradients, metrics and statistics are averaged
  explicitly, and each device draws noise of its own.
* `fsdp`: as `jit`, but each device holds a part of the state. For networks
  whose state does not fit on one device.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.distributed import collectives, process_group
from gen_jax.distributed.collectives import AXIS
from gen_jax.errors import InputError, nearest
from gen_jax.runtime.compiled import Program


class Parallel(Protocol):
  """How state and batches are laid out, and how a step is compiled."""

  def compile(self, chunk: Callable) -> Program:
    """Compiles `(state, data, inputs, count) -> (state, metrics)`.

    The state is donated; `inputs` are [T, B, ...] and split over devices.
    """

  def replicate(self, tree: Any) -> Any:
    """Puts the same arrays on every device."""

  def place(self, state: Any) -> Any:
    """Puts a state on the devices, as a compiled program takes it."""

  def unreplicate(self, tree: Any) -> Any:
    """The inverse of `replicate` and of `place`, still on a device."""

  def loss_batch_size(self, batch_size: int) -> int:
    """Returns how many examples of a batch one loss is computed from."""

  def shard(self, inputs: Any) -> Any:
    """Splits this process's part of [T, B, ...] over its devices."""

  def shapes(self, state: Any, inputs: Any) -> tuple[Any, Any]:
    """Returns the shapes and layouts that a program is compiled for.

    They take the place of arrays where devices are only described.

    Args:
      state: shapes on one device.
      inputs: shapes of [T, B, ...] of all processes.

    Returns:
      The shapes of `place(state)` and of `shard(inputs)`.
    """


class _PmapProgram(Program):
  def __init__(
    self, jitted: Callable, unreplicate: Callable[[Any], Any]
  ) -> None:
    super().__init__(jitted)
    self._unreplicate = unreplicate

  def __call__(self, *args: Any) -> Any:
    state, metrics = super().__call__(*args)
    return state, self._unreplicate(metrics)


@dataclasses.dataclass(frozen=True)
class Jit:
  """One program over a mesh of devices."""

  mesh: Mesh

  @property
  def everywhere(self) -> NamedSharding:
    """The layout of arrays that every device has."""
    return NamedSharding(self.mesh, PartitionSpec())

  @property
  def _split(self):
    """The layout of [T, B, ...] whose batches are divided."""
    return NamedSharding(self.mesh, PartitionSpec(None, AXIS))

  def compile(self, chunk: Callable) -> Program:
    """Compiles a chunk of steps for the whole mesh."""

    def whole(*args):
      with collectives.over(self.mesh):
        return chunk(*args)

    # Without it the compiler may split a part of the state that holds examples.
    return Program(
      jax.jit(whole, donate_argnums=0, out_shardings=self.everywhere)
    )

  def replicate(self, tree: Any) -> Any:
    """Puts the same arrays on every device of the mesh."""
    return put(tree, self.everywhere)

  def place(self, state: Any) -> Any:
    """Puts the whole state on every device."""
    return self.replicate(state)

  def unreplicate(self, tree: Any) -> Any:
    """Returns the arrays of the first device."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)

  def loss_batch_size(self, batch_size: int) -> int:
    """Returns the size of the whole batch."""
    return batch_size

  def shard(self, inputs: Any) -> Any:
    """Splits the batch axis of [T, B, ...] over the mesh."""
    return jax.tree.map(
      lambda x: jax.make_array_from_process_local_data(self._split, x), inputs
    )

  def shapes(self, state: Any, inputs: Any) -> tuple[Any, Any]:
    """Returns shapes whose layouts are those of `replicate` and `shard`."""
    return _shapes(state, self.everywhere), _shapes(inputs, self._split)


@dataclasses.dataclass(frozen=True)
class Fsdp:
  """One program over a mesh of devices that hold parts of the state.

  Each large array of the state, of the players, the optimizers and the averages
  alike, is divided along one axis; see `collectives.parts`. A loss sees whole
  parameters, which exist while it is computed, and its gradients are divided
  again before the optimizers use them. This is stage 3 of ZeRO (Rajbhandari et
  al. 2020). The compiler inserts the communication.

  Attributes:
    whole: the form of everything except the state.
    least: elements of the smallest array that is divided.
  """

  whole: Jit
  least: int = collectives.LEAST

  def compile(self, chunk: Callable) -> Program:
    """Compiles a chunk of steps for the whole mesh."""

    def divided(state, *args):
      with collectives.over(self.whole.mesh, self.least):
        state, metrics = chunk(state, *args)
        return collectives.divide(state), collectives.whole(metrics)

    return Program(jax.jit(divided, donate_argnums=0))

  def replicate(self, tree: Any) -> Any:
    """Puts the same arrays on every device of the mesh."""
    return self.whole.replicate(tree)

  def place(self, state: Any) -> Any:
    """Puts a part of each large array on each device."""
    return jax.tree.map(put, state, self._layout(state))

  def unreplicate(self, tree: Any) -> Any:
    """Collects whole arrays and returns them on the first device."""
    # JAX keeps the program of a function, not of a new lambda in each call.
    collect = jax.jit(_same, out_shardings=self.whole.everywhere)
    return self.whole.unreplicate(collect(tree))

  def loss_batch_size(self, batch_size: int) -> int:
    """Returns the size of the whole batch."""
    return self.whole.loss_batch_size(batch_size)

  def shard(self, inputs: Any) -> Any:
    """Splits the batch axis of [T, B, ...] over the mesh."""
    return self.whole.shard(inputs)

  def shapes(self, state: Any, inputs: Any) -> tuple[Any, Any]:
    """Returns shapes whose layouts are those of `place` and `shard`."""
    _, inputs = self.whole.shapes({}, inputs)
    return jax.tree.map(_shapes, state, self._layout(state)), inputs

  def _layout(self, state):
    return collectives.parts(state, self.whole.mesh, self.least)


@dataclasses.dataclass(frozen=True)
class Pmap:
  """One program per device."""

  devices: tuple[jax.Device, ...]  # of this process
  described: bool = False  # else `jax.pmap` takes those of all processes

  def compile(self, chunk: Callable) -> Program:
    """Compiles a chunk of steps for each device."""

    def per_device(*args):
      with collectives.mapped():
        return chunk(*args)

    return _PmapProgram(
      jax.pmap(
        per_device,
        axis_name=AXIS,
        in_axes=(0, 0, 0, None),
        donate_argnums=0,
        devices=self.devices if self.described else None,
      ),
      self.unreplicate,
    )

  def replicate(self, tree: Any) -> Any:
    """Puts a copy of the arrays on each device, [...] -> [D, ...]."""
    mesh = Mesh(np.asarray(self.devices), (AXIS,))
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))

    def stack(x):  # [...] -> [D, ...], a copy on each device
      x = np.asarray(x)
      return jax.device_put(
        np.broadcast_to(x, (len(self.devices), *x.shape)), sharding
      )

    return jax.tree.map(stack, tree)

  def place(self, state: Any) -> Any:
    """Puts the whole state on each device."""
    return self.replicate(state)

  def unreplicate(self, tree: Any) -> Any:
    """Returns the arrays of the first device, [D, ...] -> [...]."""
    return jax.tree.map(lambda x: x.addressable_shards[0].data[0], tree)

  def loss_batch_size(self, batch_size: int) -> int:
    """Returns the size of the part of one device."""
    return batch_size // (len(self.devices) * process_group.count())

  def shard(self, inputs: Any) -> Any:
    """Splits [T, B, ...] over the devices, -> [D, T, B / D, ...]."""
    count = len(self.devices)

    def split(x):  # [T, B, ...] -> [D, T, B / D, ...]
      time, batch, *rest = x.shape
      x = x.reshape(time, count, batch // count, *rest)
      return np.moveaxis(x, 1, 0)

    return jax.tree.map(split, inputs)

  def shapes(self, state: Any, inputs: Any) -> tuple[Any, Any]:
    """Returns shapes with the axis of the devices before all others."""
    count = len(self.devices)

    def stack(x):  # [...] -> [D, ...]
      return jax.ShapeDtypeStruct((count, *x.shape), x.dtype)

    def split(x):  # [T, B, ...] -> [D, T, B / D, ...]
      time, batch, *rest = x.shape
      return jax.ShapeDtypeStruct((count, time, batch // count, *rest), x.dtype)

    return jax.tree.map(stack, state), jax.tree.map(split, inputs)


def divisible(batch_size: int, count: int | None = None) -> int:
  """Returns the largest batch up to this one that the devices divide.

  That is one image for each device where there are more devices than images.

  Args:
    batch_size: the largest batch.
    count: of devices; those of all processes if None.
  """
  count = count or len(process_group.devices())
  return max(batch_size // count, 1) * count


def put(tree: Any, sharding: NamedSharding) -> Any:
  """Returns arrays, the same on every process, in the layout of a sharding."""
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)

  def put_one(x):
    if isinstance(x, jax.Array) and jnp.issubdtype(
      x.dtype, jax.dtypes.prng_key
    ):
      data = put_one(jax.random.key_data(x))
      return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda at: x[at])

  return jax.tree.map(put_one, tree)


def make(
  name: str, batch_size: int, devices: Sequence[jax.Device] | None = None
) -> Parallel:
  """Returns the form that `config.parallel` names.

  Args:
    name: of the form.
    batch_size: examples that the devices share.
    devices: to compile for, which may be described and not present. If None,
      they are those of all processes.

  Raises:
    InputError: on an unknown name, or when the devices do not divide the batch.
  """
  described = devices is not None
  if devices is None:
    devices = process_group.devices()
    if not process_group.has_equal_devices():
      raise InputError(
        f'{len(devices)} devices in {process_group.count()} processes, '
        f'{jax.local_device_count()} of them in this one: every process needs '
        'as many as the others.'
      )
  if batch_size % len(devices):
    raise InputError(
      f'batch_size={batch_size} is not a multiple of the {len(devices)} '
      f'devices: take {divisible(batch_size, len(devices))}.'
    )
  whole = Jit(Mesh(np.asarray(devices), (AXIS,)))
  if name == 'jit':
    return whole
  if name == 'fsdp':
    return Fsdp(whole)
  if name == 'pmap':
    return Pmap(tuple(devices if described else jax.local_devices()), described)
  known = ('jit', 'pmap', 'fsdp')
  raise InputError(f'parallel={name!r} is unknown.' + nearest(str(name), known))


def _same(tree: Any) -> Any:
  return tree


def _shapes(tree: Any, sharding: NamedSharding) -> Any:
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
  )
