"""How well samples cover a mixture of Gaussians whose modes are known."""

import dataclasses

import numpy as np

from gen_jax import plot
from gen_jax.data import toy
from gen_jax.errors import InputError
from gen_jax.evals.task import Task


@dataclasses.dataclass(frozen=True)
class Modes:
  """Modes covered, samples of high quality, and their balance.

  The protocol of PacGAN (Lin et al. 2018) and its program: a sample is of high
  quality within 3 standard deviations of the nearest mode, and a mode is
  covered by one such sample. The reverse KL, in nats, is of the samples of high
  quality over the modes, from even ones; that of no such sample is that of all
  in one mode. `spread` is the mean over the covered modes of the variance of
  those samples, over the variance of data that are cut in the same way.

  Exact samples score 1 - exp(-9/2) = 98.9% and, on 25 modes, .005 nats.

  Attributes:
    num: samples.
    shown: points of the test split behind the samples in the figure.
  """

  task: Task
  num: int = 2500
  shown: int = 2000

  needs = ('sample',)

  def __post_init__(self):
    if self.task.data.get('name') != 'toy':
      raise InputError("config.evals: modes.Modes needs data.name='toy'.")

  def run(self, players, key):
    data = self.task.batch('test', 0, self.shown, key)['image']
    samples = self.task.predict('sample')(players, key=key, num=self.num)
    if not (plot.is_points(samples) and plot.is_points(data)):
      raise InputError(
        f'config.evals: modes.Modes needs points, not {samples.shape[1:]}.'
      )
    points = np.asarray(samples, np.float64).reshape(-1, 2)
    mixture = toy.find(self.task.data['mixture'])
    yield from measure(points, mixture).items()
    yield 'modes', plot.scatter(points, behind=data)


def measure(points: np.ndarray, mixture: toy.Mixture) -> dict[str, float]:
  """Returns the numbers of `Modes` for points [N, 2]."""
  centres = np.array(mixture.centres)
  offsets = points[:, None] - centres  # [N, K, 2]
  squares = np.square(offsets).sum(-1) / mixture.deviation**2
  mode = squares.argmin(axis=1)
  good = squares[np.arange(len(points)), mode] < 9
  counts = np.bincount(mode[good], minlength=len(centres))
  share = counts / max(counts.sum(), 1)
  share = share[share > 0]
  entropy = -np.sum(share * np.log(share))
  values = {
    'covered': int(np.sum(counts > 0)),
    'high_quality': float(good.mean()),
    'reverse_kl': float(np.log(len(centres)) - entropy),
  }
  spreads = [
    np.var(points[good & (mode == k)], axis=0).mean()
    for k in np.flatnonzero(counts > 1)
  ]
  if spreads:
    # E[r^2 / 2 | r < 3], r^2 exponential of mean 2.
    exact = mixture.deviation**2 * (1 - 5.5 * np.exp(-4.5)) / -np.expm1(-4.5)
    values['spread'] = float(np.mean(spreads) / exact)
  return values
