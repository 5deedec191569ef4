"""How well images are translated between two domains, a and b.

Errors are mean absolute differences of pixels in [0, 1].
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.data.shuffling import permutation
from gen_jax.data.sources import shuffle_groups
from gen_jax.errors import InputError
from gen_jax.evaluation.context import (
  Results,
  Task,
  evaluator,
  filled,
  stratified_rows,
)
from gen_jax.evaluation.features import extractors
from gen_jax.evaluation.metrics import statistics
from gen_jax.evaluation.metrics.denoising import psnr, ssim
from gen_jax.evaluation.metrics.diversity import distances
from gen_jax.registry.fields import Count, Fraction, Size
from gen_jax.storage.images import grid, to_uint8, to_unit

DIRECTIONS = ('ab', 'ba')


def directions(task: Task) -> tuple[str, ...]:
  """Returns the directions that a model translates in, 'ab', 'ba' or both.

  Raises:
    InputError: it translates in none.
  """
  known = task.objective.predict_fns()
  found = tuple(d for d in DIRECTIONS if f'translate_{d}' in known)
  if not found:
    task.predict('translate_ab')  # raises
  return found


def _needs(evaluator: Any) -> tuple[str, ...]:
  """Returns the predict functions of the directions that there are."""
  return tuple(f'translate_{d}' for d in directions(evaluator.task))


def domain(task: Task, split: str, name: str, num: int, key: Any) -> np.ndarray:
  """Returns `num` images (0: all) of a domain in [-1, 1].

  Those of a pair have the same index.
  """
  source = shuffle_groups(task.source(split)).get(name, task.source(split))
  one = dataclasses.replace(task, source=lambda split: source)
  return np.asarray(one.batch(split, num, key)[name])


def _domains(evaluator: Any, key: Any) -> dict[str, np.ndarray]:
  """Returns the images of both domains of the split of an evaluator."""
  task, split, num = evaluator.task, evaluator.split, evaluator.num
  return {name: domain(task, split, name, num, key) for name in 'ab'}


def translate(
  task: Task, players: Any, direction: str, images: np.ndarray, size: int
) -> np.ndarray:
  """Translates images [N, H, W, C] in [-1, 1], `size` at a time."""
  fn, name = task.predict(f'translate_{direction}'), direction[0]
  size = min(size, len(images))
  parts = [
    np.asarray(fn(players, {name: part}))[:count]
    for part, count in filled(images, size)
  ]
  return np.concatenate(parts)


def absolute(x: np.ndarray, y: np.ndarray) -> float:
  """Returns the mean absolute difference, of images in [-1, 1] as of [0, 1]."""
  return float(np.abs(x - y).mean(dtype=np.float64) / 2)


@evaluator()
class Errors:
  """The errors of translations, and how much they change an image.

  `cycle_a` is the error of an image of a that was translated and back,
  `identity_b` that of an image of b which was translated to b. A generator that
  copies has a `moved_ab` of 0: that is how far it moves images of a, as a
  fraction of `distance`, how far the two images of a pair are apart (or, where
  there are no pairs, `unpaired`: any image of a and any of b). `inverted_ab`
  is the fraction of images of a whose correlation with their translation is
  negative. `pairwise_distance_ratio_ab` is the mean distance of two
  translations of a, divided by that of two images of b; near 0 all images have
  the same translation. A model of one direction has no `cycle_a` and no
  `cycle_b`.

  Attributes:
    num: images of each domain; 0 for all.
    least: a ratio of distances below it leads to a warning of mode collapse.
  """

  task: Task
  split: str = 'test'
  num: Count = 500
  least: Fraction = 0.5
  batch_size: Size = 50

  needs = property(_needs)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    images = _domains(self, key)
    paired = not self.task.source(self.split).parts
    distance = _distance(images, paired)
    collapsed = []
    for here, there in directions(self.task):
      x = images[here]
      y = translate(self.task, players, here + there, x, self.batch_size)
      if len(directions(self.task)) == 2:
        back = translate(self.task, players, there + here, y, self.batch_size)
        yield f'cycle_{here}', absolute(x, back)
      if min(len(y), len(images[there])) > 1:  # one image has no distances
        ratio = distances(y)[0] / max(distances(images[there])[0], 1e-12)
        yield f'pairwise_distance_ratio_{here}{there}', ratio
        if ratio < self.least:
          collapsed.append(f'{ratio:.0%} in the direction {here}{there}')
      turned = correlation(gray(x), gray(y)) < 0
      yield f'inverted_{here}{there}', float(turned.mean())
      if x.shape[-1] != y.shape[-1]:
        continue
      stay = translate(
        self.task, players, here + there, images[there], self.batch_size
      )
      yield f'identity_{there}', absolute(images[there], stay)
      yield f'moved_{here}{there}', absolute(x, y) / distance
    yield 'distance', distance
    yield 'distance_between', 'pairs' if paired else 'unpaired'
    if collapsed:
      yield (
        'warning',
        'two translations are less distant than two images of the target '
        f'domain, {" and ".join(collapsed)}: mode collapse, unless training '
        'has just begun. Try a larger objective.cycle_weight or l1_weight, an '
        'R1 penalty in objective.regularizers, or smaller learning rates.',
      )


def _distance(images, paired):
  """Between the two of a pair, or between random images of a and of b."""
  count = min(map(len, images.values()))
  a, b = (
    as_channels(images[k][stratified_rows(len(images[k]), count)], 3)
    for k in 'ab'
  )
  if not paired:  # both may be sorted by what they show
    b = b[permutation(0, 'strangers', 0, count)]
  return absolute(a, b)


@evaluator()
class Pairs:
  """Error, PSNR (dB) and SSIM to the true image, where the split has pairs.

  Beside them those of the identity map, `identity_psnr_ab` and so on. Those of
  a regression on pairs are the same numbers of a run of
  `regression.PairedRegression`.

  Attributes:
    num: pairs; 0 for all.
  """

  task: Task
  split: str = 'test'
  num: Count = 500
  batch_size: Size = 50

  needs = property(_needs)

  def __post_init__(self) -> None:
    if self.task.source(self.split).parts:
      raise InputError(
        f'config.evals: the split {self.split!r} has no pairs to measure by: '
        'see data.pairs, or leave translation.Pairs out.'
      )

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    images = _domains(self, key)
    for here, there in directions(self.task):
      x, truth = images[here], images[there]
      y = translate(self.task, players, here + there, x, self.batch_size)
      same = as_channels(x, truth.shape[-1])
      for prefix, made in (('', y), ('identity_', same)):
        name = f'{here}{there}'
        unit = to_unit(truth, 'symmetric'), to_unit(made, 'symmetric')
        yield f'{prefix}l1_{name}', absolute(truth, made)
        yield f'{prefix}psnr_{name}', float(psnr(*unit).mean())
        yield f'{prefix}ssim_{name}', ssim(*unit)


@evaluator(train=2, split=2)
class Frechet:
  """Frechet distance of translations to the images of the domain they aim at.

  `identity_frechet_ab` is that of untouched images of a, and `frechet_train_b`
  that of as many training images of b: about the value of a perfect translation
  where images of a and b show different things. For pairs it is 0.

  Attributes:
    num: images of each domain; 0 for all.
    features: 'random', a file or a function of yours; see
      features/extractors.py.
  """

  task: Task
  split: str = 'test'
  num: Count = 500
  batch_size: Size = 50
  features: str = 'random'

  needs = property(_needs)

  def __post_init__(self) -> None:
    extractors.check(self.features, self.task)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    images = _domains(self, key)
    sets = []
    for here, there in directions(self.task):
      x, real = images[here], images[there]
      y = translate(self.task, players, here + there, x, self.batch_size)
      train = domain(self.task, 'train', there, len(real), key)
      same = as_channels(x, real.shape[-1])
      extractor = extractors.load(self.features, real.shape[1:], self.task)

      def moments(images, extractor=extractor):
        return statistics.moments(
          extractor.extract(to_unit(images, 'symmetric'))
        )

      want = moments(real)
      for name, made in (
        (f'frechet_{here}{there}', y),
        (f'identity_frechet_{here}{there}', same),
        (f'frechet_train_{there}', train),
      ):
        sets.append(moments(made))
        yield name, statistics.frechet(sets[-1], want)
      sets.append(want)
      yield f'features_{there}', extractor.identity
    warning = statistics.rank_warning(*sets)
    if warning:
      yield 'warning', warning


@evaluator()
class Grid:
  """Images, each with its translation and with that translated back.

  A fourth, where there are pairs, is the true image. A model of one direction
  has no way back.

  Attributes:
    num: images of a domain.
    columns: of such rows of images.
  """

  task: Task
  split: str = 'test'
  num: Count = 32
  columns: Size = 4

  needs = property(_needs)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    images = _domains(self, key)
    paired = not self.task.source(self.split).parts
    for here, there in directions(self.task):
      x = images[here]
      row = [x, translate(self.task, players, here + there, x, len(x))]
      if len(directions(self.task)) == 2:
        row.append(translate(self.task, players, there + here, row[1], len(x)))
      if paired:
        row.append(images[there])
      channels = max(image.shape[-1] for image in row)
      row = [as_channels(image, channels) for image in row]
      sheet = to_uint8(np.concatenate(row, axis=2), 'symmetric')
      yield f'{here}{there}', grid(sheet, self.columns)


def gray(images: np.ndarray) -> np.ndarray:
  """Returns the luminance, [N, H, W, C] -> [N, H, W, 1]."""
  if images.shape[-1] < 3:
    return images[..., :1]
  weights = np.array([0.299, 0.587, 0.114], np.float32)
  return images[..., :3] @ weights[:, None]


def as_channels(images: np.ndarray, channels: int) -> np.ndarray:
  """Returns images as gray (1), color (3) or color and opacity (4)."""
  have = images.shape[-1]
  if have == channels:
    return images
  if channels == 1:
    return gray(images)
  if have == 1:
    images = np.repeat(images, 3, axis=-1)
  if channels == 4:
    opaque = np.ones((*images.shape[:3], 1), images.dtype)
    return np.concatenate([images, opaque], axis=-1)
  return images[..., :channels]


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Returns the correlation of each pair of images, [N]; 0 for a constant."""
  x, y = (a.reshape(len(a), -1).astype(np.float64) for a in (x, y))
  x, y = (a - a.mean(axis=1, keepdims=True) for a in (x, y))
  size = np.sqrt(np.square(x).sum(axis=1) * np.square(y).sum(axis=1))
  return (x * y).sum(axis=1) / np.maximum(size, 1e-12)
