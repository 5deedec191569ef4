"""Checkpoints: asynchronous, verified, and never in place of a better one."""

import contextlib
import pathlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from gen_jax.core import TrainState, leaf_name
from gen_jax.distributed import process_group
from gen_jax.errors import InputError
from gen_jax.storage import checkpoint_files
from gen_jax.storage.checkpoint_files import MisfitError
from gen_jax.version import __version__

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

  def __init__(self, path: pathlib.Path, keep: int | None = None) -> None:
    """Opens the folder, and makes it if it is to be written.

    Args:
      path: the folder of the checkpoints.
      keep: how many of the newest to keep; None to only read.

    Raises:
      InputError: when the folder cannot be read or made.
    """
    import orbax.checkpoint as ocp  # slow to import, and tests need no disk

    self._ocp = ocp
    # One in a cloud is absolute: etils would put it below this folder.
    self.path = path.absolute() if isinstance(path, pathlib.Path) else path
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
      raise checkpoint_files.unreadable(self.path, error) from error

  def steps(self) -> Sequence[int]:
    """Returns the steps that have a checkpoint, oldest first.

    A file with such a name is among them, as a checkpoint that is damaged.

    Raises:
      UnreadableError: when the folder cannot be listed now.
    """
    names = checkpoint_files.list_names(self.path)
    steps = set(map(int, filter(checkpoint_files.is_step, names)))
    if not isinstance(self.path, pathlib.Path):
      # In a cloud, a folder alone does not tell that it is whole.
      self._manager.reload()
      steps &= set(self._manager.all_steps())
    return sorted(steps)

  def has_damaged(self) -> bool:
    """Whether there are checkpoints that were set aside as damaged."""
    return checkpoint_files.exist(self.path) and not self.steps()

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
      version=__version__,
      arrays=_arrays(state),
      checksums=_checksums(state),
    )
    meta['checksum'] = checkpoint_files.checksum(meta)
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
    notes = checkpoint_files.read_notes(self.path, step)
    folder = self.path / str(step)
    differences = _differences(notes['arrays'], _arrays(target))
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
    with checkpoint_files.reading(folder):
      args = self._ocp.args.Composite(state=args)
      state = jax.device_get(self._manager.restore(step, args=args)['state'])
      if _checksums(state) != notes['checksums']:
        raise ValueError('it does not match its checksums')
    return state

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
    self.wait()
    with self._writing():
      self._manager.close()

  @contextlib.contextmanager
  def _writing(self):
    """Turns what a full disk makes of a save, now or before, into a line."""
    try:
      yield
    except Exception as error:
      raise InputError(
        f'a checkpoint cannot be written below {self.path}: '
        f'{checkpoint_files.describe(error)}. Those from before are whole: '
        'remove the cause, such as a full disk, and the same command goes on '
        'from the newest.'
      ) from error


def _open(manager: Callable[[], Any]) -> Any:
  """Makes a manager, which reads the date of each checkpoint that it lists.

  One that a run at work removes between the two is an error, which passes.
  """
  for _ in range(_OPENINGS):
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
      return manager()
  return manager()


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=None)


def _leaves(tree: Any) -> dict[str, Any]:
  """Returns the arrays of a tree by name, such as 'players/gen/params'."""
  return {
    leaf_name(path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def _arrays(tree: Any) -> dict[str, list]:
  """Returns the dtype and shape of every array, by its name."""
  leaves = _leaves(tree).items()
  return {name: [str(x.dtype), list(x.shape)] for name, x in leaves}


def _checksums(state: TrainState) -> dict[str, int]:
  """Returns the CRC-32 of the bytes of every array, by its name."""
  return {
    name: zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)
    for name, x in _leaves(state).items()
  }


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """Returns in which arrays a checkpoint, `old`, and a target differ."""
  found = []
  for name in [*new, *(name for name in old if name not in new)]:
    if name not in old:
      found.append(f'{name} is not in the checkpoint')
    elif name not in new:
      found.append(f'{name} is in the checkpoint alone')
    elif old[name] != new[name]:
      before, now = ('{}{}'.format(*arrays[name]) for arrays in (old, new))
      found.append(f'{name} is {before} in the checkpoint, and {now} now')
  return found
