"""Distances between two sets of feature vectors, in float64 on the host.

They take any features. Those of an Inception network make the Frechet distance
the standard FID.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from gen_jax.registry.fields import Count, Seed


class Moments(NamedTuple):
  """Mean [D] and covariance [D, D] of features, and of how many."""

  mean: np.ndarray
  covariance: np.ndarray
  count: int


def moments(features: np.ndarray) -> Moments:
  """Returns the moments of features [N, D]."""
  features = np.asarray(features, np.float64)
  mean = features.mean(axis=0)
  centered = features - mean
  covariance = centered.T @ centered / (len(features) - 1)
  return Moments(mean, covariance, len(features))


def frechet(a: Moments, b: Moments) -> float:
  """Returns |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

  Heusel et al. 2017, eq. 6. The trace of the root is the sum of the roots of
  the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric: real and
  stable for covariances without full rank, where a general matrix root is not.
  """
  values, vectors = np.linalg.eigh(a.covariance)
  root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
  product = np.linalg.eigvalsh(root @ b.covariance @ root)
  root_trace = np.sqrt(np.clip(product, 0, None)).sum()
  difference = np.square(a.mean - b.mean).sum()
  traces = np.trace(a.covariance) + np.trace(b.covariance)
  return float(max(difference + traces - 2 * root_trace, 0.0))


def rank_warning(*sets: Moments) -> str:
  """Returns a warning in words if a covariance cannot have full rank, or ''.

  The covariance of N examples has rank N - 1 at most.

  Args:
    *sets: moments of the same features.
  """
  count, size = min(x.count for x in sets), len(sets[0].mean)
  if count > size:
    return ''
  return (
    f'a Frechet distance is computed from {count} examples with {size} '
    'features: the covariance matrix is singular, and the distance is biased '
    'upward. Compare it with distances of as many examples only, or take more '
    f'than {size}.'
  )


def kid(
  a: np.ndarray,
  b: np.ndarray,
  subsets: int = 100,
  size: Count = 1000,
  seed: Seed = 0,
) -> tuple[float, float]:
  """Returns the kernel distance (KID), its mean and deviation over subsets.

  Binkowski et al. 2018: the unbiased estimate of the squared maximum mean
  discrepancy with the kernel (x . y / D + 1)^3. Unlike the Frechet distance it
  has no bias from the number of samples, and may be negative.

  A subset has at most half of either set: larger ones would share most of their
  examples, and the deviation would be too small, or 0 for subsets that are the
  whole set. The deviation over random halves is the delete-half jackknife
  estimate of the standard error of the distance of the whole sets (Shao and Wu
  1989).

  Args:
    a: features [N, D], N >= 4.
    b: features [M, D], M >= 4.
    subsets: drawn without replacement, each `size` of both.
    size: of a subset, at most.
    seed: of the draws.
  """
  size = min(size, len(a) // 2, len(b) // 2)
  rng = np.random.default_rng(seed)
  values = []
  for _ in range(subsets):
    x, y = (
      np.asarray(f[rng.choice(len(f), size, replace=False)], np.float64)
      for f in (a, b)
    )
    xx, yy, xy = (
      (p @ q.T / p.shape[1] + 1) ** 3 for p, q in ((x, x), (y, y), (x, y))
    )
    within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (
      size * (size - 1)
    )
    values.append(within - 2 * xy.mean())
  return float(np.mean(values)), float(np.std(values))


class Neighborhoods(NamedTuple):
  """How two sets lie among each other, by their nearest neighbors.

  Attributes:
    precision: fraction of fakes within the ball of some real (Kynkaanniemi et
      al. 2019).
    recall: fraction of reals within the ball of some fake.
    density: how many balls of reals a fake lies in, on average, by k (Naeem et
      al. 2020); 1 for two samples of one distribution.
    coverage: fraction of reals whose ball holds a fake.
  """

  precision: float
  recall: float
  density: float
  coverage: float


def neighborhoods(
  real: np.ndarray, fake: np.ndarray, k: int = 5, rows: int = 1000
) -> Neighborhoods:
  """Returns precision, recall, density and coverage of fakes.

  Args:
    real: features of real images, [N, D].
    fake: features of generated images, [M, D].
    k: a point's ball reaches to its k-th nearest other point of its set.
    rows: distances held at a time are `rows` x max(N, M).
  """
  real, fake = (np.asarray(x, np.float64) for x in (real, fake))
  radius_real, radius_fake = (_radii(x, k, rows) for x in (real, fake))
  inside = np.zeros(len(fake))  # of how many real balls
  recall, coverage = [], []
  for start in range(0, len(real), rows):
    part = slice(start, start + rows)
    distance = cdist(real[part], fake)
    ball = distance < radius_real[part, None]
    inside += ball.sum(axis=0)
    coverage.append(ball.any(axis=1))
    recall.append((distance < radius_fake).any(axis=1))
  return Neighborhoods(
    precision=float(np.mean(inside > 0)),
    recall=float(np.mean(np.concatenate(recall))),
    density=float(np.mean(inside) / k),
    coverage=float(np.mean(np.concatenate(coverage))),
  )


def _radii(x, k, rows):
  parts = [
    # The point itself is its own nearest.
    np.partition(cdist(x[i : i + rows], x), k, axis=1)[:, k]
    for i in range(0, len(x), rows)
  ]
  return np.concatenate(parts)


def inception_score(logits: np.ndarray) -> float:
  """Returns exp E[KL(p(y|x) || p(y))] for the logits of a classifier, [N, K].

  Salimans et al. 2016: from 1 to K.
  """
  logits = np.asarray(logits, np.float64)
  logits = logits - logits.max(axis=1, keepdims=True)
  log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  p = np.exp(log_p)
  log_mean = np.log(np.maximum(p.mean(axis=0), 1e-300))
  return float(np.exp((p * (log_p - log_mean)).sum(axis=1).mean()))
