"""Many processes: how they find each other, agree, and end together.

Each process of a run executes the same program. What they have to agree upon,
such as how many steps to send or whether to stop, process 0 decides and the
others are told through JAX's coordination service: on the hosts, so that no
agreement waits for a device. A run of one process pays nothing for it.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from gen_jax.errors import InputError, NonFiniteError

# Seconds between two signs of life, and without one until a process counts as
# dead. Importing and compiling may hold the interpreter for seconds.
_BEAT, _PATIENCE = 2.0, 30.0
_FOREVER = 2**31 - 1  # milliseconds; the watch ends a wait for the dead
_KEPT = 1000  # decisions: no process is so many behind
LOST = 4  # exit code when another process ended


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


def leads() -> bool:
  """Whether this process writes logs and pictures."""
  return jax.process_index() == 0


def share(decide: Callable[[], Any]) -> Any:
  """Returns on every process what `decide` gives to process 0.

  Every process has to call it, in the same order. An InputError of process 0
  is raised by all.

  Args:
    decide: returns what JSON can hold.
  """
  if jax.process_count() == 1:
    return decide()
  number = _counter()
  if not leads():
    found = _client().blocking_key_value_get(_key('said', number), _FOREVER)
    found = json.loads(found)
    if 'error' in found:
      raise InputError(found['error'])
    return found['value']
  try:
    value = decide()
  except InputError as error:
    _client().key_value_set(
      _key('said', number), json.dumps({'error': str(error)})
    )
    raise
  _client().key_value_set(_key('said', number), json.dumps({'value': value}))
  if number >= _KEPT:
    _client().key_value_delete(_key('said', number - _KEPT))
  return value


def all_agree(mine: bool) -> bool:
  """Whether it is true on every process, each of which has to call it."""
  if jax.process_count() == 1:
    return mine
  number = _counter()
  name = _key(f'vote/{number}', jax.process_index())
  _client().key_value_set(name, json.dumps(bool(mine)))
  names = [_key(f'vote/{number}', i) for i in range(jax.process_count())]
  votes = [_client().blocking_key_value_get(n, _FOREVER) for n in names]
  return all(json.loads(vote) for vote in votes)


def tell(name: str) -> None:
  """Leaves a word for all processes; `told` finds it from then on."""
  if jax.process_count() > 1:
    _client().key_value_set(_key('word', name), '1', allow_overwrite=True)


def told(name: str) -> bool:
  """Whether some process left this word."""
  if jax.process_count() == 1:
    return False
  words = dict(_client().key_value_dir_get('gen_jax/word'))
  return _key('word', name) in words


def check_shared(folder: Any) -> None:
  """Raises InputError when the processes do not see the same folder.

  Such as the local disk of each host of a pod, where the checkpoints of
  process 0 could not be restored by the others.
  """
  if jax.process_count() == 1:
    return
  token = share(lambda: f'.seen-by-all-{os.getpid()}-{time.time_ns()}')
  if leads():
    (folder / token).write_text('')
  share(lambda: None)  # written
  deadline = time.monotonic() + 10  # network folders show a file late
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


@contextlib.contextmanager
def joined(*flags: Any) -> Iterator[None]:
  """The scope of a run: connects as `connect` does, and ends with the others.

  Within it a process that dies, or ends with an error, ends all others within
  a minute with a line that says so.
  """
  connect(*flags)
  if jax.process_count() == 1:
    yield
    return
  watch = _Watch()
  watch.start()
  try:
    yield
  except Exception as error:
    # The loss is the same on all processes: they end alike and in order.
    if not isinstance(error, NonFiniteError):
      leave(error)
    _finish(watch)
    raise
  _finish(watch)


def leave(error: Exception) -> None:
  """Ends a process of many at once, so that none waits for it.

  Returns in a run of one process, and after a loss that is not finite, which
  every process sees. The exit code is that of the error.
  """
  if jax.process_count() == 1 or isinstance(error, NonFiniteError):
    return
  text = ' '.join(str(error).split())
  if not isinstance(error, InputError):
    text = f'{type(error).__name__}: {text[:400]}.{_HINT}'
  with contextlib.suppress(Exception):
    _client().key_value_set(_key('left', jax.process_index()), text)
  _exit(text, getattr(error, 'exit_code', LOST))


def _finish(watch: '_Watch') -> None:
  # The service lives in process 0, which has to be the last to go.
  _client().wait_at_barrier('gen_jax/finished', 600_000)
  watch.stop()
  jax.distributed.shutdown()


class _Watch(threading.Thread):
  """Gives signs of life, and ends this process when another gives none."""

  def __init__(self):
    super().__init__(daemon=True)
    self._stopped = threading.Event()

  def stop(self) -> None:
    self._stopped.set()
    self.join()

  def run(self):
    client, me = _client(), jax.process_index()
    last = {i: ('', time.monotonic()) for i in range(jax.process_count())}
    del last[me]
    beat = 0
    while not self._stopped.wait(_BEAT):
      beat += 1
      now = time.monotonic()
      try:
        client.key_value_set(_key('beat', me), str(beat), allow_overwrite=True)
        found = {k: v for k, v in client.key_value_dir_get('gen_jax/left')}
        beats = dict(client.key_value_dir_get('gen_jax/beat'))
      except Exception:
        if self._stopped.is_set():
          return
        _exit('process 0 cannot be reached.' + _HINT, LOST)
      for key, text in found.items():
        _exit(f'process {key.rpartition("/")[2]} ended: {text}', LOST)
      for process, (old, since) in last.items():
        new = beats.get(_key('beat', process), '')
        if new != old:
          last[process] = (new, now)
        elif now - since > _PATIENCE:
          with contextlib.suppress(Exception):
            client.key_value_set(
              _key('left', process), 'it gave no sign of life.' + _HINT
            )
          _exit(
            f'process {process} gave no sign of life for {_PATIENCE:.0f} s.'
            + _HINT,
            LOST,
          )


_HINT = ' Start all processes again: the run goes on from its last checkpoint.'


def _exit(text, code):
  where = f'process {jax.process_index()} of {jax.process_count()}'
  host = socket.gethostname()
  print(f'gen_jax: {text} ({where}, on {host})', file=sys.stderr, flush=True)
  os._exit(code)


def _client():
  # What jax.experimental.multihost_utils and orbax use as well.
  from jax._src import distributed

  return distributed.global_state.client


_count = [0]


def _counter():
  _count[0] += 1
  return _count[0] - 1


def _key(group, name):
  return f'gen_jax/{group}/{name}'
