"""Distances of feature sets, against closed forms and definitions."""

import numpy as np
import pytest
import scipy.linalg

from gen_jax.evaluation.metrics.statistics import (
  Moments,
  frechet,
  inception_score,
  kid,
  moments,
  neighborhoods,
  rank_warning,
)

RNG = np.random.default_rng(0)


def gaussian(mean, covariance, count=2):
  return Moments(np.asarray(mean, float), np.asarray(covariance, float), count)


def test_the_frechet_distance_of_diagonal_gaussians():
  a = gaussian([0, 1, 2], np.diag([1, 4, 9]))
  b = gaussian([1, 1, 0], np.diag([4, 1, 9]))
  assert frechet(a, b) == pytest.approx(1 + 4 + 1 + 1)
  assert frechet(a, a) == pytest.approx(0, abs=1e-12)


def test_the_frechet_distance_agrees_with_a_matrix_root():
  a, b = (
    moments(RNG.normal(size=(50, 6)) @ RNG.normal(size=(6, 6))) for _ in 'ab'
  )
  root = scipy.linalg.sqrtm(a.covariance @ b.covariance).real
  expected = np.square(a.mean - b.mean).sum() + np.trace(
    a.covariance + b.covariance - 2 * root
  )
  assert frechet(a, b) == pytest.approx(expected, rel=1e-8)
  assert frechet(b, a) == pytest.approx(expected, rel=1e-8)


def test_covariances_without_full_rank_are_no_trouble():
  # Fewer samples than dimensions, and a dimension that is always 0.
  x = RNG.normal(size=(10, 32)) * (np.arange(32) > 0)
  shifted = moments(x + 3 * (np.arange(32) == 5))
  assert frechet(moments(x), shifted) == pytest.approx(9, rel=1e-6)


def test_no_more_examples_than_features_give_a_warning():
  many, few = (moments(RNG.normal(size=(n, 8))) for n in (9, 8))
  assert rank_warning(many, many) == ''
  assert '8 examples with 8 features' in rank_warning(many, few)


def test_gaussians_in_subspaces_have_their_closed_form():
  # They share one direction of 40: sum (s_a - s_b)^2 over all of them.
  axes, _ = np.linalg.qr(RNG.normal(size=(40, 40)))
  deviations = np.zeros((2, 40))
  deviations[0, :3], deviations[1, 2:5] = (1, 2, 3), (5, 1, 2)
  a, b = (gaussian(np.zeros(40), axes * s**2 @ axes.T) for s in deviations)
  expected = np.square(deviations[0] - deviations[1]).sum()
  assert frechet(a, b) == pytest.approx(expected, rel=1e-6)
  assert frechet(a, a) == pytest.approx(0, abs=1e-5)


def test_the_kernel_distance_has_no_bias_and_sees_a_shift():
  x, y = RNG.normal(size=(2, 2000, 8))
  near, deviation = kid(x, y, subsets=50, size=200)
  assert abs(near) < 0.5 * deviation
  far, deviation = kid(x, y + 0.5, subsets=50, size=200)
  assert far > 2 * deviation
  # One pair by its definition.
  draws = np.random.default_rng(0)
  a, b = (z[:6][draws.choice(6, 3, replace=False)] for z in (x, y))
  k = lambda p, q: (p @ q / 8 + 1) ** 3  # noqa: E731
  off = [(i, j) for i in range(3) for j in range(3) if i != j]
  expected = np.mean([k(a[i], a[j]) + k(b[i], b[j]) for i, j in off]) - 2 * (
    np.mean([k(p, q) for p in a for q in b])
  )
  assert kid(x[:6], y[:6], subsets=1)[0] == pytest.approx(expected)


def test_the_deviation_of_small_sets_is_that_over_new_sets():
  fake, real = RNG.normal(size=(2, 60, 100, 4))
  values, deviations = zip(*map(kid, fake + 0.5, real), strict=True)
  # A subset of all 100 would have a deviation of about 1e-16.
  assert np.mean(deviations) == pytest.approx(np.std(values), rel=0.3)


def test_one_distribution_is_precise_recalled_dense_and_covered():
  real, fake = RNG.normal(size=(2, 1500, 4))
  out = neighborhoods(real, fake, rows=400)
  assert out.precision > 0.9
  assert out.recall > 0.9
  assert out.density == pytest.approx(1, abs=0.1)
  assert out.coverage > 0.95


def test_a_lost_mode_costs_recall_and_coverage_but_not_precision():
  real = RNG.normal(size=(1000, 2)) + 20 * (np.arange(1000) % 2)[:, None]
  out = neighborhoods(real, RNG.normal(size=(1000, 2)))
  assert out.precision > 0.9
  assert out.recall == pytest.approx(0.5, abs=0.05)
  assert out.coverage == pytest.approx(0.5, abs=0.05)


def test_neighborhoods_by_their_definition():
  real, fake = np.array([[0.0], [1], [3]]), np.array([[0.5], [2.5], [9]])
  # Radii for k=1: reals 1, 1, 2; fakes 2, 2, 6.5.
  out = neighborhoods(real, fake, k=1, rows=2)
  # .5 lies in the balls of 0 and 1, 2.5 in that of 3, 9 in none.
  assert out.precision == pytest.approx(2 / 3)
  assert out.density == pytest.approx(3 / 3)
  assert out.coverage == pytest.approx(1)
  assert out.recall == pytest.approx(1)


def test_the_inception_score_is_the_number_of_sure_and_even_classes():
  sure = 100 * np.eye(4)
  assert inception_score(sure) == pytest.approx(4)
  assert inception_score(np.zeros((5, 4))) == pytest.approx(1)
  assert inception_score(sure[[0, 0]]) == pytest.approx(1)
