"""Trained models of the package: files of `gen_jax publish`, `zoo:NAME`."""

import pathlib

from gen_jax.errors import InputError, nearest

PREFIX = 'zoo:'


def models() -> dict[str, pathlib.Path]:
  """Returns the files of the trained models by their names."""
  folder = pathlib.Path(__file__).parent
  return {path.stem: path for path in sorted(folder.glob('*.safetensors'))}


def find(name: str) -> pathlib.Path:
  """Returns the file of a trained model.

  Args:
    name: `zoo:NAME`, or NAME alone.

  Raises:
    InputError: there is no such model.
  """
  known, bare = models(), name.removeprefix(PREFIX)
  if bare not in known:
    raise InputError(
      f'{PREFIX}{bare}: the package has no such trained model.'
      f'{nearest(bare, known)} `gen_jax zoo` lists all.'
    )
  return known[bare]
