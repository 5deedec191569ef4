"""Trained models from Python.

  import gen_jax
  model = gen_jax.load('runs/dcgan')
  images = model.sample(num=16, seed=0)  # uint8 [16, H, W, C]

Images are uint8 arrays of NumPy, [N, H, W, C]. A function is compiled at its
first use for a number of images. No data set is needed, except to sample from a
plain autoencoder, which fits a mixture to its training images.
"""

import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from gen_jax.core import Players, averaged, required_arguments, root_key
from gen_jax.errors import InputError
from gen_jax.evaluation import sampling
from gen_jax.evaluation.context import Task
from gen_jax.registry.fields import Field, Seed, Size, check
from gen_jax.storage.image_stream import ImageStream
from gen_jax.storage.images import to_uint8
from gen_jax.training import tasks, trained

# Capabilities with a method of another name.
_METHODS = {
  'sample_classes': 'sample',
  'translate_ab': 'translate',
  'translate_ba': 'translate',
  'generate': 'draw',
}


def load(path: str | os.PathLike, step: int | str | None = None) -> 'Model':
  """Returns a trained model, with averaged parameters.

  Args:
    path: the workdir, a file of `gen_jax publish`, or `zoo:NAME`.
    step: of a checkpoint, 'best', or None for the newest.

  Raises:
    InputError: when there is no trained model.
  """
  state, experiment = trained.open_trained(path, step)
  return Model(tasks.make_task(experiment), averaged(state), int(state.step))


class Model:
  """A trained model; it has the methods that `capabilities` names.

  Any method raises an InputError when the model cannot do it, or when an
  argument has another shape or type than the model takes.

  Attributes:
    step: the number of training steps.
  """

  def __init__(self, task: Task, players: Players, step: int) -> None:
    """Makes a model of trained players."""
    self.step = step
    self._task = task
    self._players = players
    self._samplers = {}  # by label; an autoencoder fits a mixture for its own

  def __repr__(self) -> str:
    name = type(self._task.objective).__name__
    return (
      f'<{name}, step {self.step}, images {list(self.shape)}: '
      f'{", ".join(self.capabilities)}>'
    )

  @property
  def shape(self) -> tuple[int, ...]:
    """(H, W, C) of the images; of the first domain, if there are two."""
    fields = self._task.fields
    return tuple(fields['image' if 'image' in fields else 'a'][0])

  @property
  def classes(self) -> tuple[str, ...]:
    """Names of the classes by label; empty without classes."""
    return tuple(self._task.classes)

  @property
  def capabilities(self) -> tuple[str, ...]:
    """Names of the methods that this model has."""
    names = self._task.objective.predict_fns()
    methods = {_METHODS.get(name, name) for name in names}
    if {'encode', 'decode'} <= set(names):
      methods.add('sample')
    return tuple(sorted(methods & set(dir(self))))

  def sample(
    self, num: int = 16, seed: int = 0, label: int | str | None = None
  ) -> np.ndarray:
    """Generates images, those of `gen_jax sample` with the same seed.

    An autoencoder has no prior: the first call fits a mixture of Gaussians to
    the latents of training images, which takes the data and up to a minute.

    Args:
      num: how many; the first ones do not depend on it.
      seed: of the random numbers.
      label: the class of all images, by name or number; all in turn if None.

    Returns:
      uint8 [num, H, W, C].
    """
    _check(Size, num, 'num')
    key = _key(seed)
    chosen = None if label is None else str(label)
    if chosen not in self._samplers:
      self._samplers[chosen] = sampling.sampler(
        self._task, self._players, chosen
      )
    sample, labels = self._samplers[chosen]
    pixels = self._task.objective.pixels
    return _array(
      sampling.stream(sample, self._players, key, num, labels, pixels)
    )

  def draw(
    self, texts: str | Sequence[str], num: int = 1, seed: int = 0
  ) -> np.ndarray:
    """Generates images of captions.

    Args:
      texts: one caption or several.
      num: images of each.
      seed: of the random numbers.

    Returns:
      uint8 [captions x num, H, W, C], the images of a caption side by side.
    """
    _check(Size, num, 'num')
    key = _key(seed)
    listed = [texts] if isinstance(texts, str) else list(texts)
    return _array(
      sampling.captioned_samples(self._task, self._players, key, num, listed)
    )

  def encode(self, images: Any, labels: Any = None) -> np.ndarray:
    """Returns latents of images, float32 [N, Z].

    Args:
      images: uint8 [N, H, W, C].
      labels: int [N], for a model that is conditioned on them.
    """
    return np.asarray(self._of_images('encode', images, labels))

  def decode(self, latents: Any) -> np.ndarray:
    """Returns images of latents [N, Z], uint8 [N, H, W, C]."""
    decode = self._predict('decode')
    size = self._task.latent_size(self._players)
    try:
      values = np.asarray(latents, np.float32)
    except (TypeError, ValueError) as error:
      raise InputError(f'latents: expected numbers [N, {size}].') from error
    if values.ndim != 2 or values.shape[1] != size or not len(values):
      raise InputError(
        f'latents: expected [N, {size}], not {list(values.shape)}.'
      )
    if not np.isfinite(values).all():
      raise InputError('latents: some are not finite.')
    return self._uint8(decode(self._players, values))

  def reconstruct(
    self, images: Any, seed: int = 0, labels: Any = None
  ) -> np.ndarray:
    """Returns images after encoding and decoding, uint8 [N, H, W, C].

    A denoising autoencoder removes noise in this way.

    Args:
      images: uint8 [N, H, W, C].
      seed: of the latents that a variational autoencoder draws.
      labels: int [N], for a model that is conditioned on them.
    """
    return self._uint8(self._of_images('reconstruct', images, labels, seed))

  def corrupt(self, images: Any, seed: int = 0) -> np.ndarray:
    """Returns images with the noise of the training, uint8 [N, H, W, C]."""
    return self._uint8(self._of_images('corrupt', images, seed=seed))

  def classify(self, images: Any) -> np.ndarray:
    """Returns logits of the classes of images [N, H, W, C], [N, K]."""
    return np.asarray(self._of_images('classify', images))

  def anomaly_scores(
    self, images: Any, seed: int = 0, labels: Any = None
  ) -> dict[str, np.ndarray]:
    """Returns scores by name, [N] each; larger for less familiar images."""
    found = self._of_images('anomaly_scores', images, labels, seed)
    return {name: np.asarray(x) for name, x in found.items()}

  def translate(self, images: Any, direction: str = 'ab') -> np.ndarray:
    """Translates images of one domain to the other.

    Args:
      images: uint8 [N, H, W, C], of any size that the network takes.
      direction: 'ab' or 'ba'.

    Returns:
      uint8 [N, H, W, C].
    """
    if direction not in ('ab', 'ba'):
      raise InputError(f"direction={direction!r}: expected 'ab' or 'ba'.")
    fn, name = self._predict(f'translate_{direction}'), direction[0]
    _, _, channels = self._task.fields[name][0]
    x = _images(images, (None, None, channels))
    batch = self._task.preprocess({name: x}, jax.random.key(0))
    return self._uint8(fn(self._players, batch))

  def _predict(self, name):
    if name not in self._task.objective.predict_fns():
      raise InputError(
        f'{type(self._task.objective).__name__} cannot {name!r}. It can: '
        f'{", ".join(self.capabilities)}.'
      )
    return self._task.predict(name)

  def _of_images(self, name, images, labels=None, seed=0):
    """Calls a function of a batch of images."""
    fn = self._predict(name)
    batch: dict[str, Any] = {'image': _images(images, self.shape)}
    if labels is not None:
      if not self.classes:
        raise InputError('labels: this model has no classes.')
      values = np.asarray(labels)
      count = len(self.classes)
      whole = values.dtype.kind in 'iu' and values.shape == (
        len(batch['image']),
      )
      if not whole or np.any((values < 0) | (values >= count)):
        raise InputError(
          f'labels: expected an integer from 0 to {count - 1} for each image.'
        )
      batch['label'] = values.astype(np.int32)
    elif self._task.needs_labels(self._players, name):
      raise InputError(
        f'{type(self._task.objective).__name__} needs labels=..., an integer '
        'for each image.'
      )
    options, key = {}, _key(seed)
    if 'key' in required_arguments(name):
      options['key'] = key
    prepared = self._task.preprocess(batch, jax.random.key(0))
    return fn(self._players, prepared, **options)

  def _uint8(self, images):
    return to_uint8(np.asarray(images), self._task.objective.pixels)


def _check(kind: Any, value: Any, name: str) -> None:
  """Raises InputError unless a value, also of NumPy, is of a kind."""
  plain = value.item() if isinstance(value, np.integer) else value
  check(Field(kind), plain, name)


def _key(seed: Any) -> jax.Array:
  """Returns the random key of a seed; raises InputError if it is none."""
  _check(Seed, seed, 'seed')
  return root_key(int(seed))


def _images(images: Any, shape: Sequence[int | None]) -> np.ndarray:
  """Returns images as an array, if it has the dtype and the shape."""
  x = np.asarray(images)
  wanted = ', '.join('N' if n is None else str(n) for n in (None, *shape))
  fits = x.ndim == 4 and all(
    n is None or n == m for n, m in zip(shape, x.shape[1:], strict=True)
  )
  if x.dtype != np.uint8 or not fits or not len(x):
    raise InputError(
      f'images: expected uint8 [{wanted}], not {x.dtype} {list(x.shape)}.'
    )
  return x


def _array(stream: ImageStream) -> np.ndarray:
  return np.concatenate(list(stream.parts))
