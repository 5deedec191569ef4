"""What a logger is, and the run that it shows."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

from gen_jax.errors import InputError


class Logger(Protocol):
  """Takes the metrics and pictures of a run; any method may raise."""

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the numbers of a step."""

  def image(
    self, step: int, name: str, shape: tuple[int, ...], content: bytes
  ) -> None:
    """Adds a picture or an animation.

    Args:
      step: of the training.
      name: under which it is shown.
      shape: [H, W, C], or [T, H, W, C] of an animation.
      content: of a PNG file; of a GIF file for an animation.
    """

  def close(self) -> None:
    """Writes what is left."""


@dataclasses.dataclass(frozen=True)
class Run:
  """The run that a logger shows.

  Attributes:
    workdir: its folder, which gives it its name.
    config: of the run, as JSON holds it.
    identifier: under which the logger knows the run; None starts another one.
  """

  workdir: Any
  config: Mapping[str, Any]
  identifier: str | None = None

  @property
  def name(self) -> str:
    """The name of the workdir."""
    path = self.workdir
    return (path.absolute() if isinstance(path, pathlib.Path) else path).name

  def folder(self, variable: str) -> pathlib.Path:
    """Returns the workdir, for the files that a library keeps on a disk.

    Args:
      variable: the environment variable that names another place.

    Raises:
      InputError: the workdir is in a cloud.
    """
    if not isinstance(self.workdir, pathlib.Path):
      raise InputError(
        f'its files have to be on a disk, and the workdir {self.workdir} is '
        f'not: set the environment variable {variable}'
      )
    return self.workdir.absolute()
