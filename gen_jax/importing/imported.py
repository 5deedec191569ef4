"""What an import makes: all that a published model needs."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from ml_collections import ConfigDict

from gen_jax.data.record import Record


@dataclasses.dataclass(frozen=True)
class Imported:
  """A model of another program.

  Attributes:
    config: which describes it.
    shapes: of the images that it takes or makes, (H, W, C), by field.
    arrays: of the players, by place.
    classes: names of its classes, if there are any.
    about: a line that says what was found in the files.
  """

  config: ConfigDict
  shapes: Mapping[str, tuple[int, ...]]
  arrays: Mapping[str, np.ndarray]
  about: str
  classes: tuple[str, ...] = ()

  @property
  def record(self) -> Record:
    """The record of its training data, of which only shapes are known."""
    shapes = {name: tuple(shape) for name, shape in self.shapes.items()}
    dtypes = dict.fromkeys(shapes, 'uint8')
    if self.classes:
      shapes['label'], dtypes['label'] = (), 'int32'
    return Record(self.classes, shapes, dtypes, {}, 0, '')


def placed(player: str, arrays: Mapping[str, np.ndarray]) -> dict:
  """Returns the parameters of a player by their places in the players."""
  return {f'{player}/params/{name}': x for name, x in arrays.items()}
