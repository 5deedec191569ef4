"""The reconstruction error of an autoencoder."""

import functools
import math

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.registry.fields import Count, Size


@evaluator('encode', 'reconstruct', train=2)
class Error:
  """Mean squared error of a pixel in [0, 1], beside that of PCA.

  PCA of as many components is the best that a linear autoencoder can do (Baldi
  and Hornik 1989). It is fitted on the training split.

  Attributes:
    num: images of the split; 0 for all.
  """

  task: Task
  split: str = 'test'
  num: Count = 0
  batch_size: Size = 500

  @functools.cached_property
  def _pca(self):
    return {}  # error by number of components, whatever the players are

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    reconstruct = self.task.predict('reconstruct')
    total, count = 0.0, 0
    for batch, valid in self._batches(self.split, key):
      out, images = reconstruct(players, batch, key=key), batch['image']
      errors = np.square(np.asarray(out - images))[:valid]
      total += errors.sum(dtype=np.float64)
      count += errors.size
    yield 'mse', total / count
    size = self.task.latent_size(players)
    if size >= math.prod(self.task.fields['image'][0]):
      return  # an overcomplete PCA is the identity
    if size not in self._pca:
      self._pca[size] = self._fit_pca(size, key)
    yield 'pca_mse', self._pca[size]

  def _fit_pca(self, size, key):
    from sklearn.decomposition import PCA

    train, test = (
      np.concatenate(
        [np.asarray(b['image'])[:n] for b, n in self._batches(split, key)]
      )
      for split in ('train', self.split)
    )
    train, test = (x.reshape(len(x), -1) for x in (train, test))
    pca = PCA(min(size, *train.shape), random_state=0).fit(train)
    out = pca.inverse_transform(pca.transform(test))
    return float(np.square(out - test).mean(dtype=np.float64))

  def _batches(self, split, key):
    num = self.num if split == self.split else 0
    return self.task.batches(split, num, self.batch_size, key)
