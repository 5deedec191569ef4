"""Parameters of a trained model in a safetensors file.

`NAME.safetensors` has an array for each parameter, which is named by its place
in the players: `model/params/Conv_0/kernel`. `NAME.json` beside it describes
the model and has the SHA-256 of the first file. Reading a pair runs no code.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import flax
import numpy as np
import safetensors
import safetensors.numpy

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.storage import outputs

_MOST_BYTES = 2**28  # in a file of parameters


def write(
  path: pathlib.Path,
  players: Players,
  description: Mapping[str, Any],
  dtype: str = 'float32',
) -> None:
  """Writes players to `path`, and their description to a JSON file beside it.

  Args:
    path: a name that ends with `.safetensors`.
    players: variables of every player.
    description: goes into the JSON file together with the SHA-256.
    dtype: of the stored arrays, 'float32' or 'float16'.
  """
  content = safetensors.numpy.save(
    {k: x.astype(dtype) for k, x in _flat(players).items()}
  )
  write_described(path, content, description)


def write_described(
  path: pathlib.Path, content: bytes, description: Mapping[str, Any]
) -> None:
  """Writes a file, and its description with its SHA-256 as JSON beside it."""
  whole = {**description, 'sha256': hashlib.sha256(content).hexdigest()}
  text = json.dumps(whole, indent=1) + '\n'
  with (
    outputs.replaced(path.with_suffix('.json')) as about,
    outputs.replaced(path) as partial,
  ):
    partial.write_bytes(content)
    about.write_text(text)


def read(path: pathlib.Path) -> tuple[Players, dict[str, Any]]:
  """Returns players, as float32, and their description.

  Raises:
    InputError: when a file is missing or damaged, or when the SHA-256 of the
      parameters differs from that of the description.
  """
  try:
    description = json.loads(path.with_suffix('.json').read_text())
    if path.stat().st_size > _MOST_BYTES:
      raise ValueError(f'it has more than {_MOST_BYTES} bytes')
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != description['sha256']:
      raise ValueError('its SHA-256 differs from that in the JSON file')
    # The library compares the header with the size of the file.
    arrays = safetensors.numpy.load(content)
  except (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    safetensors.SafetensorError,
  ) as error:
    raise InputError(
      f'{path} cannot be used: {str(error).rstrip(".")}. Install the package '
      'again, or restore the file.'
    ) from error
  arrays = {k: x.astype(np.float32) for k, x in arrays.items()}
  return flax.traverse_util.unflatten_dict(arrays, sep='/'), description


def digest(players: Players) -> str:
  """Returns 12 hexadecimal digits that depend on all parameters."""
  state = hashlib.sha256()
  for name, x in sorted(_flat(players).items()):
    state.update(name.encode() + x.tobytes())
  return state.hexdigest()[:12]


def _flat(players: Players) -> dict[str, np.ndarray]:
  flat = flax.traverse_util.flatten_dict(dict(players), sep='/')
  return {k: np.asarray(x) for k, x in flat.items()}
