"""The private interfaces of JAX that this package uses, all in one place.

A new version of JAX may change them without notice. `tests/runtime/
test_jax_private.py` says what breaks when one of them is gone.
"""

import os
from typing import Any


def coordination() -> Any:
  """Returns JAX's state of many processes.

  Its `client` is the client of the coordination service, None in a run of one
  process. `num_processes` and `process_id` are known before any device is
  started. jax.experimental.multihost_utils and orbax use it as well.
  """
  from jax._src import distributed

  return distributed.global_state


def cluster_size() -> int | None:
  """Returns how many processes the environment announces, None if it does not.

  Only environments that JAX detects without being asked count.
  """
  from jax._src.clusters import ClusterEnv

  for kind in ClusterEnv._cluster_types:
    if not kind.opt_in_only_method and kind.is_env_present():
      return kind.get_process_count()
  return None


def detect_cluster(seconds: int) -> tuple[str | None, int | None, int | None]:
  """Returns the address, the number of processes and the index of this one.

  Args:
    seconds: how long to wait for an answer.

  Raises:
    KeyError, OSError, RuntimeError, ValueError: the environment is incomplete.
  """
  from jax._src.clusters import ClusterEnv

  address = os.environ.get('JAX_COORDINATOR_ADDRESS')
  found = ClusterEnv.auto_detect_unset_distributed_params(
    address, None, None, None, None, seconds
  )
  return found[:3]
