"""Checks at the start of a run that all processes have the same settings.

With another learning rate in one process the run would train a mixture, and
with another number of steps the processes would wait for each other forever.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence

import jax
import jaxlib
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.data import record as record_lib
from gen_jax.data.record import Record
from gen_jax.distributed import process_group
from gen_jax.version import __version__

# Settings of JAX that change results, which the environment may set.
_SETTINGS = (
  'jax_default_matmul_precision',
  'jax_default_prng_impl',
  'jax_enable_x64',
  'jax_threefry_partitionable',
)


def check(
  config: ConfigDict, workdir: str | os.PathLike, data: Sequence[Record]
) -> None:
  """Raises CommonError on every process when they would not run the same.

  Every process has to call it.

  Args:
    config: with the shapes and classes of the data.
    workdir: as the user gave it.
    data: `Experiment.data_record` of each stage.
  """
  if process_group.count() > 1:
    process_group.check_same(record(config, workdir, data))


def record(
  config: ConfigDict, workdir: str | os.PathLike, data: Sequence[Record]
) -> dict[str, str]:
  """Returns what has to be the same, as texts by their names in messages."""
  whole = {
    '--workdir': os.fspath(workdir),
    'config': config_lib.plain(config),
    'the version of gen_jax': __version__,
    'the version of jax': jax.__version__,
    'the version of jaxlib': jaxlib.__version__,
    'the backend': jax.default_backend(),
    'the digest of the source code of gen_jax': _code(),
    'data': json.loads(record_lib.write(data)),
    **{name: jax.config.values[name] for name in _SETTINGS},
  }
  leaves = config_lib.flatten(whole)
  return {name: json.dumps(value) for name, value in leaves.items()}


def _code() -> str:
  """Returns a digest of the source files of this package."""
  digest = hashlib.sha256()
  root = pathlib.Path(__file__).parents[1]
  for file in sorted(root.rglob('*.py')):
    digest.update(f'{file.relative_to(root).as_posix()}\0'.encode())
    digest.update(file.read_bytes() + b'\0')
  return digest.hexdigest()[:12]
