"""Mixtures whose densities are known, and the same points each time."""

import numpy as np
import pytest

from gen_jax.data.datasets import toy
from gen_jax.data.opening import open_split
from gen_jax.data.pipeline import Preprocess
from gen_jax.errors import InputError


@pytest.mark.parametrize('name', toy.MIXTURES)
def test_points_are_of_their_modes(name):
  source, mixture = open_split('toy', 'train', mixture=name), toy.find(name)
  points, label = source.arrays['image'].reshape(-1, 2), source.arrays['label']
  modes = len(mixture.centers)
  assert source.fields['image'] == ((1, 1, 2), np.float32)
  assert len(points) == 100_000 and len(source.classes) == modes
  counts = np.bincount(label, minlength=modes)
  assert np.abs(counts * modes / 1e5 - 1).max() < 0.08
  noise = (points - np.array(mixture.centers)[label]) / mixture.deviation
  np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.02)
  np.testing.assert_allclose(np.cov(noise.T), np.eye(2), atol=0.02)
  inside = np.square(noise).sum(axis=1) < 9
  assert inside.mean() == pytest.approx(1 - np.exp(-4.5), abs=0.002)


def test_the_mixtures_are_those_of_the_paper():
  ring, grid = toy.find('ring'), toy.find('grid')
  assert (len(ring.centers), ring.deviation) == (8, 0.01)
  np.testing.assert_allclose(np.linalg.norm(ring.centers, axis=1), 1)
  assert (len(set(grid.centers)), grid.deviation) == (25, 0.05)
  assert {x for point in grid.centers for x in point} == {-4, -2, 0, 2, 4}


def test_the_points_stay_the_same_and_the_splits_differ():
  first = [
    toy.load.__wrapped__(split, 'grid').arrays['image'][0].ravel()
    for split in ('train', 'train', 'test')
  ]
  np.testing.assert_array_equal(first[0], first[1])
  assert np.any(first[0] != first[2])
  np.testing.assert_allclose(first[0], GOLDEN, rtol=1e-6)


def test_networks_see_points_as_they_are():
  source = open_split('toy', 'test[:100]', mixture='ring')
  raw = source.__getitems__(range(5))
  for pixels in ('unit', 'symmetric'):
    np.testing.assert_array_equal(
      Preprocess(pixels)(raw, None)['image'], raw['image']
    )
  assert '10000 points, 8 classes' in source.summary()


@pytest.mark.parametrize(
  'split,fields,match',
  [
    ('train', dict(mixture='rign'), '"ring"'),
    ('val', dict(mixture='ring'), 'no split "val"'),
    ('train', {}, 'data.mixture: .* needs it'),
  ],
)
def test_bad_input_is_named(split, fields, match):
  with pytest.raises(InputError, match=match):
    open_split('toy', split, **fields)


GOLDEN = (-1.9564241, -1.8904532)
