"""How well samples cover data whose modes are known."""

import functools

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.data.datasets import toy
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.evaluation.features import reference_classifier, reference_network
from gen_jax.registry.fields import Count, Size
from gen_jax.storage import plot


@evaluator('sample', test=1)
class Modes:
  """How many modes of a mixture samples cover, and how evenly.

  The protocol of PacGAN (Lin et al. 2018) and its program: a sample is of high
  quality within 3 standard deviations of the nearest mode, and a mode is
  covered by one such sample. `reverse_kl`, in nats, compares the distribution
  of the samples of high quality over the modes with the uniform one; without
  any such sample it is that of a single mode. `spread` is the mean variance of
  these samples within a covered mode, divided by the variance of data that are
  restricted in the same way.

  Exact samples score 1 - exp(-9/2) = 98.9% and, on 25 modes, .005 nats.

  Attributes:
    num: samples.
    shown: points of the test split behind the samples in the figure.
  """

  task: Task
  num: Count = 2500
  shown: Size = 2000

  def __post_init__(self) -> None:
    if self.task.data.get('name') != 'toy':
      raise InputError(
        "config.evals: mode_coverage.Modes needs data.name='toy'."
      )

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    data = self.task.batch('test', self.shown, key)['image']
    samples = self.task.predict('sample')(players, key=key, num=self.num)
    if not (plot.is_points(samples) and plot.is_points(data)):
      raise InputError(
        'config.evals: mode_coverage.Modes needs points, not '
        f'{samples.shape[1:]}.'
      )
    points = np.asarray(samples, np.float64).reshape(-1, 2)
    mixture = toy.find(self.task.data['mixture'])
    values = measure(points, mixture)
    yield from values.items()
    total = len(mixture.centers)
    if values['modes_covered'] < total:
      yield (
        'warning',
        f'the samples reach {values["modes_covered"]} of {total} modes: mode '
        'collapse, unless training has just begun. Try objective.pack=2, '
        'an R1 penalty in objective.regularizers, or a smaller '
        'optim.gen.learning_rate.',
      )
    yield 'modes', plot.scatter(points, behind=data)


@evaluator('sample')
class StackedModes:
  """How many of Stacked MNIST's 1,000 modes samples cover, and their balance.

  The protocol of PacGAN (Lin et al. 2018, section 4.2) and its program: a
  classifier of MNIST reads each channel, a mode is covered by one sample, and
  `reverse_kl`, in nats, compares the samples over the modes with even ones. The
  classifier assigns any image to some mode: look at the samples, too.

  `modes_covered_real` and `reverse_kl_real` are the values of as many images of
  the split. For 26,000 even draws the KL is 999 / 52,000 = .019 nats in
  expectation; digits are not quite even, which adds 3 times their KL.

  Attributes:
    num: samples.
  """

  task: Task
  split: str = 'test'
  num: Count = 26_000

  def __post_init__(self) -> None:
    if self.task.data.get('name') != 'stacked_mnist':
      raise InputError(
        'config.evals: mode_coverage.StackedModes needs '
        "data.name='stacked_mnist'."
      )

  @functools.cached_property
  def _classifier(self):
    return reference_classifier.packaged('mnist')  # of single digits

  @functools.cached_property
  def _real(self):
    return self._balance(self.task.read(self.split, self.num)['image'])

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    samples = self.task.samples(players, self.num, key)
    if samples.shape[1:] != (28, 28, 3):
      raise InputError(
        'config.evals: mode_coverage.StackedModes needs images of '
        f'(28, 28, 3), not {samples.shape[1:]}.'
      )
    yield from self._balance(samples).items()
    for name, value in self._real.items():
      yield f'{name}_real', value
    yield from reference_network.identity('classifier', self._classifier)

  def _balance(self, images):
    """Returns the numbers for images [N, 28, 28, 3], uint8 or in [0, 1]."""
    modes = np.zeros(len(images), int)
    for channel in range(3):
      digits = images[..., channel, None]
      if digits.dtype == np.uint8:
        digits = digits.astype(np.float32) / 255
      logits, _ = self._classifier.extract(digits)
      modes = 10 * modes + np.argmax(logits, axis=-1)
    return balance(np.bincount(modes, minlength=1000))


def balance(counts: np.ndarray) -> dict[str, float]:
  """Returns the modes covered and KL(samples || even) in nats.

  Args:
    counts: of the samples of each mode, [K].
  """
  fraction = counts / max(counts.sum(), 1)
  fraction = fraction[fraction > 0]
  entropy = -np.sum(fraction * np.log(fraction))
  return {
    'modes_covered': int(np.sum(counts > 0)),
    'reverse_kl': float(np.log(len(counts)) - entropy),
  }


def measure(points: np.ndarray, mixture: toy.Mixture) -> dict[str, float]:
  """Returns the numbers of `Modes` for points [N, 2]."""
  centers = np.array(mixture.centers)
  offsets = points[:, None] - centers  # [N, K, 2]
  squares = np.square(offsets).sum(-1) / mixture.deviation**2
  mode = squares.argmin(axis=1)
  good = squares[np.arange(len(points)), mode] < 9
  counts = np.bincount(mode[good], minlength=len(centers))
  values = {**balance(counts), 'high_quality': float(good.mean())}
  spreads = [
    np.var(points[good & (mode == k)], axis=0).mean()
    for k in np.flatnonzero(counts > 1)
  ]
  if spreads:
    # E[r^2 / 2 | r < 3], r^2 exponential of mean 2.
    exact = mixture.deviation**2 * (1 - 5.5 * np.exp(-4.5)) / -np.expm1(-4.5)
    values['spread'] = float(np.mean(spreads) / exact)
  return values
