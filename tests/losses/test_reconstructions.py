"""Reconstruction errors in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import cycle, likelihoods, reconstruction

X = jnp.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]).reshape(3, 1, 2, 1)
Y = jnp.array([[3.0, 2.0], [0.3, 0.2], [0.0, 0.5]]).reshape(3, 1, 2, 1)


def test_errors_are_sums_over_pixels():
  np.testing.assert_allclose(reconstruction.l2(X, Y), [4, 0.04, 0.25], 1e-6)
  np.testing.assert_allclose(reconstruction.l1(X, Y), [2, 0.2, 0.5], 1e-6)


def test_the_scaled_error_grows_as_the_image_and_not_as_its_square():
  thick, thin, empty = reconstruction.scaled_l2(X, Y)
  np.testing.assert_allclose([thick, thin], [4 / 5, 0.04 / 0.5], 1e-6)
  assert np.isfinite(empty)
  assert empty > 1000 * thick  # where nothing is, anything is an anomaly


@pytest.mark.parametrize(
  'loss',
  [
    reconstruction.l1,
    reconstruction.l2,
    reconstruction.scaled_l2,
    likelihoods.bernoulli,
    likelihoods.gaussian,
    likelihoods.continuous_bernoulli,
    cycle.absolute,
  ],
)
def test_a_gray_output_is_not_broadcast_over_the_channels_of_an_image(loss):
  images, output = jnp.zeros((2, 4, 4, 3)), jnp.zeros((2, 4, 4, 1))
  with pytest.raises(ValueError, match=r'\(2, 4, 4, 3\) and an output of'):
    loss(images, output)
