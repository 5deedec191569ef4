"""Many processes: how they find each other, and agree.

Each process of a run executes the same program. What they have to agree upon,
such as how many steps to send or whether to stop, process 0 decides and the
others are told through JAX's coordination service: on the hosts, so that no
agreement waits for a device. A run of one process pays nothing for it.
"""

import itertools
import json
import os
import time
from collections.abc import Callable
from typing import Any

import jax

from gen_jax import runtime
from gen_jax.errors import InputError

_FOREVER = 2**31 - 1  # milliseconds; the watch ends a wait for the dead
_LATE = 10  # seconds until a network folder shows a file, at most
_KEPT = 1000  # decisions: no process is so many behind


def connect(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
) -> None:
  """Joins the other processes, if flags or the environment tell of any.

  Without flags, JAX finds out where a TPU pod, GKE, Slurm or Open MPI
  announces a cluster, or JAX_COORDINATOR_ADDRESS is set. To be called before
  JAX computes.

  Args:
    coordinator: host:port of process 0.
    num_processes: of the run.
    process_id: of this one, from 0.

  Raises:
    InputError: some flags without the others, or nobody answers.
  """
  flags = (coordinator, num_processes, process_id)
  if any(f is not None for f in flags) and None in flags:
    raise InputError(
      '--coordinator, --num_processes and --process_id: give all three, or '
      'none where the environment announces the cluster.'
    )
  if coordinator is None and not _announced():
    return
  if num_processes is not None and not 0 <= process_id < num_processes:
    raise InputError(
      f'--process_id={process_id}: expected 0 to {num_processes - 1}.'
    )
  runtime.order_collectives()
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  try:
    jax.distributed.initialize(*flags)
  except (RuntimeError, ValueError) as error:
    where = coordinator or 'the address that the environment gives'
    raise InputError(
      f'the processes did not meet at {where}: {str(error).splitlines()[0]}'
    ) from error


def _announced() -> bool:
  """Whether the environment tells of more than one process."""
  if os.environ.get('JAX_COORDINATOR_ADDRESS'):
    return True
  # JAX detects clusters itself, but only to start: a single process under
  # Slurm or on one TPU machine is none.
  from jax._src.clusters import ClusterEnv

  for kind in ClusterEnv._cluster_types:
    if not kind.opt_in_only_method and kind.is_env_present():
      return kind.get_process_count() > 1
  return False


def count() -> int:
  """Returns how many processes there are."""
  return jax.process_count()


def index() -> int:
  """Returns the number of this one, from 0."""
  return jax.process_index()


def devices() -> list[jax.Device]:
  """Returns all devices, those of a process side by side.

  So that the rows that a process reads are those that its devices take.
  """
  return sorted(jax.devices(), key=lambda d: (d.process_index, d.id))


def leads() -> bool:
  """Whether this process writes logs and pictures."""
  return index() == 0


def share(decide: Callable[[], Any]) -> Any:
  """Returns on every process what `decide` gives to process 0.

  Every process has to call it, in the same order. An error of process 0 is
  raised by all: an InputError as it is, another one as a RuntimeError.

  Args:
    decide: returns what JSON can hold.
  """
  if count() == 1:
    return decide()
  number = next(_decisions)
  if not leads():
    found = client().blocking_key_value_get(key('said', number), _FOREVER)
    found = json.loads(found)
    if 'error' in found:
      raise (InputError if found['input'] else RuntimeError)(found['error'])
    return found['value']
  try:
    value = decide()
  except Exception as error:
    given = isinstance(error, InputError)
    text = str(error) if given else f'{type(error).__name__}: {error}'
    client().key_value_set(
      key('said', number), json.dumps({'error': text, 'input': given})
    )
    raise
  client().key_value_set(key('said', number), json.dumps({'value': value}))
  if number >= _KEPT:
    client().key_value_delete(key('said', number - _KEPT))
  return value


def all_agree(mine: bool) -> bool:
  """Whether it is true on every process, each of which has to call it."""
  return all(gather(bool(mine)))


def gather(mine: Any, patience: float | None = None) -> list[Any]:
  """Returns what each process gives, in their order; all have to call it.

  Args:
    mine: what JSON can hold.
    patience: how long this process waits for each of the others, in seconds;
      for ever if None.

  Raises:
    TimeoutError: another process did not call it in time.
  """
  if count() == 1:
    return [mine]
  number = next(_decisions)
  client().key_value_set(key(f'vote/{number}', index()), json.dumps(mine))
  wait = _FOREVER if patience is None else int(1000 * patience)
  found = []
  for process in range(count()):
    try:
      text = client().blocking_key_value_get(
        key(f'vote/{number}', process), wait
      )
    except jax.errors.JaxRuntimeError as error:
      raise TimeoutError(
        f'process {process} gave no answer within {wait / 1000:.0f} s'
      ) from error
    found.append(json.loads(text))
  return found


def tell(name: str) -> None:
  """Leaves a word for all processes; `told` finds it from then on."""
  if count() > 1:
    client().key_value_set(key('word', name), '1', allow_overwrite=True)


def told(name: str) -> bool:
  """Whether some process left this word."""
  if count() == 1:
    return False
  words = dict(client().key_value_dir_get('gen_jax/word'))
  return key('word', name) in words


def check_shared(folder: Any) -> None:
  """Raises InputError when the processes do not see the same folder.

  Such as the local disk of each host of a pod, where the checkpoints of
  process 0 could not be restored by the others.
  """
  if count() == 1:
    return
  token = share(lambda: f'.seen-by-all-{os.getpid()}-{time.time_ns()}')
  if leads():
    (folder / token).write_text('')
  share(lambda: None)  # written
  deadline = time.monotonic() + _LATE
  while not (folder / token).exists() and time.monotonic() < deadline:
    time.sleep(0.2)
  seen = all_agree((folder / token).exists())
  if leads():
    (folder / token).unlink()
  if not seen:
    raise InputError(
      f'workdir {folder}: not all hosts see it, so the others could not '
      'restore what process 0 saves: give a gs:// path or a network folder.'
    )


def client() -> Any:
  """Returns the client of JAX's coordination service."""
  # What jax.experimental.multihost_utils and orbax use as well.
  from jax._src import distributed

  return distributed.global_state.client


_decisions = itertools.count()


def key(group: str, name: Any) -> str:
  """Returns the name of what the processes tell each other."""
  return f'gen_jax/{group}/{name}'
