"""Process-wide settings that make JAX fast; to be applied before it computes.

Nothing here changes a result beyond the last bits of a float.
"""

import ctypes
import os
import pathlib
import platform
import sys

# XLA's newer CPU backend fuses single convolutions into a slow form; without
# that it calls the vendor's, 1.1 to 1.5 times faster. The flag is experimental
# and XLA aborts on one that it does not know, hence the list of versions.
_CPU_FLAG = '--xla_cpu_experimental_ynn_fusion_type=-individual_convolution'
_CPU_FLAG_VERSIONS = ((0, 10), (0, 12))


def configure() -> None:
  """Sets the allocator, XLA's flags and the compilation cache.

  The allocator and the flags take effect in a process whose backend has not
  started yet; called later, they are without effect.
  """
  _keep_memory()
  _set_xla_flags()
  _cache_compilations()


def cache_folder() -> pathlib.Path:
  """Returns where the project keeps what it can make again."""
  home = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return pathlib.Path(home) / 'gen_jax'


def _keep_memory() -> None:
  """Keeps freed memory in the process: 1.05 to 1.35 times faster steps.

  glibc returns each large buffer to the system and faults it in again, page by
  page, at the next step.
  """
  if sys.platform != 'linux' or platform.libc_ver()[0] != 'glibc':
    return
  if 'GLIBC_TUNABLES' in os.environ:
    return  # the user's own choice
  libc = ctypes.CDLL(None)
  trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8
  libc.mallopt(mmap_max, 0)
  libc.mallopt(trim_threshold, -1)
  libc.mallopt(top_pad, 64 * 2**20)
  libc.mallopt(arena_max, 1)


def _set_xla_flags() -> None:
  import jaxlib.version

  version = tuple(int(n) for n in jaxlib.version.__version__.split('.')[:2])
  flags = os.environ.get('XLA_FLAGS', '')
  name = _CPU_FLAG.partition('=')[0]
  lowest, highest = _CPU_FLAG_VERSIONS
  if lowest <= version <= highest and name not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {_CPU_FLAG}'.strip()


def _cache_compilations() -> None:
  """Keeps compiled programs on disk, so that a second start is quick."""
  import jax

  if os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    return  # the user's own choice, which jax reads itself
  path = cache_folder() / 'compiled'
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError:
    return  # a home that cannot be written costs time, not results
  jax.config.update('jax_compilation_cache_dir', str(path))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)
