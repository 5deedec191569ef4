"""Checkpoints: asynchronous, verified, and never in place of a better one."""

import contextlib
import json
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import gen_jax
from gen_jax.core import TrainState
from gen_jax.distributed import process_group
from gen_jax.errors import InputError, first_line

_SHOWN = 3  # arrays that do not fit and are named
_OPENINGS = 20  # tries to list a folder that changes


class Checkpointer:
  """Saves and restores training states below a folder.

  Each checkpoint is a folder named by its step, written under another name
  and renamed when it is whole. Beside the state it holds notes:

    step, version    of the training, and of the code
    arrays           dtype and shape of every array, by its name
    checksums        CRC-32 of every array
    checksum         CRC-32 of the notes
    further notes    from the caller of `save`

  A restore compares the arrays with those that it needs, and verifies the
  checksums, so that a damaged file is noticed and never trained on.

  Attributes:
    path: the folder.
  """

  def __init__(self, path: pathlib.Path, keep: int | None = None):
    """Opens the folder, and makes it if it is to be written.

    Args:
      path: the folder of the checkpoints.
      keep: how many of the newest to keep; None to only read.

    Raises:
      InputError: when the folder cannot be read or made.
    """
    import orbax.checkpoint as ocp  # slow to import, and tests need no disk

    self._ocp = ocp
    # One in the cloud has no other form.
    self.path = path.absolute() if hasattr(path, 'absolute') else path
    self._writes = keep is not None
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep,
      create=False,
      read_only=not self._writes,
      cleanup_tmp_directories=self._writes,
    )
    try:
      if self._writes:
        process_group.broadcast(
          lambda: self.path.mkdir(parents=True, exist_ok=True)
        )
      self._manager = _open(
        lambda: ocp.CheckpointManager(self.path, options=options)
      )
    except OSError as error:
      raise _unreadable(self.path, error) from error

  def steps(self) -> Sequence[int]:
    """Returns the steps that have a checkpoint, oldest first.

    A file with such a name is among them, as a checkpoint that is damaged.

    Raises:
      UnreadableError: when the folder cannot be listed now.
    """
    steps = {int(name) for name in _listed(self.path) if _is_step(name)}
    if not isinstance(self.path, pathlib.Path):
      # In a cloud, a folder alone does not tell that it is whole.
      self._manager.reload()
      steps &= set(self._manager.all_steps())
    return sorted(steps)

  def has_damaged(self) -> bool:
    """Whether there are checkpoints that were set aside as damaged."""
    return exist(self.path) and not self.steps()

  def save(
    self, state: TrainState, notes: Mapping[str, Any] | None = None
  ) -> None:
    """Starts to write a state; does nothing where its step is saved.

    Args:
      state: to save.
      notes: to save beside it, as JSON.
    """
    step = int(state.step)
    if step in self._manager.all_steps():
      return
    # Orbax copies the state before it returns, so the next step may donate
    # it. Fetching it here first gives the checksums from the same bytes.
    state = jax.device_get(state)
    meta = dict(
      notes or {},
      step=step,
      version=gen_jax.__version__,
      arrays=_arrays(state),
      checksums=_checksums(state),
    )
    meta['checksum'] = _checksum(meta)
    args = self._ocp.args
    with self._writing():
      saves = self._manager.save(
        step,
        args=args.Composite(
          state=args.StandardSave(state), meta=args.JsonSave(meta)
        ),
      )
    if not saves:  # which orbax does not call an error
      raise RuntimeError(f'{self.path} has a checkpoint after step {step}.')

  def restore(self, step: int, target: TrainState) -> TrainState:
    """Returns the state of a step, as arrays on the host.

    Args:
      step: one of `steps()`.
      target: shapes and dtypes, such as `jax.eval_shape` gives.

    Raises:
      MisfitError: when its arrays are others than those of the target.
      DamagedError: when all its files can be read, and it is not whole.
      UnreadableError: when a file cannot be read now.
    """
    meta = read_notes(self.path, step)
    folder = self.path / str(step)
    with _reading(folder):
      arrays = meta.get('arrays') or self._stored_arrays(step)
    differences = _differences(arrays, _arrays(target))
    if differences:
      more = len(differences) - _SHOWN
      raise MisfitError(
        f'checkpoint {folder} does not fit the networks and '
        f'optimizers of this run: {"; ".join(differences[:_SHOWN])}'
        f'{f"; and {more} more" if more > 0 else ""}. Nothing was changed. '
        'Restore the config and the code that it was trained with, or give '
        'another --workdir.'
      )
    args = self._ocp.args.StandardRestore(jax.tree.map(_abstract, target))
    with _reading(folder):
      args = self._ocp.args.Composite(state=args)
      state = jax.device_get(self._manager.restore(step, args=args)['state'])
      if _checksums(state) != meta['checksums']:
        raise ValueError('it does not match its checksums')
    return state

  def _stored_arrays(self, step):
    """The arrays of a checkpoint of an older version, whose notes lack them."""
    handler = self._ocp.StandardCheckpointHandler()
    metadata = handler.metadata(self.path / str(step) / 'state')
    return _arrays(getattr(metadata, 'tree', metadata))

  def set_aside(self, step: int, reason: str = 'damaged') -> str:
    """Renames a checkpoint, so that its step can be saved again.

    Returns its new name, `<reason>-<step>-<number>`.
    """
    name = process_group.broadcast(lambda: self._rename(step, reason))
    self._manager.reload()
    return name

  def _rename(self, step, reason):
    folder, number = self.path / str(step), 0
    try:
      while (target := self.path / f'{reason}-{step}-{number}').exists():
        number += 1
      folder.rename(target)
    except OSError as error:
      raise InputError(
        f'checkpoint {folder} cannot be renamed: {error.strerror}.'
      ) from error
    return target.name

  def wait(self) -> None:
    """Blocks until what was saved is on the disk."""
    with self._writing():
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, and frees what orbax holds."""
    with self._writing():
      self._manager.wait_until_finished()
    self._manager.close()

  @contextlib.contextmanager
  def _writing(self):
    """Turns what a full disk makes of a save, now or before, into a line."""
    try:
      yield
    except Exception as error:
      raise InputError(
        f'a checkpoint cannot be written below {self.path}: '
        f'{_named(error)}. Those from before are whole: remove the cause,'
        ' such as a full disk, and the same command goes on from the newest.'
      ) from error


def _open(manager: Callable[[], Any]) -> Any:
  """Makes a manager, which reads the date of each checkpoint that it lists.

  One that a run at work removes between the two is an error, which passes.
  """
  for _ in range(_OPENINGS):
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
      return manager()
  return manager()


class DamagedError(InputError):
  """A checkpoint that can be read and is not whole."""


class UnreadableError(InputError):
  """A checkpoint that cannot be read now; it may be whole."""


class MisfitError(InputError):
  """A checkpoint of other arrays than those that are needed."""


def exist(path: Any) -> bool:
  """Whether a folder has checkpoints, also such as were set aside as damaged.

  Raises:
    UnreadableError: when the folder cannot be listed now.
  """
  names = _listed(path)
  return any(_is_step(n) or n.startswith('damaged-') for n in names)


def newest(path: Any) -> int:
  """Returns the last step that has a checkpoint below a folder, or 0.

  Raises:
    UnreadableError: when the folder cannot be listed now.
  """
  return max((int(name) for name in _listed(path) if _is_step(name)), default=0)


def read_notes(path: Any, step: int) -> dict[str, Any]:
  """Returns the notes of a checkpoint below a folder.

  Raises:
    DamagedError: when all its files can be read, and it is not whole.
    UnreadableError: when a file cannot be read now.
  """
  folder = path / str(step)
  with _reading(folder):
    # Where orbax writes the item `meta` of a checkpoint. Read without orbax,
    # whose managers are made by all processes together.
    notes = json.loads((folder / 'meta' / 'metadata').read_text())
    _check_notes(notes, step)
  return notes


def find_config(path: Any) -> tuple[Any, str] | None:
  """Returns the newest checkpoint that has a config in its notes, and that.

  Args:
    path: the folder of the checkpoints.

  Raises:
    UnreadableError: when a file cannot be read now.
  """
  for step in sorted(filter(_is_step, _listed(path)), key=int, reverse=True):
    with contextlib.suppress(DamagedError):
      notes = read_notes(path, int(step))
      if 'config' in notes:
        return path / step, notes['config']
  return None


@contextlib.contextmanager
def _reading(folder):
  """Tells a checkpoint that is damaged from one that cannot be read now.

  Orbax gives the same error for both, and for an error of a network folder
  that passes. So the files are read once more: what can be read completely,
  and still is not whole, is damaged.
  """
  try:
    yield
  except Exception as error:  # whatever orbax makes of broken files
    try:
      for file in _files(folder):
        with file.open('rb') as opened:
          while opened.read(2**20):
            pass
    except FileNotFoundError:
      pass  # another process removes it
    except OSError as failure:
      raise _unreadable(folder, failure) from error
    raise DamagedError(
      f'checkpoint {folder} is damaged: {_named(error)}.'
    ) from error


def _listed(path: Any) -> list[str]:
  try:
    return [entry.name for entry in path.iterdir()]
  except FileNotFoundError:
    return []
  except OSError as error:
    raise _unreadable(path, error) from error


def _is_step(name: str) -> bool:
  return name.isdecimal() and str(int(name)) == name


def _files(path: Any) -> Iterator[Any]:
  """The files below a folder; other than glob, it skips none in silence."""
  if not path.is_dir():
    yield path
    return
  for entry in path.iterdir():
    yield from _files(entry)


def _unreadable(path: Any, error: OSError) -> UnreadableError:
  return UnreadableError(
    f'{path} cannot be read now: {error.strerror or error}. Nothing was '
    'changed: start again when it can be read.'
  )


def _named(error: Exception) -> str:
  return f'{type(error).__name__}: {first_line(error)}'.rstrip('.: ')


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=None)


def _arrays(tree: Any) -> dict[str, list]:
  """The dtype and shape of every array, by its name."""
  return {
    '/'.join(_key(k) for k in path): [str(leaf.dtype), list(leaf.shape)]
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def _key(key: Any) -> str:
  for field in ('key', 'name', 'idx'):
    if hasattr(key, field):
      return str(getattr(key, field))
  return str(key)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """In which arrays a checkpoint, `old`, and a target differ."""
  found = []
  for name in [*new, *(name for name in old if name not in new)]:
    if name not in old:
      found.append(f'{name} is not in the checkpoint')
    elif name not in new:
      found.append(f'{name} is in the checkpoint alone')
    elif list(old[name]) != list(new[name]):
      (dtype, shape), (dtype_now, shape_now) = old[name], new[name]
      found.append(
        f'{name} is {dtype}{list(shape)} in the checkpoint, and '
        f'{dtype_now}{list(shape_now)} now'
      )
  return found


def _checksum(meta: Mapping[str, Any]) -> int:
  rest = {k: v for k, v in meta.items() if k != 'checksum'}
  return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def _check_notes(meta: Any, step: int) -> None:
  """Raises ValueError when these are not the notes of a checkpoint."""
  if not isinstance(meta, dict) or not isinstance(meta.get('checksums'), dict):
    raise ValueError('its notes have no checksums')
  if meta.get('step') != step:
    raise ValueError(f'its notes are those of step {meta.get("step")}')
  # Older versions wrote none.
  if 'checksum' in meta and _checksum(meta) != meta['checksum']:
    raise ValueError('its notes do not match their checksum')


def _checksums(state: TrainState) -> dict[str, int]:
  """CRC-32 of every array's bytes, by its path."""
  return {
    jax.tree_util.keystr(path): zlib.crc32(
      np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  }
