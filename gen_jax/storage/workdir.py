"""A run's folder: its config, its checkpoints, and how both are found again."""

import contextlib
import functools
import os
import pathlib
import stat
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.config import stages, validation
from gen_jax.core import TrainState
from gen_jax.data import record as data_record
from gen_jax.data.record import Kept, Record
from gen_jax.distributed import process_group
from gen_jax.errors import InputError, first_line
from gen_jax.storage import checkpoint, file_lock
from gen_jax.storage.checkpoint import (
  Checkpointer,
  DamagedError,
  MisfitError,
  UnreadableError,
)
from gen_jax.training import extension
from gen_jax.training.experiment import Experiment

_CONFIG_LETTERS = 2**24  # in a config.json, at most
_CLOUD_SECONDS = 20  # until a cloud counts as out of reach
# Seconds between tries to read a checkpoint that cannot be read.
_WAITS = (0.5, 1.0, 2.0, 4.0)
# A run that removes checkpoints while they are read makes a reader list them
# again, at most so often.
_LISTINGS = 20
# The first of them that any process has counts for all.
_ERRORS = (MisfitError, UnreadableError, DamagedError)


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
    raise InputError(
      f'workdir {text} cannot be reached: {type(failed[0]).__name__}: '
      + first_line(failed[0])
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
      'followed. Replace it by the file, or give another --workdir.'
    )
  return (
    f'workdir {workdir} holds {name}, which is neither a file nor a folder. '
    'Remove it.'
  )


@contextlib.contextmanager
def held(path: str | os.PathLike) -> Iterator[Any]:
  """Makes a workdir, and keeps other runs out of it.

  The lock is the kernel's, so that it ends with the process, also when that is
  killed. A gs:// path has none.

  Raises:
    InputError: when it cannot be written, or another run is at work in it.
  """
  workdir, lock = folder(path), contextlib.ExitStack()

  def make():
    check_inside(workdir)
    with _written(workdir):
      workdir.mkdir(parents=True, exist_ok=True)
      lock.enter_context(_lock(workdir))

  with lock:
    process_group.share(make)
    process_group.check_shared(workdir)
    yield workdir


def record(workdir: Any, config: ConfigDict, data: Sequence[Record]) -> None:
  """Writes what a workdir was made with, for `check` and for readers.

  `config.json` holds the config, and `data.json` what has to stay the same in
  the data, `Experiment.data_record` of each stage.
  """
  with _written(workdir):
    _write(workdir, 'config', config_lib.to_json(config))
    _write(workdir, 'data', data_record.write(data))


@contextlib.contextmanager
def _written(workdir):
  try:
    yield
  except OSError as error:
    raise InputError(
      f'workdir {workdir} cannot be written: {error.strerror}.'
    ) from error


def _write(workdir, name, text):
  partial = workdir / f'{name}.partial'
  partial.write_text(text)
  partial.replace(workdir / f'{name}.json')


def check(
  path: str | os.PathLike,
  config: ConfigDict,
  data: Sequence[Record] = (),
  extend: bool = False,
) -> str:
  """Checks that a run may go on in a workdir.

  One without a checkpoint belongs to nobody: any run may start there.

  Args:
    path: the workdir.
    config: of the run.
    data: `Experiment.data_record` of each stage.
    extend: see `extension.check`.

  Returns:
    What there is to say about learning rates if the run gets another end.

  Raises:
    InputError: when its checkpoints were made with another config or data.
  """
  workdir = folder(path)
  if not checkpoint.exist(workdir / 'checkpoints'):
    return ''
  pairs = list(zip(data_records(workdir), data, strict=False))
  for before, now in pairs:
    data_record.refuse(workdir, before.change_of_meaning(now))
  old = _find_config(workdir)
  changes, apart = (
    config_lib.difference(old, config, places, end=False) if old else ()
    for places in (True, False)
  )
  # Another config may well have other data, which is no news then.
  same = not apart and _check_content(workdir, pairs, len(data))
  if changes and not same:
    raise InputError(
      f'workdir {workdir} was made with another config '
      f'({"; ".join(changes)}): give another --workdir, or the old values.'
    )
  if old is None:
    return ''
  trained = checkpoint.newest(workdir / 'checkpoints')
  return extension.check(old, config, trained, workdir, extend)


def _check_content(workdir, pairs, count) -> bool:
  """Returns whether all data are known to be the same; refuses others.

  Older versions did not write what there is to compare.
  """
  for before, now in pairs:
    data_record.refuse(workdir, before.change_of_content(now))
  prints = [x.fingerprint for pair in pairs for x in pair]
  return len(pairs) == count and None not in prints


def data_records(workdir: Any) -> tuple[Record, ...]:
  """Returns what a workdir keeps of the data of its stages.

  There are none if an older version made the workdir.

  Raises:
    InputError: when `data.json` cannot be read.
  """
  file = workdir / 'data.json'
  try:
    text = file.read_text() if file.exists() else '[]'
  except (OSError, ValueError) as error:
    raise InputError(f'{file} cannot be read: {error}') from error
  return data_record.read(text, file)


def experiment_of(workdir: Any, stage: stages.Stage) -> Experiment:
  """Returns the experiment of a trained stage, with its record of the data."""
  kept = data_records(workdir)[stage.index : stage.index + 1]
  return Experiment(stage, Kept(workdir, kept[0]) if kept else None)


def _lock(workdir):
  if not isinstance(workdir, pathlib.Path):
    print(f'{workdir} cannot be locked: start no second run there', flush=True)
    return contextlib.nullcontext()

  def busy(owner):
    raise InputError(
      f'workdir {workdir} is in use by another run ({owner}): wait for it, '
      'stop it, or give another --workdir.'
    )

  return file_lock.locked(workdir / 'lock', busy)


def read_config(workdir: pathlib.Path) -> ConfigDict:
  """Returns the config that a workdir was made with."""
  check_inside(workdir)
  config = _find_config(workdir)
  if config is None:
    raise InputError(
      f'workdir {workdir} has no config.json: train there first, with '
      f'python -m gen_jax.main --config=... --workdir={workdir}'
    )
  return config


def _find_config(workdir):
  """The config of a workdir or, if it was lost, that of a checkpoint."""
  where, text = workdir / 'config.json', None
  try:
    text = where.read_text() if where.exists() else None
  except (OSError, ValueError) as error:
    raise InputError(f'{where} cannot be read: {error}') from error
  if text is not None and len(text) > _CONFIG_LETTERS:
    raise InputError(f'{where} is too large to be a config.')
  if text is None:
    found = checkpoint.find_config(workdir / 'checkpoints')
    if found is None:
      return None
    where, text = found
  try:
    config = config_lib.complete(config_lib.from_json(text))
  except (ValueError, TypeError, AttributeError, RecursionError) as error:
    raise InputError(
      f'the config in {where} cannot be read: {error}'
    ) from error
  try:
    validation.check(config)
  except InputError as error:
    raise InputError(f'{where}: {error}') from error
  return config


class Found(NamedTuple):
  """A checkpoint that was read.

  Attributes:
    state: on the host.
    experiment: that of the stage to which it belongs.
    notes: what was saved beside it.
  """

  state: TrainState
  experiment: Experiment
  notes: dict[str, Any]


def restore(
  checkpointer: Checkpointer,
  plan: tuple[stages.Stage, ...],
  step: int | None = None,
  set_aside: bool = False,
  of_stage: Callable[[stages.Stage], Experiment] = Experiment,
) -> Found | None:
  """Returns the newest checkpoint that is whole, or that of a step, or None.

  Args:
    checkpointer: where to look.
    plan: the stages of the config.
    step: the only step to consider; the newest first if None.
    set_aside: rename damaged checkpoints, so that a run may go on from before.
      Nothing is renamed unless one is found that is whole.
    of_stage: returns the experiment of a stage.

  Raises:
    DamagedError: when the one asked for, or every one, is damaged.
    InputError: when there is none of the step that was asked for, or the newest
      cannot be read now or does not fit the config.
  """
  steps = _steps(checkpointer)
  for _ in range(_LISTINGS):
    if step is not None and step not in steps:
      have = ', '.join(map(str, steps)) or 'none'
      raise InputError(f'--step={step}: no such checkpoint; there are {have}.')
    wanted = steps[::-1] if step is None else [step]
    found, failures = _first_whole(checkpointer, plan, wanted, of_stage)
    before = steps
    # A run at work may have removed what was read meanwhile.
    if not failures or (steps := _steps(checkpointer)) == before:
      break
  _report(failures, found, checkpointer, step)
  if set_aside:
    for candidate in failures:
      checkpointer.set_aside(candidate)
  return found


def _steps(checkpointer):
  return process_group.share(lambda: list(checkpointer.steps()))


def _first_whole(checkpointer, plan, steps, of_stage):
  """The first of some steps that is whole, and the errors of those before."""
  failures = {}
  for step in steps:
    try:
      return read(checkpointer, step, plan, of_stage), failures
    except DamagedError as error:
      failures[step] = error
    except UnreadableError as error:
      failures[step] = error
      break
  return None, failures


def _report(failures, found, checkpointer, step):
  """Says what is damaged; raises when no checkpoint can be used."""
  for error in failures.values():
    if step is not None or isinstance(error, UnreadableError):
      raise error
  lost = failures or process_group.share(checkpointer.has_damaged)
  if found is None and lost:
    why = ''.join(f'{error} ' for error in failures.values())
    raise DamagedError(
      f'{why}No checkpoint below {checkpointer.path} is left that is whole. '
      'Nothing was changed: bring one back from a copy or, to start over, give '
      f'another --workdir or move {checkpointer.path} away.'
    )
  for error in failures.values():
    if process_group.leads():
      line = f'{error} The one before it is used.'
      print(line, file=sys.stderr, flush=True)


def read(
  checkpointer: Checkpointer,
  step: int,
  plan: tuple[stages.Stage, ...],
  of_stage: Callable[[stages.Stage], Experiment] = Experiment,
) -> Found:
  """Reads a checkpoint on every process or, if one of them fails, on none.

  An error of the disk or the network may pass, so it is tried again for some
  seconds.

  Raises:
    InputError: one of the errors of `Checkpointer.restore`.
  """
  damaged = 0
  for wait in (*_WAITS, None):
    found, error = None, None
    try:
      notes = checkpoint.read_notes(checkpointer.path, step)
      experiment = of_stage(stages.at(plan, step))
      state = checkpointer.restore(step, experiment.abstract_state())
      found = Found(state, experiment, notes)
    except _ERRORS as failure:
      error = type(failure).__name__, str(failure)
    errors = dict(filter(None, process_group.gather(error)))
    if not errors:
      return found
    for kind in _ERRORS:
      if text := errors.get(kind.__name__):
        break
    damaged += kind is DamagedError
    # What failed the first time could be read a moment later, so the second
    # time decides.
    if kind is MisfitError or damaged == 2 or wait is None:
      raise kind(text)
    if kind is UnreadableError:
      time.sleep(wait)


def open_trained(
  path: str | os.PathLike,
  step: int | str | None = None,
  places: Sequence[tuple[str, str]] = (),
) -> tuple[TrainState, Experiment]:
  """Returns a trained state and its experiment, from the workdir alone.

  The data are opened when somebody asks for examples, and no sooner.

  Args:
    path: the workdir.
    step: of a checkpoint, 'best', or None for the newest.
    places: where the data are now: fields of the config and their values.

  Raises:
    InputError: when there is no config, or no checkpoint (of that step).
  """
  workdir = folder(path)
  if not workdir.is_dir():
    raise InputError(f'workdir {workdir} does not exist.')
  config = read_config(workdir)
  for field, text in places:
    config_lib.override(config, field, text)
  place = workdir / ('best' if step == 'best' else 'checkpoints')
  if not place.is_dir():
    raise InputError(f'workdir {workdir} has no {place.name} checkpoint yet.')
  checkpointer = Checkpointer(place)
  try:
    found = restore(
      checkpointer,
      stages.plan(config),
      None if step == 'best' else step,
      of_stage=functools.partial(experiment_of, workdir),
    )
  finally:
    checkpointer.close()
  if found is None:
    raise InputError(f'workdir {workdir} has no checkpoint yet.')
  return found.state, found.experiment
