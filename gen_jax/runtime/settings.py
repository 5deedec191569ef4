"""Process-wide settings that make JAX fast; to be applied before it computes.

Nothing here changes a result beyond the last bits of a float.
"""

import contextlib
import ctypes
import functools
import os
import pathlib
import platform
import re
import sys

# XLA's newer CPU backend fuses single convolutions into a slow form; without
# that it calls the vendor's, 1.1 to 1.5 times faster.
_CPU_FLAG = '--xla_cpu_experimental_ynn_fusion_type=-individual_convolution'
# By default each CPU device starts operations that do not depend on each other
# in an order of its own, at least in a program from the compilation cache.
# Devices whose threads have all started another collective first wait for each
# other, until XLA aborts the process after 40 s.
_ORDER_FLAG = '--xla_cpu_enable_concurrency_optimized_scheduler=false'
_FORCED = re.compile(
  r'--xla_force_host_platform_device_count=0*([2-9]|[1-9]\d)'
)

# The flags are experimental, and XLA aborts on one that it does not know.
_FLAG_VERSIONS = ((0, 10), (0, 12))  # of jaxlib, the lowest and the highest


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


def private_folder(name: str) -> pathlib.Path | None:
  """Makes a folder of the cache for what is run, which only the user writes.

  Compiled programs are loaded into the process. Whoever can write where they
  lie can run code with the rights of the user.

  Returns:
    The folder, or None, with one line that says why, when another user owns it
    or can write in it.

  Raises:
    OSError: it cannot be made.
  """
  root = cache_folder()
  root.parent.mkdir(parents=True, exist_ok=True)
  for folder in (root, root / name):
    folder.mkdir(mode=0o700, exist_ok=True)
    reason = _make_private(folder)
    if reason:
      _tell(f'the cache {folder} is not used: {reason}')
      return None
  return root / name


def is_private(path: pathlib.Path) -> bool:
  """Whether a file or folder is the user's, and no other user writes in it."""
  if not hasattr(os, 'geteuid'):
    return True  # a system with other rights, such as Windows
  status = path.stat()
  return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _make_private(folder: pathlib.Path) -> str:
  """Sets the mode 700; returns why a folder cannot be trusted, or ''."""
  if not hasattr(os, 'geteuid'):
    return ''
  user, status = os.geteuid(), folder.stat()
  if status.st_uid != user:
    return (
      f'it belongs to the user {status.st_uid}, and this one is {user}. Set '
      'XDG_CACHE_HOME to another folder.'
    )
  if status.st_mode & 0o077:
    # Files that other users wrote before the mode was changed.
    foreign = [x for x in folder.iterdir() if x.lstat().st_uid != user]
    if foreign:
      return f'it holds {foreign[0].name} of another user. Remove this folder.'
    with contextlib.suppress(OSError):  # as on a disk that is read-only
      folder.chmod(0o700)
  if not is_private(folder):
    return (
      'other users can write in it, and its mode cannot be changed. Set '
      'XDG_CACHE_HOME to another folder.'
    )
  return ''


@functools.cache  # once for what is compiled by JAX and by the C++ compiler
def _tell(line: str) -> None:
  print(f'gen_jax: {line}', file=sys.stderr, flush=True)


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


def order_collectives() -> None:
  """Has CPU devices start collectives in one order, so that none waits forever.

  To be called before the backend starts where several CPU devices compute
  together. Devices that XLA_FLAGS forces are found by `configure`.
  """
  _add_xla_flag(_ORDER_FLAG)


def _set_xla_flags() -> None:
  _add_xla_flag(_CPU_FLAG)
  if _FORCED.search(os.environ.get('XLA_FLAGS', '')):
    order_collectives()


def _add_xla_flag(flag: str) -> None:
  import jaxlib

  version = tuple(int(n) for n in jaxlib.__version__.split('.')[:2])
  flags = os.environ.get('XLA_FLAGS', '')
  lowest, highest = _FLAG_VERSIONS
  if lowest <= version <= highest and flag.partition('=')[0] not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {flag}'.strip()


def _cache_compilations() -> None:
  """Keeps compiled programs on disk, so that a second start is quick."""
  import jax

  if os.environ.get('JAX_COMPILATION_CACHE_DIR'):
    return  # the user's own choice, which jax reads itself
  try:
    path = private_folder('compiled')
  except OSError:
    return  # a home that cannot be written costs time, not results
  if path is None:
    return
  jax.config.update('jax_compilation_cache_dir', str(path))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.01)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', 0)
