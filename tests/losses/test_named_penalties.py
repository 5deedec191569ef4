"""R1, R2 and DRAGAN: where each takes the slope, and of packs."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.losses.penalties import (
  OF_DEVIATION,
  PENALTIES,
  dragan,
  dragan_uniform,
  gradient_penalty,
  r1,
  r2,
)

KEY = jax.random.key(0)


def quadratic(x):
  """Its slope is x itself."""
  return 0.5 * jnp.sum(x**2, axis=-1)


def arrays(*shape, seed=0):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


def test_r1_is_of_the_data_and_r2_of_the_images():
  real, fake = arrays(6, 2), arrays(6, 2, seed=1)
  for penalty, x in ((r1, real), (r2, fake)):
    np.testing.assert_allclose(
      penalty(quadratic, real, fake, KEY, 1.0),
      0.5 * np.sum(np.square(x), axis=1),
      rtol=1e-5,
    )


def test_dragan_is_of_the_neighborhood_of_the_data():
  slope = np.array([3.0, -4.0], np.float32)
  real, fake = 5 * arrays(20_000, 2), jnp.full((20_000, 2), 1e6)
  np.testing.assert_allclose(
    dragan(lambda x: x @ slope, real, fake, KEY, 5.0), 16.0, rtol=1e-5
  )
  # E[(r - 1)^2], r the norm of two numbers of deviation 5 sqrt(1 + 1/4).
  deviation = float(jnp.std(real)) * np.sqrt(1.25)
  mean = deviation * np.sqrt(np.pi / 2)
  np.testing.assert_allclose(
    np.mean(dragan(quadratic, real, fake, KEY, jnp.std(real))),
    2 * deviation**2 - 2 * mean + 1,
    rtol=0.02,
  )
  # Data without any spread have no neighborhood but themselves.
  flat = jnp.full((3, 2), 2.0)
  np.testing.assert_allclose(
    dragan(quadratic, flat, fake, KEY, jnp.std(flat)),
    (np.sqrt(8) - 1) ** 2,
    rtol=1e-5,
  )


def test_dragan_has_normal_noise_or_that_of_the_authors_program():
  # Values 0 and 10, of deviation 5. The norm of the gradient is the point.
  real = jnp.tile(jnp.array([[10.0], [0.0]]), (4000, 1))
  points = {
    penalty: 1 + np.sqrt(penalty(quadratic, real, real, KEY, 5.0)[::2])
    for penalty in (dragan, dragan_uniform)
  }
  normal, uniform = points[dragan], points[dragan_uniform]
  assert abs(normal.mean() - 10) < 0.15
  assert abs(normal.std() - 2.5) < 0.1
  assert 10 <= uniform.min() and uniform.max() < 12.5
  # 2.5 u a of two uniform numbers: mean 1/4, second moment 1/9.
  assert abs(uniform.mean() - (10 + 2.5 / 4)) < 0.03
  assert abs(uniform.std() - 2.5 * np.sqrt(1 / 9 - 1 / 16)) < 0.03


def test_a_pack_has_one_slope():
  x = arrays(6, 2)

  def packs(x):
    return quadratic(x.reshape(3, 4))

  norm = np.linalg.norm(x.reshape(3, 4), axis=-1)
  np.testing.assert_allclose(
    gradient_penalty(packs, x), (norm - 1) ** 2, rtol=1e-5
  )
  np.testing.assert_allclose(r1(packs, x, x, KEY, 1.0), norm**2 / 2, rtol=1e-5)


def test_the_penalties_that_use_the_deviation_of_the_batch_are_named():
  real, fake = arrays(6, 2), arrays(6, 2, seed=1)
  for name, penalty in PENALTIES.items():
    one, two = (penalty(quadratic, real, fake, KEY, d) for d in (1.0, 2.0))
    assert np.allclose(one, two) == (name not in OF_DEVIATION)
