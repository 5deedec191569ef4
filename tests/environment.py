"""XLA's flags in tests: forced CPU devices, and programs compiled cheaply."""

import os

import jaxlib

from gen_jax.runtime import settings

# Seconds after which a process is taken to hang: far more than any needs, also
# beside other work. Tests wait for events, and never for less than this.
HANG = 600

# Tests compile many small programs and run each a few times, so that what the
# compiler's optimizations save is less than what they cost.
_CHEAP = (
  '--xla_backend_optimization_level=0',
  '--xla_cpu_parallel_codegen_split_count=1',
)
# XLA aborts on a flag that it does not know, and this one may disappear.
_CHEAP_IN_0_10 = ('--xla_cpu_use_fusion_emitters=false',)
# Tests compare runs bit by bit, and on a GPU sums may change their order.
_DETERMINISTIC = ('--xla_gpu_deterministic_ops=true',)


def xla_flags(devices: int, cheap: bool = True) -> str:
  """Returns XLA_FLAGS for a process of a test.

  Args:
    devices: forced CPU devices.
    cheap: compile quickly; programs are slower then, several times where they
      compute much.
  """
  flags = [f'--xla_force_host_platform_device_count={devices}']
  if cheap:
    flags += _CHEAP
    if jaxlib.__version__.startswith('0.10.'):
      flags += _CHEAP_IN_0_10
  if os.environ.get('JAX_PLATFORMS') == 'cuda':
    flags += _DETERMINISTIC
  return ' '.join(flags)


def module(command: str) -> list[str]:
  """Returns the arguments of Python that run a command."""
  if command == 'main':
    return ['-m', 'gen_jax.main']
  return ['-m', 'gen_jax', command]


def compiled() -> dict[str, str]:
  """Returns the variables by which a process shares the compiled programs."""
  return {
    'JAX_COMPILATION_CACHE_DIR': str(settings.cache_folder() / 'compiled'),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.01',
    'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '0',
  }
