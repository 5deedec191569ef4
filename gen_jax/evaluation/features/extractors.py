"""Feature extractors, by which sets of images are compared.

  'auto'             'classifier' where there is one, otherwise 'random'
  'classifier'       the features of the reference classifier of the data
  'random'           convolutions with random weights, for data of any kind
  'NAME.safetensors' those of a classifier, a file of `gen_jax publish` or
                     `gen_jax import`
  'module.function'  your own, imported from where you are:
                     images, float32 [B, H, W, C] in [0, 1] -> [B, F]

With the file that `gen_jax import --as=fid_inception` writes, the Frechet
distance is the FID of the literature. Numbers of different features cannot be
compared, so each is logged with the `identity` of its features.
"""

import dataclasses
import functools
import hashlib
import importlib
import math
import pathlib
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from gen_jax.distributed import prediction
from gen_jax.errors import InputError, first_line
from gen_jax.evaluation.context import Task, filled
from gen_jax.evaluation.features import (
  reference_classifier,
  reference_network,
)
from gen_jax.evaluation.features.reference_classifier import ReferenceClassifier
from gen_jax.evaluation.features.reference_network import ReferenceNetwork
from gen_jax.models.layers import conv
from gen_jax.registry.fields import Seed, Size
from gen_jax.storage import published

Shape = tuple[int, ...]  # H, W, C

_BATCH = 100
_PROBES = 4


class Features(Protocol):
  """A map from images to vectors."""

  @property
  def identity(self) -> str:
    """Returns its name, and a hash of its weights or of some features."""
    ...

  def extract(self, images: np.ndarray) -> np.ndarray:
    """Returns features [N, F] of images [N, H, W, C], float32 in [0, 1]."""
    ...


def load(
  name: str, shape: Shape, task: Task | None = None, classifier: str = ''
) -> Features:
  """Returns the feature extractor of a name.

  Args:
    name: 'auto', 'classifier', 'random', 'NAME.safetensors' or
      'module.function'.
    shape: (H, W, C) of the images.
    task: whose images are measured; None if only 'random' and functions can be
      meant.
    classifier: workdir of a classifier; '' for the one of the package.

  Raises:
    InputError: as `check`, or a function that returns something else.
  """
  name = _chosen(name, task, classifier)
  check(name, task, classifier)
  if name == 'classifier':
    return Classified(_classifier(task, classifier))
  if name == 'random':
    return RandomFeatures(shape)
  if published.find(name):
    return Published(name, _network(name, task), shape)
  return Function(name, prediction.full_precision(_find(name)), shape)


def check_code(
  config: ConfigDict, names: Iterable[str], allowed: Collection[str]
) -> None:
  """Raises InputError when evaluators would import code that nobody allowed.

  The config of a workdir may come from somebody else, and the code that it
  names would run with the rights of the user.

  Args:
    config: of a workdir.
    names: of the evaluators that are to be made.
    allowed: features, 'module.function', whose code may be imported.
  """
  for name in names:
    code = str(config.evals[name].get('features', ''))
    runs = '.' in code and not published.find(code)
    if runs and code not in allowed:
      raise InputError(
        f'the workdir names code to import, config.evals.{name}.features='
        f'{code!r}: add --allow_code={code} if you trust it, or take other '
        f'features, such as --config.evals.{name}.features=random.'
      )


def check(name: str, task: Task | None = None, classifier: str = '') -> None:
  """Raises InputError when there is no feature extractor of this name."""
  name = _chosen(name, task, classifier)
  if name == 'classifier':
    _classifier(task, classifier)
  elif published.find(name):
    _network(name, task)
  elif name != 'random':
    _find(name)


def _chosen(name: str, task: Task | None, classifier: str) -> str:
  """Returns the name of the features that 'auto' stands for, or the name."""
  if name != 'auto':
    return name
  has = task is not None and reference_classifier.is_packaged(task)
  return 'classifier' if classifier or has else 'random'


def _classifier(task: Task | None, classifier: str) -> ReferenceClassifier:
  if task is None:
    raise InputError(
      "config.evals: features='classifier' cannot compare these images. Use "
      "'random', or your own features as 'module.function'."
    )
  return reference_classifier.load(task, classifier)


def _network(name: str, task: Task | None) -> ReferenceNetwork:
  if task is None:
    raise InputError(f'config.evals: features={name!r} cannot be opened here.')
  needs = ('features',)
  return reference_network.of_workdir(
    task.open_trained, name, 'features', needs
  )


@dataclasses.dataclass(frozen=True)
class Classified:
  """The features of a reference classifier.

  Attributes:
    classifier: whose logits are linear in the features.
  """

  classifier: ReferenceClassifier

  @property
  def identity(self) -> str:
    """Returns the name and a hash, which are logged with each result."""
    return f'classifier {self.classifier.hash}'

  def extract(self, images: np.ndarray) -> np.ndarray:
    """Returns features [N, F] of images [N, H, W, C] in [0, 1]."""
    return self.classifier.extract(images)[1]


@dataclasses.dataclass(frozen=True)
class Published:
  """The features of a model in a file of its own.

  Attributes:
    name: of the file.
    network: the model, with the capability `features`.
    shape: (H, W, C) of the images.
  """

  name: str
  network: ReferenceNetwork
  shape: Shape

  def __post_init__(self) -> None:
    fn = self.network.objective.predict_fns()['features']
    image = jax.ShapeDtypeStruct((1, *self.shape), np.float32)
    try:
      jax.eval_shape(fn, self.network.players, {'image': image})
    except Exception as error:
      raise InputError(
        f'config.evals: features={self.name!r} cannot be computed of images of '
        f'the shape {self.shape}: {first_line(error)}'
      ) from error

  @property
  def identity(self) -> str:
    """Returns the name of the file and a hash, logged with each result."""
    return f'{pathlib.Path(self.name).stem} {self.network.hash}'

  def extract(self, images: np.ndarray) -> np.ndarray:
    """Returns features [N, F] of images [N, H, W, C] in [0, 1]."""
    x = np.asarray(images, np.float32)
    if self.network.objective.pixels == 'symmetric':
      x = 2 * x - 1
    return self.network.apply('features', 'image', x, _BATCH)


@dataclasses.dataclass(frozen=True)
class RandomFeatures:
  """Convolutions of stride 2 and rectifiers with random weights.

  They do not recognize objects, but distinguish color, texture and layout. For
  images unlike photos such features rank samples as well as those of ImageNet
  (Naeem et al. 2020, section 3, with 64 features of a random VGG16). Each level
  halves the image, down to 4 pixels, and a linear map follows, 64 wide.
  The weights follow from `seed` and the shape, on every machine alike.

  Attributes:
    shape: (H, W, C) of the images.
    width: of the first level; each doubles it, up to 4 times.
    features: F.
    seed: of the weights.
  """

  shape: Shape
  width: Size = 32
  features: Size = 64
  seed: Seed = 0

  def extract(self, images: np.ndarray) -> np.ndarray:
    """Returns features [N, F] of images [N, H, W, C] in [0, 1]."""
    return _in_parts(self.apply, images)

  @functools.cached_property
  def identity(self) -> str:
    """Returns the name and a hash, which are logged with each result."""
    digest = hashlib.sha256()
    for weights in self._weights:
      digest.update(weights.tobytes())
    return f'random {digest.hexdigest()[:12]}'

  @functools.cached_property
  def _weights(self) -> list[np.ndarray]:
    height, width, depth = self.shape
    shapes, channels = [], self.width
    while max(height, width) > 4:
      shapes.append((5, 5, depth, channels))
      height, width, depth = -(-height // 2), -(-width // 2), channels
      channels = min(2 * channels, 4 * self.width)
    shapes.append((height * width * depth, self.features))
    # Philox, whose raw output is promised to stay the same. Uniform weights, of
    # the variance that keeps that of the maps (He et al. 2015).
    source = np.random.Philox(np.random.SeedSequence(self.seed))
    weights = []
    for shape in shapes:
      bits = source.random_raw(math.prod(shape)) >> np.uint64(40)
      uniform = (bits.astype(np.float64) + 0.5) / 2**23 - 1  # of variance 1/3
      scale = math.sqrt(3 * 2 / math.prod(shape[:-1]))
      weights.append((scale * uniform).reshape(shape).astype(np.float32))
    return weights

  @functools.cached_property
  def apply(self) -> Callable[[Any], jax.Array]:
    """Features [B, F] of images [B, H, W, C] on the device."""
    *kernels, last = map(jnp.asarray, self._weights)

    def apply(images):
      x = 2 * images - 1
      for kernel in kernels:
        x = jax.nn.relu(conv.conv(x, kernel, strides=2))
      return x.reshape(len(x), -1) @ last

    return jax.jit(prediction.full_precision(apply))


@dataclasses.dataclass(frozen=True)
class Function:
  """Features of a function of the user.

  Attributes:
    name: 'module.function'.
    function: images [B, H, W, C] -> [B, F].
    shape: (H, W, C) of the images.
    identity: the name, and a hash of the features of fixed noise.
  """

  name: str
  function: Callable[[np.ndarray], Any]
  shape: Shape
  identity: str = dataclasses.field(init=False)

  def __post_init__(self) -> None:
    # The identity depends on the features of fixed noise. They are rounded,
    # because their last bits differ between machines.
    size = _PROBES * math.prod(self.shape)
    bits = np.random.Philox(np.random.SeedSequence(0)).random_raw(size)
    noise = (bits >> np.uint64(40)).astype(np.float32) / 2**24
    found = np.asarray(self.function(noise.reshape(_PROBES, *self.shape)))
    if (
      found.ndim != 2 or len(found) != _PROBES or not np.all(np.isfinite(found))
    ):
      raise InputError(
        f'config.evals: features={self.name!r} returned {found.shape} for '
        f'{_PROBES} images; expected finite numbers, ({_PROBES}, F).'
      )
    text = ' '.join(f'{x:.2e}' for x in found.astype(np.float64).ravel())
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    object.__setattr__(self, 'identity', f'{self.name} {digest}')

  def extract(self, images: np.ndarray) -> np.ndarray:
    """Returns features [N, F] of images [N, H, W, C] in [0, 1]."""
    return _in_parts(self.function, images)


def _in_parts(function, images):
  """Returns features [N, F] of images [N, H, W, C], in parts of one size."""
  parts = filled(np.asarray(images, np.float32), _BATCH)
  return np.concatenate([np.asarray(function(x))[:n] for x, n in parts])


def _find(name: str) -> Callable[[np.ndarray], Any]:
  where = f'config.evals: features={name!r}'
  module, _, function = name.rpartition('.')
  if not module:
    raise InputError(
      f"{where}: expected 'auto', 'classifier', 'random', "
      "'NAME.safetensors' or 'module.function'."
    )
  try:
    found = getattr(importlib.import_module(module), function)
  except (ImportError, AttributeError) as error:
    raise InputError(f'{where}: {error}.') from error
  if not callable(found):
    raise InputError(f'{where} cannot be called.')
  return found
