"""Checkpoints: asynchronous, verified, and never in place of a better one."""

import contextlib
import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import gen_jax
from gen_jax import processes
from gen_jax.core import TrainState
from gen_jax.errors import InputError


class Checkpointer:
  """Saves and restores training states below a folder.

  Each checkpoint is a folder named by its step, written under another name
  and renamed when it is whole. It holds the state, a checksum of every array,
  the step, and the version of the code. A restore verifies the checksums, so
  that a damaged file is noticed and never trained on.
  """

  def __init__(self, path: pathlib.Path, keep: int | None = None):
    """Opens the folder, and makes it if it is to be written.

    Args:
      path: the folder of the checkpoints.
      keep: how many of the newest to keep; None to only read.
    """
    import orbax.checkpoint as ocp  # slow to import, and tests need no disk

    self._ocp = ocp
    # One in the cloud has no other form.
    self._path = path.absolute() if hasattr(path, 'absolute') else path
    self._writes = keep is not None
    if self._writes:
      processes.share(lambda: self._path.mkdir(parents=True, exist_ok=True))
    options = ocp.CheckpointManagerOptions(
      max_to_keep=keep,
      create=False,
      read_only=not self._writes,
      cleanup_tmp_directories=self._writes,
    )
    self._manager = ocp.CheckpointManager(self._path, options=options)

  def steps(self) -> Sequence[int]:
    """Returns the steps that have a checkpoint, oldest first."""
    return sorted(self._manager.all_steps())

  def save(self, state: TrainState) -> None:
    """Starts to write a state; does nothing where its step is saved."""
    step = int(state.step)
    if step in self._manager.all_steps():
      return
    # Orbax copies the state before it returns, so the next step may donate
    # it. Fetching it here first gives the checksums from the same bytes.
    state = jax.device_get(state)
    meta = dict(
      step=step, version=gen_jax.__version__, checksums=_checksums(state)
    )
    args = self._ocp.args
    with self._writing():
      self._manager.save(
        step,
        args=args.Composite(
          state=args.StandardSave(state), meta=args.JsonSave(meta)
        ),
      )

  def restore(self, step: int, target: TrainState) -> TrainState:
    """Returns the state of a step, as arrays on the host.

    Args:
      step: one of `steps()`.
      target: shapes and dtypes, such as `jax.eval_shape` gives.

    Raises:
      DamagedError: when it cannot be read or its checksums do not hold.
    """
    args = self._ocp.args
    try:
      found = self._manager.restore(
        step,
        args=args.Composite(
          state=args.StandardRestore(jax.tree.map(_abstract, target)),
          meta=args.JsonRestore(),
        ),
      )
    except Exception as error:  # whatever orbax makes of broken files
      first = str(error).strip().splitlines() or ['']
      raise DamagedError(
        f'checkpoint {self._path / str(step)} cannot be read: '
        f'{type(error).__name__}: {first[0][:200]}'
      ) from error
    state = jax.device_get(found['state'])
    if _checksums(state) != found['meta']['checksums']:
      raise DamagedError(
        f'checkpoint {self._path / str(step)} does not match its checksums.'
      )
    return state

  def set_aside(self, step: int) -> None:
    """Renames a damaged checkpoint, so that its step can be saved again."""
    processes.share(lambda: self._rename(step))
    self._manager.reload()

  def _rename(self, step):
    folder, number = self._path / str(step), 0
    while (target := self._path / f'damaged-{step}-{number}').exists():
      number += 1
    if folder.exists():
      folder.rename(target)

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
      first = str(error).strip().splitlines() or ['']
      raise InputError(
        f'a checkpoint cannot be written below {self._path}: '
        f'{type(error).__name__}: {first[0][:200]} Those from before are whole:'
        ' make room, and the same command goes on from the newest.'
      ) from error


class DamagedError(InputError):
  """A checkpoint that cannot be used."""


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=None)


def _checksums(state: TrainState) -> dict[str, int]:
  """CRC-32 of every array's bytes, by its path."""
  return {
    jax.tree_util.keystr(path): zlib.crc32(
      np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  }
