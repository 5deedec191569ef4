"""A latent variable model whose likelihood and posterior are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

SHAPE = (2, 3, 1)


@pytest.fixture
def pca():
  """Linear-Gaussian players whose encoder is the exact posterior.

  With orthogonal columns w_j of the decoder, x = W z + b + e and e ~ N(0, 1),
  the posterior factorizes: z_j ~ N(w_j . (x - b) s_j, s_j),
  s_j = 1 / (1 + |w_j|^2).
  """
  rng = np.random.default_rng(0)
  basis, _ = np.linalg.qr(rng.normal(size=(6, 2)))
  w = basis * [2.0, 0.7]  # [6, 2]
  b = rng.normal(size=6) * 0.3
  s = 1 / (1 + np.sum(w**2, axis=0))
  kernel = np.concatenate([w * s, np.zeros((6, 2))], axis=1)
  bias = np.concatenate([-(b @ (w * s)), np.log(s)])
  players = {
    'model': {
      'params': {
        'encoder': {'Dense_0': {'kernel': kernel, 'bias': bias}},
        'decoder': {'Dense_0': {'kernel': w.T, 'bias': b}},
      }
    }
  }
  images = rng.integers(0, 256, (7, *SHAPE), np.uint8)
  x = images.reshape(7, 6) / 255
  exact = scipy.stats.multivariate_normal(b, w @ w.T + np.eye(6)).logpdf(x)
  players = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), players)
  return players, images, exact


@pytest.fixture(scope='module')
def fast_compilation():
  """For many small programs that run once: they are not worth optimizing."""
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
