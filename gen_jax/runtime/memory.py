"""How much memory there is, and what would not fit into it.

What is refused here would else run until the system kills the process.
"""

import pathlib

import jax
import psutil

from gen_jax.errors import InputError

_CGROUP = pathlib.Path('/sys/fs/cgroup')  # of a container


def check(needed: int, what: str, fix: str) -> None:
  """Raises InputError when a device does not have so many bytes free.

  Args:
    needed: bytes on each device; on CPUs those of all devices together.
    what: needs them, a noun for the message.
    fix: what to do instead.
  """
  free = free_bytes()
  if needed > free:
    raise InputError(
      f'{what} takes at least {show(needed)}, and {show(free)} of memory are '
      f'free: {fix}.'
    )


def free_bytes() -> int:
  """Returns the free bytes of a device, the fullest of this process.

  CPU devices share the memory of the machine, or that of their container.
  """
  free = []
  for device in jax.local_devices():
    stats = device.memory_stats() or {}
    if 'bytes_limit' in stats:
      free.append(stats['bytes_limit'] - stats['bytes_in_use'])
  return min(free) if free else _free_on_host()


def shares_host() -> bool:
  """Whether the devices of this process share one memory, as CPUs do."""
  return jax.local_devices()[0].platform == 'cpu'


def show(size: int) -> str:
  """Returns a number of bytes as text."""
  if size < 2**30:
    return f'{size / 2**20:,.1f} MiB'
  return f'{size / 2**30:,.1f} GiB'


def _free_on_host() -> int:
  return min([psutil.virtual_memory().available, *_free_in_container()])


def _free_in_container() -> list[int]:
  """The free bytes of the container, if there is one with a limit."""
  try:
    limit = int((_CGROUP / 'memory.max').read_text())
    used = int((_CGROUP / 'memory.current').read_text())
    # Memory that the kernel frees when it is needed.
    for line in (_CGROUP / 'memory.stat').read_text().splitlines():
      if line.startswith('inactive_file '):
        used -= int(line.split()[1])
  except (OSError, ValueError):  # no container, or 'max'
    return []
  return [max(limit - used, 0)]
