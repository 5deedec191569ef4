"""Changes that several configs share."""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from gen_jax.errors import InputError, nearest


def choose(arg: str | None, variants: Mapping[str, Callable]) -> None:
  """Applies the variant of `--config=file.py:variant`.

  Args:
    arg: what follows the colon; None or '' for the plain config.
    variants: functions without arguments that change the config.
  """
  if not arg:
    return
  if arg not in variants:
    raise InputError(f'variant {arg!r} is unknown.{nearest(arg, variants)}')
  variants[arg]()


def tiny(config: ConfigDict) -> None:
  """Makes it a run of seconds: few steps of few images, for `test` variants."""
  config.batch_size = 8
  config.steps = 6
  config.log_every = 3
  config.checkpoint.every = 4
  config.data.train, config.data.test = 'train[:64]', 'test[:40]'


def own_images(
  config: ConfigDict, shape: tuple[int, int, int] = (64, 64, 3)
) -> None:
  """Trains on a folder, for `folder` variants: --config.data.path=DIR.

  Networks take their shapes and the number of classes from the data. Evaluators
  that need labels, or a classifier of the data, are left out.

  Args:
    config: of a data set with one field of images.
    shape: (H, W, C) that the images are cropped and resized to.
  """
  config.data.name = 'folder'
  config.data.update(
    path='',
    shape=shape,
    range=('auto',),  # or (low, high) of images of more than 8 bits
    skip_unreadable=False,
    binarize='',
    flip=True,
    labels_per_class=(),
  )
  for name in ('probe', 'accuracy', 'shift'):
    if name in config.evals:
      del config.evals[name]
  if 'fidelity' in config.evals:
    config.evals.fidelity.features = 'random'


def half_life(images: float, batch_size: int) -> float:
  """Returns the decay per step by which an average halves in so many images."""
  return 0.5 ** (batch_size / images)
