"""A trained model as one file, which is used wherever a workdir is read.

The file is a safetensors file. It has an array for each variable, named by its
place in the players, `gen/params/Conv_0/kernel`, and the rest as JSON in its
header: the config, the shapes and classes of the data, the last metrics and a
SHA-256. Reading it runs no code.
"""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import annotated_types as at
import flax
import jax
import numpy as np
import pydantic
import safetensors
import safetensors.numpy

from gen_jax import zoo
from gen_jax.core import Players, leaf_name
from gen_jax.data import inputs
from gen_jax.errors import InputError
from gen_jax.storage import cloud, outputs

SUFFIX = '.safetensors'
_HEADER = 'gen_jax'  # the key of the JSON
# Collections that only training needs; they are 0 after reading.
TRAINING = ('image_pool',)


class Description(pydantic.BaseModel, extra='forbid', strict=True):
  """What a published file says of its model.

  Attributes:
    step: of the training.
    stage: of the config, from 0.
    config: as `config.json` has it.
    data: as `data.json` has it, of the stage of the model.
    metrics: the last value of each, and the protocol beside them.
    title: what the model is, in a few words.
    result: the name of the metric that tells most, '' if none does.
    license: of the data that it was trained on, if known.
    command: that trained it, if known.
    time: of the training with its machine, in words, if known.
    version: of the package that wrote the file.
    sha256: of all arrays.
  """

  step: Annotated[int, at.Ge(0)]
  stage: Annotated[int, at.Ge(0)]
  config: str
  data: str
  metrics: dict[str, bool | int | float | str]
  title: str = ''
  result: str = ''
  license: str = ''
  command: str = ''
  time: str = ''
  version: str = ''
  sha256: str = ''


def find(path: Any) -> str | pathlib.Path | None:
  """Returns the published file that a path names, or None for a workdir.

  Args:
    path: `zoo:NAME` for a model of the package, `NAME.safetensors` for another
      file, or a workdir.

  Raises:
    InputError: the package has no model of this name.
  """
  text = str(path)
  if text.startswith(zoo.PREFIX):
    return zoo.find(text)
  if not text.endswith(SUFFIX):
    return None
  if cloud.names(text):
    return text
  return None if os.path.isdir(text) else pathlib.Path(text)


def write(
  path: pathlib.Path, players: Players, about: Description, dtype: str
) -> None:
  """Writes a model.

  Args:
    path: its name ends with `SUFFIX`.
    players: variables of every player.
    about: the rest.
    dtype: of the stored parameters, 'float32' or 'float16'. Other variables,
      such as statistics, stay as they are.
  """
  arrays = {}
  for name, x in _flat(players).items():
    collection = name.split('/')[1]
    if collection not in TRAINING:
      arrays[name] = x.astype(dtype) if collection == 'params' else x
  write_arrays(path, arrays, about)


def write_arrays(
  path: pathlib.Path, arrays: Mapping[str, np.ndarray], about: Description
) -> None:
  """Writes arrays as `read` returns them; their SHA-256 is computed here."""
  whole = about.model_copy(update={'sha256': _digest(arrays)})
  content = safetensors.numpy.save(
    dict(arrays), metadata={_HEADER: whole.model_dump_json()}
  )
  with outputs.replaced(path) as partial:
    partial.write_bytes(content)


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], Description]:
  """Returns the arrays of a published file and what it says of itself.

  Raises:
    InputError: when there is no such file, or it is damaged or of another
      program.
  """
  try:
    with (
      cloud.local_copy(_opened(path)) as copy,
      safetensors.safe_open(copy, 'np') as file,
    ):
      header = (file.metadata() or {}).get(_HEADER)
      if header is None:
        raise ValueError('gen_jax did not write it with `gen_jax publish`')
      about = Description.model_validate_json(header)
      arrays = {name: file.get_tensor(name) for name in file.keys()}
    if _digest(arrays) != about.sha256:
      raise ValueError('its SHA-256 differs from that of its header')
  except pydantic.ValidationError as error:
    raise InputError(
      f'{path} cannot be used: its header has {inputs.invalid(error)}.'
    ) from error
  except (OSError, ValueError, TypeError, safetensors.SafetensorError) as error:
    reason = getattr(error, 'strerror', None) or str(error)
    raise InputError(f'{path} cannot be used: {reason.rstrip(".")}.') from error
  return arrays, about


def _opened(path: str | os.PathLike) -> Any:
  if cloud.names(path):
    return cloud.path(os.fspath(path), 'file ')
  return pathlib.Path(path)


def fit(
  arrays: Mapping[str, np.ndarray], expected: Players, path: Any
) -> Players:
  """Returns arrays as the players that a config describes.

  Args:
    arrays: by their places in the players.
    expected: the shapes and dtypes of all players.
    path: of the file, for messages.

  Raises:
    InputError: when an array is missing or has another shape.
  """

  def take(place: Any, x: Any) -> np.ndarray:
    name = leaf_name(place)
    if name in arrays:
      found = arrays[name].astype(x.dtype)
    elif name.split('/')[1] in TRAINING:
      found = np.zeros(x.shape, x.dtype)
    else:
      raise InputError(f'{path}: the array {name} is missing.')
    if found.shape != x.shape:
      raise InputError(
        f'{path}: the array {name} has the shape {list(found.shape)}, and the '
        f'config asks for {list(x.shape)}.'
      )
    return found

  # A player without parameters stays one.
  return jax.tree_util.tree_map_with_path(take, dict(expected))


def _flat(players):
  flat = flax.traverse_util.flatten_dict(dict(players), sep='/')
  return {k: np.asarray(x) for k, x in flat.items()}


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
  state = hashlib.sha256()
  for name, x in sorted(arrays.items()):
    state.update(f'{name} {x.dtype} {x.shape} '.encode() + x.tobytes())
  return state.hexdigest()
