"""A run's folder: its config, its checkpoints, and how both are found again."""

import contextlib
import functools
import json
import os
import pathlib
import stat
import sys
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax import locks, processes, stages
from gen_jax.checkpoint import Checkpointer, DamagedError
from gen_jax.core import TrainState
from gen_jax.errors import InputError
from gen_jax.experiment import Experiment

_CLOUD_SECONDS = 20  # until a cloud counts as out of reach


def folder(path: str | os.PathLike) -> Any:
  """Returns a path; one such as gs://bucket/run through etils.epath.

  Raises:
    InputError: when it cannot be a folder, or a cloud cannot be reached.
  """
  text = os.fspath(path)
  if not text.strip():
    raise InputError(
      'workdir: expected the name of a folder, not an empty one.'
    )
  if any(unicodedata.category(letter) in ('Cc', 'Cs') for letter in text):
    raise InputError(
      f'workdir {text!r}: the name has a character that cannot be printed.'
    )
  if '://' in text:
    return _cloud(text)
  local = pathlib.Path(path)
  try:
    if not stat.S_ISDIR(local.stat().st_mode):
      raise InputError(f'workdir {local} is a file: give a folder.')
  except FileNotFoundError:
    pass  # it is to be made
  except OSError as error:
    raise InputError(
      f'workdir {text[:100]} cannot be used: {error.strerror}.'
    ) from error
  return local


@functools.cache
def _cloud(text):
  """Returns a path in a cloud which answers within seconds."""
  from etils import epath

  failed: list[Exception] = []

  def ask():
    try:
      epath.Path(text).exists()
    except Exception as error:  # each library has its own
      failed.append(error)

  # Libraries try again for minutes where there is no network.
  asking = threading.Thread(target=ask, daemon=True)
  asking.start()
  asking.join(_CLOUD_SECONDS)
  if asking.is_alive():
    raise InputError(
      f'workdir {text} cannot be reached: no answer in {_CLOUD_SECONDS} s.'
    )
  if failed and isinstance(failed[0], KeyError):
    raise InputError(
      f'workdir {text}: expected a local folder, gs://... or s3://...'
    )
  if failed:
    first = (str(failed[0]).strip().splitlines() or [''])[0][:200]
    raise InputError(
      f'workdir {text} cannot be reached: {type(failed[0]).__name__}: {first}'
    ) from failed[0]
  return epath.Path(text)


def check_inside(workdir: Any) -> None:
  """Checks that reading and writing in a workdir stays inside of it.

  A workdir may come from somebody else. Through a link in it, files elsewhere
  would be overwritten or shown, and a pipe would block whoever opens it. The
  workdir itself may be a link. A workdir in a cloud has none of these.

  Raises:
    InputError: when it holds a link or a special file, or a folder that cannot
      be listed.
  """
  folders = [workdir] if isinstance(workdir, pathlib.Path) else []
  while folders:
    try:
      with os.scandir(folders.pop()) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
          if entry.is_dir(follow_symlinks=False):
            folders.append(entry.path)
          elif not entry.is_file(follow_symlinks=False):
            if os.path.lexists(entry.path):
              raise InputError(_outside(workdir, entry))
    except (FileNotFoundError, NotADirectoryError):
      continue  # not made yet, or removed by a run at work
    except OSError as error:
      raise InputError(
        f'workdir {workdir} cannot be listed: {error.filename}: '
        f'{error.strerror}.'
      ) from error


def _outside(workdir, entry):
  name = os.path.relpath(entry.path, workdir)
  if entry.is_symlink():
    return (
      f'workdir {workdir} holds a link, {name}: links inside a workdir are not '
      'followed. Remove it, or replace it by the file.'
    )
  return (
    f'workdir {workdir} holds {name}, which is neither a file nor a folder. '
    'Remove it.'
  )


@contextlib.contextmanager
def held(
  path: str | os.PathLike,
  config: ConfigDict,
  data: Sequence[Mapping[str, Any]] = (),
) -> Iterator[Any]:
  """Makes a workdir, and keeps other runs out of it.

  `config.json` holds the config, and `data.json` the names of the classes, and
  the shapes and ranges of the images, `Experiment.data_record` of each stage.

  The lock is the kernel's, so that it ends with the process, also when that is
  killed. A gs:// path has none.

  Raises:
    InputError: when it cannot be written, was made with another config or
      other data, or another run is at work in it; it is then left as it was.
  """
  workdir, lock = folder(path), contextlib.ExitStack()

  def make():
    check_inside(workdir)
    check(workdir, config, data)
    try:
      workdir.mkdir(parents=True, exist_ok=True)
      lock.enter_context(_lock(workdir))
      _write(workdir, 'config', config_lib.to_json(config))
      if data:
        _write(workdir, 'data', json.dumps(list(data), indent=2) + '\n')
    except OSError as error:
      raise InputError(
        f'workdir {workdir} cannot be written: {error.strerror}.'
      ) from error

  with lock:
    processes.share(make)
    processes.check_shared(workdir)
    yield workdir


def _write(workdir, name, text):
  partial = workdir / f'{name}.partial'
  partial.write_text(text)
  partial.replace(workdir / f'{name}.json')


def check(
  path: str | os.PathLike,
  config: ConfigDict,
  data: Sequence[Mapping[str, Any]] = (),
) -> None:
  """Raises InputError when a workdir was made with another config or data."""
  workdir = folder(path)
  check_data(workdir, dict(enumerate(data)))
  if not (workdir / 'config.json').exists():
    return
  changes = config_lib.difference(read_config(workdir), config)
  if changes:
    raise InputError(
      f'workdir {workdir} was made with another config '
      f'({"; ".join(changes)}): give another --workdir, or the old values.'
    )


def check_data(workdir: Any, data: Mapping[int, Mapping[str, Any]]) -> None:
  """Raises InputError when the data changed since a workdir was made.

  Args:
    workdir: with `data.json`, which older versions did not write.
    data: `Experiment.data_record` by the index of the stage.
  """
  file = workdir / 'data.json'
  if not data or not file.exists():
    return
  try:
    records = json.loads(file.read_text())
    pairs = [(records[i], new) for i, new in data.items() if i < len(records)]
    changes = [_data_change(old, new) for old, new in pairs]
  except (OSError, ValueError, TypeError, KeyError) as error:
    raise InputError(f'{file} cannot be read: {error!r}') from error
  for change in filter(None, changes):
    raise InputError(
      f'workdir {workdir} was made with other data: {change}. Restore the '
      'data, or give another --workdir.'
    )


def _data_change(old, new) -> str:
  """In what two records of data differ; '' where they do not."""
  before, after = old['classes'], new['classes']
  if before != after:
    come = [name for name in after if name not in before]
    gone = [name for name in before if name not in after]
    parts = []
    for names, verb in ((come, 'new'), (gone, 'missing')):
      if names:
        parts.append(f'{verb}: {", ".join(names)}')
    what = '; '.join(parts) or 'another order'
    return (
      f'the classes changed ({what}), so that labels would mean other classes'
    )
  for name, shape in new['shapes'].items():
    if old['shapes'].get(name, shape) != shape:
      return f'{name!r} had the shape {old["shapes"][name]}, now {shape}'
  for name, ranges in new.get('ranges', {}).items():
    before = old.get('ranges', {}).get(name, {})
    for kind, limits in ranges.items():
      if before.get(kind, limits) != limits:
        return (
          f'pixels of {name!r} that are {kind} had the range {before[kind]}, '
          f'now {limits}'
        )
  return ''


def _lock(workdir):
  if not isinstance(workdir, pathlib.Path):
    print(f'{workdir} cannot be locked: start no second run there', flush=True)
    return contextlib.nullcontext()

  def busy(owner):
    raise InputError(
      f'workdir {workdir} is in use by another run ({owner}): wait for it, '
      'stop it, or give another --workdir.'
    )

  return locks.locked(workdir / 'lock', busy)


def read_config(workdir: pathlib.Path) -> ConfigDict:
  """Returns the config that a workdir was made with."""
  check_inside(workdir)
  file = workdir / 'config.json'
  if not file.exists():
    raise InputError(
      f'workdir {workdir} has no config.json: train there first, with '
      f'python -m gen_jax.main --config=... --workdir={workdir}'
    )
  try:
    return config_lib.complete(config_lib.from_json(file.read_text()))
  except (OSError, ValueError) as error:
    raise InputError(f'{file} cannot be read: {error}') from error


def restore(
  checkpointer: Checkpointer,
  plan: tuple[stages.Stage, ...],
  step: int | None = None,
  set_aside: bool = False,
) -> tuple[TrainState, Experiment] | None:
  """Returns the newest state that is whole, or that of a step, or None.

  Args:
    checkpointer: where to look.
    plan: the stages of the config.
    step: the only step to consider; the newest first if None.
    set_aside: rename damaged checkpoints, so that a run may go on from before.

  Raises:
    DamagedError: when the one asked for, or every one, is damaged.
    InputError: when there is none of the step that was asked for.
  """
  steps = checkpointer.steps()
  if step is not None and step not in steps:
    have = ', '.join(map(str, steps)) or 'none'
    raise InputError(f'--step={step}: no such checkpoint; there are {have}.')
  damaged = None
  for candidate in [step] if step is not None else reversed(steps):
    experiment = Experiment(stages.at(plan, candidate))
    try:
      state = _restore(checkpointer, candidate, experiment)
    except DamagedError as error:
      if step is not None:
        raise
      damaged = error
      if processes.leads():
        line = f'{error} The one before it is used.'
        print(line, file=sys.stderr, flush=True)
      if set_aside:
        checkpointer.set_aside(candidate)
      continue
    return state, experiment
  if damaged is not None and not set_aside:
    raise damaged
  return None


def _restore(checkpointer, step, experiment):
  """Restores a step on every process or, where one of them fails, on none."""
  failed, state = None, None
  try:
    state = checkpointer.restore(step, experiment.abstract_state())
  except DamagedError as error:
    failed = error
  if not processes.all_agree(failed is None):
    raise failed or DamagedError(
      f'checkpoint {step} cannot be read by another process.'
    )
  return state


def open_trained(
  path: str | os.PathLike, step: int | str | None = None
) -> tuple[TrainState, Experiment]:
  """Returns a trained state and its experiment, from the workdir alone.

  Args:
    path: the workdir.
    step: of a checkpoint, 'best', or None for the newest.

  Raises:
    InputError: when there is no config, or no checkpoint (of that step).
  """
  workdir = folder(path)
  if not workdir.is_dir():
    raise InputError(f'workdir {workdir} does not exist.')
  config = read_config(workdir)
  place = workdir / ('best' if step == 'best' else 'checkpoints')
  if not place.is_dir():
    raise InputError(f'workdir {workdir} has no {place.name} checkpoint yet.')
  checkpointer = Checkpointer(place)
  try:
    found = restore(
      checkpointer, stages.plan(config), None if step == 'best' else step
    )
  finally:
    checkpointer.close()
  if found is None:
    raise InputError(f'workdir {workdir} has no checkpoint yet.')
  _, experiment = found
  check_data(workdir, {experiment.stage.index: experiment.data_record})
  return found
