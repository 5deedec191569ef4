"""Metrics and pictures for Weights & Biases, https://wandb.ai.

The environment variables of W&B are heeded, such as WANDB_MODE, WANDB_PROJECT
and WANDB_ENTITY. Nothing about the machine, the code or the terminal is sent,
unless a variable asks for it.
"""

import io
import os
import uuid
from collections.abc import Mapping
from typing import Any

from PIL import Image

from gen_jax.errors import InputError, first_line
from gen_jax.storage.logger import Run

_OFFLINE = 'set WANDB_MODE=offline, and send the run later with `wandb sync`'
_SECONDS = 15  # for an answer at the start
_LAST_SECONDS = 45  # for what is left at the end
# The step of the training. W&B counts its own steps, which cannot go back when
# a run continues from an earlier checkpoint.
_STEP = 'step'
# What is not gathered, by the environment variable that changes it.
_PRIVATE = {
  'WANDB_HOST': {'host': ''},
  'WANDB_DISABLE_GIT': {'disable_git': True},
  'WANDB_SAVE_CODE': {'save_code': False},
  'WANDB_CONSOLE': {'console': 'off'},
  'WANDB_X_DISABLE_META': {'x_disable_meta': True},
  'WANDB_X_DISABLE_MACHINE_INFO': {'x_disable_machine_info': True},
  'WANDB_X_DISABLE_STATS': {'x_disable_stats': True},
  'WANDB_X_SAVE_REQUIREMENTS': {'x_save_requirements': False},
}


def start(run: Run) -> tuple['WandbLogger', str]:
  """Starts a run, or continues the one of the identifier.

  Raises:
    InputError: without a login, or without an answer.
  """
  os.environ.setdefault('WANDB_ERROR_REPORTING', 'false')
  import wandb

  folder = os.environ.get('WANDB_DIR') or run.folder('WANDB_DIR')
  settings = {
    'silent': True,
    'reinit': 'create_new',  # not a run of the caller
    'symlink': False,  # some remain, see storage/workdir.py
    'init_timeout': _SECONDS,
    'finish_timeout': _LAST_SECONDS,
    'finish_timeout_raises': True,
  }
  for variable, values in _PRIVATE.items():
    if variable not in os.environ:
      settings |= values
  identifier = run.identifier or uuid.uuid4().hex[:12]
  try:
    _check_login(wandb)
    made = wandb.init(
      project=os.environ.get('WANDB_PROJECT') or 'gen_jax',
      name=os.environ.get('WANDB_NAME') or run.name,
      id=identifier,
      resume='allow',
      config=dict(run.config),
      dir=folder,
      allow_val_change=True,  # the number of steps may
      settings=wandb.Settings(**settings),
    )
  except wandb.errors.Error as error:
    reason = first_line(error, 120).rstrip('.')
    raise InputError(f'{reason}: try again, or {_OFFLINE}') from error
  made.define_metric(_STEP, hidden=True)
  made.define_metric('*', step_metric=_STEP)
  return WandbLogger(made), identifier


def _address(wandb: Any) -> str:
  return wandb.setup().settings.base_url


def _check_login(wandb: Any) -> None:
  """Raises InputError where `wandb.init` would ask for a key and wait."""
  mode = wandb.setup().settings.mode
  if mode in ('online', 'shared', 'run') and not wandb.login(prompt=False):
    raise InputError(
      f'there is no login for {_address(wandb)}: run `wandb login`, set '
      f'WANDB_API_KEY, or {_OFFLINE}'
    )


class WandbLogger:
  """Sends to a run of W&B, whose process keeps and sends what it gets."""

  def __init__(self, run: Any) -> None:
    self._run = run

  def scalars(self, step: int, values: Mapping[str, float]) -> None:
    """Adds the numbers of a step."""
    self._run.log({**values, _STEP: step})

  def image(
    self, step: int, name: str, shape: tuple[int, ...], content: bytes
  ) -> None:
    """Adds a picture or an animation."""
    import wandb

    file = io.BytesIO(content)
    if len(shape) == 4:
      shown = wandb.Video(file, format='gif')
    else:
      shown = wandb.Image(Image.open(file))
    self._run.log({name: shown, _STEP: step})

  def close(self) -> None:
    """Waits until the rest is sent, or on the disk."""
    self._run.finish()
