"""Regularizers: at which points each takes the gradient, and of packs."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.losses.penalties import gradient_penalty
from gen_jax.objectives.parts.regularizers import R1, R2, Dragan, Drift, Scorer

KEY = jax.random.key(0)


def quadratic(x, key=None):
  """Its gradient is x itself."""
  del key
  return 0.5 * jnp.sum(x**2, axis=-1)


def arrays(*shape, seed=0):
  values = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(values, jnp.float32)


def penalty(regularizer, real, fake=None, logits=quadratic):
  scorer = Scorer(logits, real, lambda key: fake)
  return np.asarray(regularizer.penalty(scorer, KEY))


def test_r1_is_for_real_images_and_r2_for_generated_ones():
  real, fake = arrays(6, 2), arrays(6, 2, seed=1)
  for regularizer, x in ((R1(), real), (R2(), fake)):
    np.testing.assert_allclose(
      penalty(regularizer, real, fake),
      0.5 * np.sum(np.square(x), axis=1),
      rtol=1e-5,
    )


def test_drift_is_the_square_of_the_logits_of_real_images():
  real = arrays(6, 2)
  np.testing.assert_allclose(penalty(Drift(), real), quadratic(real) ** 2)


def test_dragan_is_for_the_neighborhood_of_the_data():
  gradient = np.array([3.0, -4.0], np.float32)
  real, fake = 5 * arrays(20_000, 2), jnp.full((20_000, 2), 1e6)
  linear = penalty(Dragan(), real, fake, lambda x, key: x @ gradient)
  np.testing.assert_allclose(linear, 16.0, rtol=1e-5)
  # E[(r - 1)^2], r the norm of two numbers of deviation 5 sqrt(1 + 1/4).
  deviation = float(jnp.std(real)) * np.sqrt(1.25)
  mean = deviation * np.sqrt(np.pi / 2)
  np.testing.assert_allclose(
    np.mean(penalty(Dragan(), real, fake)),
    2 * deviation**2 - 2 * mean + 1,
    rtol=0.02,
  )
  # Data without any spread have no neighborhood but themselves.
  flat = jnp.full((3, 2), 2.0)
  np.testing.assert_allclose(
    penalty(Dragan(), flat), (np.sqrt(8) - 1) ** 2, rtol=1e-5
  )


def test_dragan_has_normal_noise_or_that_of_the_authors_program():
  # Values 0 and 10, of deviation 5. The norm of the gradient is the point.
  real = jnp.tile(jnp.array([[10.0], [0.0]]), (4000, 1))
  normal, uniform = (
    1 + np.sqrt(penalty(Dragan(uniform=uniform), real)[::2])
    for uniform in (False, True)
  )
  assert abs(normal.mean() - 10) < 0.15
  assert abs(normal.std() - 2.5) < 0.1
  assert 10 <= uniform.min() and uniform.max() < 12.5
  # 2.5 u a of two uniform numbers: mean 1/4, second moment 1/9.
  assert abs(uniform.mean() - (10 + 2.5 / 4)) < 0.03
  assert abs(uniform.std() - 2.5 * np.sqrt(1 / 9 - 1 / 16)) < 0.03


def test_a_pack_has_one_gradient():
  x = arrays(6, 2)

  def packs(x, key=None):
    return quadratic(x.reshape(3, 4))

  norm = np.linalg.norm(x.reshape(3, 4), axis=-1)
  np.testing.assert_allclose(
    gradient_penalty(packs, x), (norm - 1) ** 2, rtol=1e-5
  )
  np.testing.assert_allclose(
    penalty(R1(), x, logits=packs), norm**2 / 2, rtol=1e-5
  )


def test_the_regularizers_that_use_the_deviation_of_the_batch_are_named():
  near, far = arrays(6, 2), arrays(6, 2)
  far = far.at[3:].multiply(2)  # changes the deviation, and not the first half
  for kind in (R1, R2, Dragan, Drift):
    one, two = (penalty(kind(), x, near)[:3] for x in (near, far))
    assert np.allclose(one, two) == (not kind.whole_batch)
