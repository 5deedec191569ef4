"""How the processes of a run find and join each other."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Generator

import jax

from gen_jax.distributed import coordinator, process_group
from gen_jax.errors import InputError, first_line
from gen_jax.runtime import jax_private, settings

_MEET = 300  # seconds for all processes to start
_NOTICE = 5  # seconds until a process says that it waits


def connect(
  address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  lost: Callable[[], None] = lambda: None,
) -> None:
  """Joins the other processes, if flags or the environment name any.

  Without flags, JAX finds out where a TPU pod, GKE, Slurm or Open MPI
  announces a cluster, or JAX_COORDINATOR_ADDRESS is set. To be called before
  JAX computes.

  Args:
    address: --coordinator, host:port of process 0.
    num_processes: of the run.
    process_id: of this one, from 0.
    lost: called from a thread in another process than process 0, when process
      0 has ended.

  Raises:
    InputError: a flag is wrong or missing, or the processes do not meet.
  """
  flags = (address, num_processes, process_id)
  if any(f is not None for f in flags):
    found = _check_flags(*flags)
    coordinator.check_known(found)
  elif _announced():
    address, num_processes, process_id = _detect()
    found = coordinator.parse(address)
  else:
    return
  if num_processes == 1:
    return
  if process_id == 0:
    coordinator.check_own(found)
  settings.order_collectives()
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  with _joining(address, num_processes, process_id) as deadline:
    if process_id == 0:
      _initialize(address, num_processes, process_id)
      process_group.client().key_value_set(
        process_group.key('run', 'processes'), str(num_processes)
      )
    else:
      coordinator.wait_for(found, deadline)
      relay = coordinator.Relay(found, lost)
      _initialize(relay.address, num_processes, process_id)
      relay.guard()
      _check_count(num_processes, process_id)


def _check_flags(address, num_processes, process_id) -> coordinator.Address:
  """Returns the host and port of process 0; raises InputError."""
  if None in (address, num_processes, process_id):
    raise InputError(
      '--coordinator, --num_processes and --process_id: give all three, or '
      'none where the environment announces the cluster.'
    )
  if not 0 <= process_id < num_processes:
    raise InputError(
      f'--process_id={process_id}: expected 0 to {num_processes - 1}.'
    )
  return coordinator.parse(address)


def _detect() -> tuple[str, int, int]:
  """Returns what the environment announces, as JAX finds it."""
  try:
    found = jax_private.detect_cluster(_MEET)
  except (KeyError, OSError, RuntimeError, ValueError) as error:
    raise InputError(
      f'the environment announces a cluster, but not all about it: {error!r}'
    ) from error
  address, num_processes, process_id = found
  if address is None or num_processes is None or process_id is None:
    raise InputError(
      'the environment announces a cluster, but not how many processes it has: '
      'give --coordinator, --num_processes and --process_id.'
    )
  return address, num_processes, process_id


@contextlib.contextmanager
def _joining(address, num_processes, process_id) -> Generator[float]:
  """The scope in which processes meet, and its deadline.

  A process says after some seconds that it waits, and ends at the deadline:
  JAX would abort it.
  """
  here = f'process {process_id} of {num_processes}'
  missing = 'process 0' if process_id else 'the other processes'

  def notify():
    print(
      f'{here} waits up to {_MEET} s for {missing} at {address}', flush=True
    )

  def refuse(reason=''):
    return (
      f'{missing} did not come to {address} within {_MEET} s{reason}: start '
      f'all {num_processes} processes with the same --coordinator.'
    )

  def end():
    print(f'gen_jax: {refuse()} ({here})', file=sys.stderr, flush=True)
    os._exit(InputError.exit_code)

  timers = threading.Timer(_NOTICE, notify), threading.Timer(_MEET, end)
  for timer in timers:
    timer.daemon = True
    timer.start()
  try:
    yield time.monotonic() + _MEET - 1
  except TimeoutError as error:
    raise InputError(refuse(f' ({error})')) from error
  except (RuntimeError, ValueError) as error:
    if isinstance(error, InputError):
      raise
    raise InputError(
      f'{here} did not join the others at {address}: ' + first_line(error)
    ) from error
  finally:
    for timer in timers:
      timer.cancel()


def _initialize(address, *flags):
  # If the environment names a proxy, gRPC would use it even within one host.
  name = 'no_grpc_proxy' if 'no_grpc_proxy' in os.environ else 'no_proxy'
  hosts = os.environ.get(name), address.rpartition(':')[0]
  os.environ[name] = ','.join(filter(None, hosts))
  jax.config.update('jax_check_proxy_envs', False)  # it would warn
  # JAX waits for longer than `_joining` does, and never aborts.
  jax.distributed.initialize(address, *flags, initialization_timeout=2 * _MEET)


def _check_count(mine, process_id):
  """Raises InputError when process 0 has another number of processes."""
  theirs = int(
    process_group.client().blocking_key_value_get(
      process_group.key('run', 'processes'), process_group.FOREVER
    )
  )
  if mine != theirs:
    text = (
      f'--num_processes={mine}, but {theirs} in process 0: give the same to '
      'all processes.'
    )
    process_group.client().key_value_set(
      process_group.key('left', process_id), text
    )  # see `watchdog`
    raise InputError(text)


def _announced() -> bool:
  """Whether the environment announces more than one process."""
  if os.environ.get('JAX_COORDINATOR_ADDRESS'):
    return True
  # JAX detects clusters itself, but only to start: a single process under
  # Slurm or on one TPU machine is none.
  return (jax_private.cluster_size() or 1) > 1
