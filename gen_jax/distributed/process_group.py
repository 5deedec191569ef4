"""The processes of a run: how they connect and how they agree.

Each process of a run executes the same program. What they have to agree upon,
such as how many steps to send or whether to stop, process 0 decides and sends
to the others through JAX's coordination service. This happens on the hosts, so
that no agreement waits for a device. A run of one process pays nothing for it.
"""

import contextlib
import hashlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

from gen_jax.distributed import coordinator
from gen_jax.errors import InputError, first_line
from gen_jax.runtime import jax_private, settings

_FOREVER = 2**31 - 1  # milliseconds; the watch ends a wait for the dead
_MEET = 300  # seconds for all processes to start
_SAY = 5  # seconds until a process says that it waits
_AGREE = 1800  # seconds for all processes to open their data
_LATE = 10  # seconds until a network folder shows a file, at most
_SHOWN = 3  # differences in a message
_KEPT = 1000  # decisions: no process is so many behind


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
  with _meeting(address, num_processes, process_id) as deadline:
    if process_id == 0:
      _initialize(address, num_processes, process_id)
      client().key_value_set(key('run', 'processes'), str(num_processes))
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
  if num_processes < 1:
    raise InputError(f'--num_processes={num_processes}: expected 1 or more.')
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
  if None in found:
    raise InputError(
      'the environment announces a cluster, but not how many processes it has: '
      'give --coordinator, --num_processes and --process_id.'
    )
  return found


@contextlib.contextmanager
def _meeting(address, num_processes, process_id) -> Iterator[float]:
  """The scope in which processes meet, and its deadline.

  A process says after some seconds that it waits, and ends at the deadline:
  JAX would abort it.
  """
  here = f'process {process_id} of {num_processes}'
  missing = 'process 0' if process_id else 'the other processes'

  def say():
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

  timers = threading.Timer(_SAY, say), threading.Timer(_MEET, end)
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
  # Where the environment names a proxy, gRPC would use it within a host too.
  name = 'no_grpc_proxy' if 'no_grpc_proxy' in os.environ else 'no_proxy'
  hosts = os.environ.get(name), address.rpartition(':')[0]
  os.environ[name] = ','.join(filter(None, hosts))
  jax.config.update('jax_check_proxy_envs', False)  # it would warn
  # JAX waits for longer than `_meeting` does, and never aborts.
  jax.distributed.initialize(address, *flags, initialization_timeout=2 * _MEET)


def _check_count(mine, process_id):
  """Raises InputError when process 0 has another number of processes."""
  theirs = int(
    client().blocking_key_value_get(key('run', 'processes'), _FOREVER)
  )
  if mine != theirs:
    text = (
      f'--num_processes={mine}, but {theirs} in process 0: give the same to '
      'all processes.'
    )
    client().key_value_set(key('left', process_id), text)  # see `watchdog`
    raise InputError(text)


def _announced() -> bool:
  """Whether the environment announces more than one process."""
  if os.environ.get('JAX_COORDINATOR_ADDRESS'):
    return True
  # JAX detects clusters itself, but only to start: a single process under
  # Slurm or on one TPU machine is none.
  return (jax_private.cluster_size() or 1) > 1


class CommonError(InputError):
  """An InputError that every process of the run raises at the same point."""


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


def has_equal_devices() -> bool:
  """Whether this process has as many devices as the others on average."""
  return jax.local_device_count() * count() == len(devices())


def is_main() -> bool:
  """Whether this process writes logs and pictures."""
  return index() == 0


def broadcast(decide: Callable[[], Any]) -> Any:
  """Returns on every process what `decide` gives to process 0.

  Every process has to call it, in the same order. An error of process 0 is
  raised by all: an InputError as a CommonError, another one as a RuntimeError.

  Args:
    decide: returns what JSON can hold.
  """
  if count() == 1:
    return decide()
  number = next(_decisions)
  if not is_main():
    found = client().blocking_key_value_get(key('said', number), _FOREVER)
    found = json.loads(found)
    if 'error' in found:
      raise (CommonError if found['input'] else RuntimeError)(found['error'])
    return found['value']
  try:
    value = decide()
  except Exception as error:
    given = isinstance(error, InputError)
    text = str(error) if given else f'{type(error).__name__}: {error}'
    client().key_value_set(
      key('said', number), json.dumps({'error': text, 'input': given})
    )
    if given:
      raise CommonError(text) from error
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


def check_same(what: Mapping[str, str], patience: float = _AGREE) -> None:
  """Raises CommonError on every process when they do not all give the same.

  Args:
    what: texts by the names that the message calls them.
    patience: how long this process waits for each of the others, in seconds.

  Raises:
    TimeoutError: another process did not call it in time.
  """
  text = json.dumps(dict(what), sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()
  if len(set(gather(digest, patience))) == 1:
    return
  changes = _differences(gather(dict(what), patience))
  more = len(changes) - _SHOWN
  raise CommonError(
    '; '.join(changes[:_SHOWN])
    + (f'; and {more} more' if more > 0 else '')
    + ': start all processes with the same command, code and data.'
  )


def _differences(found: Sequence[Mapping[str, str]]) -> list[str]:
  """Says in what the other processes differ from process 0."""
  lines = []
  for name in dict.fromkeys(name for each in found for name in each):
    values = [_short(each.get(name, 'not given')) for each in found]
    for process, value in enumerate(values):
      if found[process].get(name) != found[0].get(name):
        lines.append(
          f'{name} is {values[0]} in process 0 and {value} in process {process}'
        )
        break
  return lines


def _short(text):
  return text if len(text) <= 60 else f'{text[:57]}...'


def set_flag(name: str) -> None:
  """Sets a flag that every process can read with `flag_is_set`."""
  if count() > 1:
    client().key_value_set(key('flag', name), '1', allow_overwrite=True)


def flag_is_set(name: str) -> bool:
  """Whether some process has set a flag."""
  if count() == 1:
    return False
  flags = dict(client().key_value_dir_get('gen_jax/flag'))
  return key('flag', name) in flags


def check_shared(folder: Any) -> None:
  """Raises InputError when the processes do not see the same folder.

  Such as the local disk of each host of a pod, where the checkpoints of
  process 0 could not be restored by the others.
  """
  if count() == 1:
    return
  token = broadcast(lambda: f'.seen-by-all-{os.getpid()}-{time.time_ns()}')
  if is_main():
    (folder / token).write_text('')
  broadcast(lambda: None)  # written
  deadline = time.monotonic() + _LATE
  while not (folder / token).exists() and time.monotonic() < deadline:
    time.sleep(0.2)
  seen = all_agree((folder / token).exists())
  if is_main():
    (folder / token).unlink()
  if not seen:
    raise CommonError(
      f'workdir {folder}: not all hosts see it, so the others could not '
      'restore what process 0 saves: give a gs:// path or a network folder.'
    )


def client() -> Any:
  """Returns the client of JAX's coordination service."""
  return jax_private.coordination().client


_decisions = itertools.count()


def key(group: str, name: Any) -> str:
  """Returns the name of a value in the coordination service."""
  return f'gen_jax/{group}/{name}'
