"""Metrics and pictures for MLflow, https://mlflow.org.

They go to the server of MLFLOW_TRACKING_URI or, without one, to a database and
a folder in the workdir.
"""

import io
import json
import os
import pathlib
import re
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from PIL import Image

from gen_jax.errors import InputError, first_line
from gen_jax.storage.logger import Run

_LETTERS = 5000  # of a parameter
_PARAMETERS = 100  # in a call


def start(run: Run) -> tuple['MlflowLogger', str]:
  """Starts a run, or continues the one of the identifier.

  Raises:
    InputError: the server cannot be used; or the workdir is in a cloud, and
      there is no server.
  """
  os.environ.setdefault('MLFLOW_DISABLE_TELEMETRY', 'true')
  # A server that is away is no reason to wait for minutes.
  os.environ.setdefault('MLFLOW_HTTP_REQUEST_MAX_RETRIES', '2')
  os.environ.setdefault('MLFLOW_HTTP_REQUEST_TIMEOUT', '20')
  os.environ.setdefault('MLFLOW_LOGGING_LEVEL', 'WARNING')
  address = os.environ.get('MLFLOW_TRACKING_URI')
  place = None
  if not address:
    folder = run.folder('MLFLOW_TRACKING_URI')
    address = f'sqlite:///{folder}/mlflow.db'
    place = (folder / 'mlartifacts').as_uri()
  from mlflow.exceptions import MlflowException
  from mlflow.tracking import MlflowClient

  try:
    client = MlflowClient(tracking_uri=address)
    identifier = run.identifier
    if not identifier or not _continues(client, identifier):
      identifier = _create(client, run, place)
  except MlflowException as error:
    raise InputError(
      f'MLFLOW_TRACKING_URI={address} gives no run: {first_line(error, 120)}'
    ) from error
  return MlflowLogger(client, identifier), identifier


def _continues(client: Any, identifier: str) -> bool:
  """Whether there is a run, which then runs again."""
  from mlflow.exceptions import MlflowException

  try:
    client.update_run(identifier, status='RUNNING')
  except MlflowException as error:
    if error.error_code in (
      'RESOURCE_DOES_NOT_EXIST',
      'INVALID_PARAMETER_VALUE',
    ):
      return False  # another server than before, or it was removed
    raise
  return True


def _create(client: Any, run: Run, place: str | None) -> str:
  from mlflow.entities import Param

  name = os.environ.get('MLFLOW_EXPERIMENT_NAME') or 'gen_jax'
  found = client.get_experiment_by_name(name)
  experiment = (
    found.experiment_id
    if found
    else client.create_experiment(name, artifact_location=place)
  )
  made = client.create_run(experiment, run_name=run.name).info.run_id
  parameters = [Param(k, v) for k, v in _flat(run.config).items()]
  for i in range(0, len(parameters), _PARAMETERS):
    client.log_batch(made, params=parameters[i : i + _PARAMETERS])
  return made


def _flat(config: Mapping[str, Any], name: str = '') -> dict[str, str]:
  """Returns the leaves of a config as text, which MLflow calls parameters."""
  found = {}
  for key, value in config.items():
    place = f'{name}.{key}' if name else key
    if isinstance(value, Mapping) and value:
      found |= _flat(value, place)
    else:
      text = value if isinstance(value, str) else json.dumps(value)
      found[_named(place)] = text[:_LETTERS]
  return found


def _named(name: str) -> str:
  """Returns a name of those letters that MLflow takes."""
  return re.sub(r'[^\w\-. :/]', '_', name)


class MlflowLogger:
  """Sends to a run of MLflow; each call waits for the answer."""

  def __init__(self, client: Any, identifier: str) -> None:
    self._client, self._run = client, identifier

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the numbers of a step."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [
      Metric(_named(name), float(value), now, step)
      for name, value in values.items()
    ]
    self._client.log_batch(self._run, metrics=metrics)

  def image(
    self, step: int, name: str, shape: tuple[int, ...], content: bytes
  ) -> None:
    """Adds a picture, or an animation as a file."""
    if len(shape) == 4:
      with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, f'{step}.gif')
        file.write_bytes(content)
        self._client.log_artifact(self._run, str(file), f'animations/{name}')
    else:
      picture = Image.open(io.BytesIO(content))
      self._client.log_image(self._run, picture, key=_named(name), step=step)

  def close(self) -> None:
    """Marks the run as finished; the next start marks it as running."""
    self._client.set_terminated(self._run)
