"""TPU chips that are described and not present, for the compiler of libtpu.

  pip install -e '.[tpu-compile]'

brings that compiler, which runs on any x86 host with Linux. It knows the chips
by their topology, for example `v5e:4x4`, and needs neither a TPU nor a network.
"""

import importlib.metadata
import importlib.util
import math
import os
import pathlib
import re
import signal
import threading
from typing import NamedTuple

import jax
from jax.experimental import topologies

from gen_jax.errors import InputError, nearest


class Chip(NamedTuple):
  """The data sheet of a kind of chips; rates are per second.

  Attributes:
    flops: of products in bfloat16. Products of float32 arrays run at the same
      rate, because JAX's default precision on a TPU rounds their operands to
      bfloat16; everything else is limited by the memory.
    memory: bytes; the compiler keeps a part of them for itself.
    bandwidth: bytes between the chip and its memory.
    links: bytes that a chip sends over all of its links to other chips of its
      slice, and receives at the same time.
    network: bytes that a chip sends to other slices, its part of what its pod
      sends; None where the data sheet does not say.
    dimensions: of a topology.
    largest: chips of a slice.
    options: of the compiler, so that a chip is one device.
  """

  flops: float
  memory: float
  bandwidth: float
  links: float
  network: float | None
  dimensions: int
  largest: int
  options: tuple[tuple[str, str], ...] = ()


# https://cloud.google.com/tpu/docs/{v4,v5e,v5p,v6e}, read in 2026. `links` is
# half of the "bidirectional inter-chip interconnect bandwidth (per chip)"; for
# v4, where the page has none, 6 links of 50 GB/s, by Jouppi et al. (2023), TPU
# v4: An Optically Reconfigurable Supercomputer. `network` is, for v5e, the
# "data center network bandwidth per pod" of 6.4 Tbit/s over 256 chips, and for
# v5p that of a chip, 50 Gbit/s.
CHIPS = {
  'v4': Chip(
    flops=275e12,
    memory=32 * 2**30,
    bandwidth=1200e9,
    links=300e9,
    network=None,
    dimensions=3,
    largest=4096,
    # Else each of the two cores of a chip is a device.
    options=(('chip_config_name', 'megacore'),),
  ),
  'v5e': Chip(
    flops=197e12,
    memory=16 * 2**30,
    bandwidth=819e9,
    links=200e9,
    network=6.4e12 / 8 / 256,
    dimensions=2,
    largest=256,
  ),
  'v5p': Chip(
    flops=459e12,
    memory=95 * 2**30,
    bandwidth=2765e9,
    links=600e9,
    network=50e9 / 8,
    dimensions=3,
    largest=6144,
  ),
  'v6e': Chip(
    flops=918e12,
    memory=32 * 2**30,
    bandwidth=1638e9,
    links=400e9,
    network=None,
    dimensions=2,
    largest=256,
  ),
}

_EXAMPLES = 'v4:2x2x4, v5e:4x4, v5p:2x2x4, v6e:4x4'


class Topology(NamedTuple):
  """Described chips.

  Attributes:
    kind: a key of `CHIPS`.
    slices: how many slices the chips belong to.
    devices: one of each chip.
  """

  kind: str
  slices: int
  devices: tuple[jax.Device, ...]

  @property
  def chip(self) -> Chip:
    """The data sheet of the chips."""
    return CHIPS[self.kind]

  def __str__(self) -> str:
    chips = f'{len(self.devices)} chip{"s" * (len(self.devices) > 1)}'
    slices = f' in {self.slices} slices' if self.slices > 1 else ''
    return f'{chips} of {self.kind}{slices}'


def describe(name: str, slices: int = 1) -> Topology:
  """Returns the chips of a topology; to be called before the backend starts.

  Args:
    name: the kind of the chips and how many there are along each dimension of
      a slice, for example `v5e:4x4`.
    slices: of that size, connected by the network of the data center.

  Raises:
    InputError: on an unknown topology, or without libtpu.
  """
  kind, sizes = _parse(name)
  if slices > 1 and not CHIPS[kind].network:
    known = ' or '.join(k for k, chip in CHIPS.items() if chip.network)
    raise InputError(
      f'--slices={slices}: the rate of the network between slices of {kind} is '
      f'not in its data sheet. Take {known}.'
    )
  _prepare()
  # The chips of a host: 2x2, or a part of them where there are fewer.
  host = tuple(2 if n % 2 == 0 else 1 for n in sizes[:2])
  try:
    found = topologies.get_topology_desc(
      name,
      platform='tpu',
      num_slices=slices,
      chips_per_host_bounds=(*host, 1),
      **dict(CHIPS[kind].options),
    )
  except (jax.errors.JaxRuntimeError, ValueError) as error:
    reason = str(error).splitlines()[0]
    raise InputError(
      f'--topology={name}: the compiler refuses it ({reason}). Give a topology '
      f'such as {_EXAMPLES}.'
    ) from None
  _take_signals_back()
  return Topology(kind, slices, tuple(found.devices))


def version() -> str:
  """Returns the version of libtpu."""
  return importlib.metadata.version('libtpu')


def available() -> bool:
  """Whether the compiler is installed."""
  return importlib.util.find_spec('libtpu') is not None


def _take_signals_back() -> None:
  """Sets Python's handler of SIGTERM again, in place of libtpu's.

  That one prints the stacks of C++ and its own complaints.
  """
  handler = signal.getsignal(signal.SIGTERM)
  if handler and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, handler)


def _parse(name: str) -> tuple[str, tuple[int, ...]]:
  kind, _, layout = name.partition(':')
  if kind not in CHIPS:
    raise InputError(
      f'--topology={name}: unknown chips.{nearest(kind, CHIPS)} Give a '
      f'topology such as {_EXAMPLES}.'
    )
  chip = CHIPS[kind]
  sizes = tuple(int(n) for n in re.findall(r'\d+', layout))
  if 'x'.join(map(str, sizes)) != layout or len(sizes) != chip.dimensions:
    raise InputError(
      f'--topology={name}: expected {chip.dimensions} sizes after {kind}:, for '
      f'example {kind}:{"x".join("4" * chip.dimensions)}.'
    )
  if not 1 <= math.prod(sizes) <= chip.largest:
    raise InputError(
      f'--topology={name}: a slice of {kind} has at most {chip.largest} chips. '
      'Take a smaller one, or several with --slices.'
    )
  return kind, sizes


def _prepare() -> None:
  """Sets what libtpu reads from the environment, before it is loaded.

  Raises:
    InputError: it is not installed.
  """
  found = importlib.util.find_spec('libtpu')
  if found is None or not found.submodule_search_locations:
    raise InputError(
      '--topology needs the compiler for TPUs. Run pip install '
      "'gen_jax[tpu-compile]'; in a checkout, pip install -e '.[tpu-compile]'."
    )
  folder = pathlib.Path(found.submodule_search_locations[0])
  os.environ.update(
    TPU_LIBRARY_PATH=str(folder / 'libtpu.so'),
    # Else it asks the metadata server of the cloud, and waits for an answer.
    TPU_SKIP_MDS_QUERY='1',
    TPU_ACCELERATOR_TYPE='v5litepod-16',  # any that it knows
    TPU_WORKER_HOSTNAMES='localhost',
    # Nothing here occupies a chip, so several processes may compile.
    ALLOW_MULTIPLE_LIBTPU_LOAD='1',
  )
  # The program is traced for arrays of no device; a TPU is not to be started.
  jax.config.update('jax_platforms', 'cpu')
  # A compiler without devices cannot read programs back.
  jax.config.update('jax_enable_compilation_cache', False)
