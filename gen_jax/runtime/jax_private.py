"""The private interfaces of JAX that this package uses, all in one place.

A new version of JAX may change them without notice. A call then raises an
error that names the interface, and `tests/runtime/test_jax_private.py` fails.
JAX 0.10 to 0.12 have no public interface for any of them:

- `jax.process_count` and `jax.process_index` start the backend, which waits for
  the other processes; the watchdog must not.
- `jax.distributed` has `initialize`, `is_initialized` and `shutdown`, but
  neither the client of the coordination service nor the detection of a cluster
  without joining it.
- `jax.extend.core.ClosedJaxpr` is public, but jax2onnx 0.17 looks for it in the
  private module, which JAX 0.12 has moved it from.
"""

import contextlib
import os
from collections.abc import Generator
from typing import Any
from unittest import mock

from gen_jax.errors import InputError

_CLUSTERS, _DETECT = 'jax._src.clusters.ClusterEnv', 'find the processes'


def coordination() -> Any:
  """Returns JAX's state of many processes.

  Its `client` is the client of the coordination service, None in a run of one
  process. `num_processes` and `process_id` are known before any device is
  started. jax.experimental.multihost_utils and orbax use it as well.

  Raises:
    InputError: this version of JAX has no such state.
  """
  with _private('jax._src.distributed.global_state', 'reach other processes'):
    from jax._src import distributed

    state = distributed.global_state
    _ = state.client, state.num_processes, state.process_id
  return state


def cluster_size() -> int | None:
  """Returns how many processes the environment announces, None if it does not.

  Only environments that JAX detects without being asked count.

  Raises:
    InputError: this version of JAX detects no clusters in this way.
  """
  for kind in _clusters():
    if not kind.opt_in_only_method and kind.is_env_present():
      return kind.get_process_count()
  return None


def detect_cluster(seconds: int) -> tuple[str | None, int | None, int | None]:
  """Returns the address, the number of processes and the index of this one.

  Args:
    seconds: how long to wait for an answer.

  Raises:
    InputError: this version of JAX detects no clusters in this way.
    KeyError, OSError, RuntimeError, ValueError: the environment is incomplete.
  """
  with _private(f'{_CLUSTERS}.auto_detect_unset_distributed_params', _DETECT):
    from jax._src.clusters import ClusterEnv

    detect = ClusterEnv.auto_detect_unset_distributed_params
  address = os.environ.get('JAX_COORDINATOR_ADDRESS')
  found = detect(address, None, None, None, None, seconds)
  return found[:3]


@contextlib.contextmanager
def closed_jaxpr() -> Generator[None]:
  """The scope in which `jax._src.core` has the class that jax2onnx looks for.

  Raises:
    InputError: this version of JAX has no such module.
  """
  with _private('jax._src.core.ClosedJaxpr', 'convert programs to ONNX'):
    from jax._src import core
  from jax.extend.core import ClosedJaxpr

  with mock.patch.object(core, 'ClosedJaxpr', ClosedJaxpr, create=True):
    yield


def _clusters() -> list[Any]:
  """Returns JAX's kinds of clusters."""
  with _private(f'{_CLUSTERS}._cluster_types', _DETECT):
    from jax._src.clusters import ClusterEnv

    kinds = list(ClusterEnv._cluster_types)
    for kind in kinds:
      _ = kind.opt_in_only_method, kind.is_env_present, kind.get_process_count
  return kinds


@contextlib.contextmanager
def _private(name: str, purpose: str) -> Generator[None]:
  """The scope in which a private interface is looked up."""
  try:
    yield
  except (ImportError, AttributeError) as error:
    import jax

    raise InputError(
      f'JAX {jax.__version__} has changed {name}, which gen_jax needs to '
      f'{purpose} ({error}): install a version that setup.cfg allows.'
    ) from error
