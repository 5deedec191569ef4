"""The processes of a run, and how they agree.

Each process of a run executes the same program. What they have to agree upon,
such as how many steps to send or whether to stop, process 0 decides and sends
to the others through JAX's coordination service. This happens on the hosts, so
that no agreement waits for a device. A run of one process pays nothing for it.
"""

import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from gen_jax.errors import InputError
from gen_jax.runtime import jax_private

FOREVER = 2**31 - 1  # milliseconds; the watch ends a wait for the dead
_AGREE = 1800  # seconds for all processes to open their data
_LATE = 10  # seconds until a network folder shows a file, at most
_SHOWN = 3  # differences in a message
_KEPT = 1000  # decisions: no process is so many behind


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
    found = client().blocking_key_value_get(key('decision', number), FOREVER)
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
      key('decision', number), json.dumps({'error': text, 'input': given})
    )
    if given:
      raise CommonError(text) from error
    raise
  client().key_value_set(key('decision', number), json.dumps({'value': value}))
  if number >= _KEPT:
    client().key_value_delete(key('decision', number - _KEPT))
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
  wait = FOREVER if patience is None else int(1000 * patience)
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
  """Returns how the other processes differ from process 0."""
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
