"""The least time of a training step on TPU chips, by their data sheet."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax

from gen_jax.runtime import hlo
from gen_jax.runtime.tpu import Topology
from gen_jax.training.cost import DeviceCost


class Bound(NamedTuple):
  """The least seconds of a step by each of the limits of a chip.

  Attributes:
    compute: operations / peak rate.
    memory: bytes to and from the memory / its bandwidth.
    links: bytes sent within a slice / bandwidth of all links.
    network: bytes sent to other slices / bandwidth of the network.
  """

  compute: float
  memory: float
  links: float
  network: float

  @property
  def seconds(self) -> float:
    """The largest of them: all of it at the same time, without waiting."""
    return max(self)

  @property
  def name(self) -> str:
    """The limit that is reached first."""
    return self._fields[self.index(self.seconds)]


def bound(cost: DeviceCost, topology: Topology) -> Bound:
  """Returns the bounds of a step on described chips."""
  chip, slices = topology.chip, topology.slices
  inside = dict(cost.collectives)
  between = inside.pop(hlo.BETWEEN_SLICES, hlo.Collectives(0, 0))
  sent = sent_bytes({'all-reduce': between}, slices)
  return Bound(
    compute=cost.flops / chip.flops,
    memory=cost.traffic / chip.bandwidth,
    links=sent_bytes(inside, len(topology.devices) // slices) / chip.links,
    network=sent / chip.network if chip.network else 0.0,
  )


def sent_bytes(collectives: Mapping[str, hlo.Collectives], count: int) -> float:
  """Returns the bytes that each of `count` devices has to send.

  A device that reduces sends all but its own part, and one that gathers sends
  its part on to all others; all-reduce does both.
  """
  others = count - 1
  factors = {
    'all-reduce': 2 * others / count,
    'all-gather': others / count,
    'reduce-scatter': others,  # whose result is a part of the whole
    'all-to-all': others / count,
    'collective-permute': min(others, 1),
  }
  return sum(factors[kind] * x.size for kind, x in collectives.items())


def largest_batch(
  first: DeviceCost, memory: float, compile_for: Callable[[int], DeviceCost]
) -> tuple[int, int]:
  """Finds how many examples fit on a chip, among doublings of a batch.

  Args:
    first: the cost of a batch that fits.
    memory: bytes of a chip, for the first guesses.
    compile_for: returns the cost of a batch of each chip.

  Returns:
    The largest batch that the compiler accepts, and its double, which it
    refuses for want of memory.
  """
  fits, peak, refused, step = first.batch, first.peak, 0, 2
  while refused != 2 * fits:
    batch = step * fits
    try:
      fits, peak = batch, compile_for(batch).peak
    except jax.errors.JaxRuntimeError as error:
      if not out_of_memory(error):
        raise
      refused = batch
    step = 2
    # Memory grows at most linearly with the batch, and at first much less.
    while step < 16 and 2 * step * peak <= memory:
      step *= 2
    while refused and step * fits >= refused:
      step //= 2
  return fits, refused


def out_of_memory(error: jax.errors.JaxRuntimeError) -> bool:
  """Whether a program was refused because it does not fit into the memory."""
  return 'RESOURCE_EXHAUSTED' in str(error)
