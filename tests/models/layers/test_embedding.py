"""A class as a row of a table: what the network behind it sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.models.layers.embedding import Embedded

KEY = jax.random.key(0)


class Linear(nn.Module):
  @nn.compact
  def __call__(self, x, train=False):
    return nn.Dense(5, name='first')(x)


@pytest.mark.parametrize('shape', [(6,), (6, 2, 3)])
def test_before_a_linear_layer_it_is_a_linear_layer_of_the_one_hot_class(shape):
  x = jax.random.normal(KEY, (*shape, 4))
  label = jax.nn.one_hot(jnp.arange(np.prod(shape)).reshape(shape) % 3, 3)
  x = jnp.concatenate([x, label], axis=-1)
  embedded = Embedded(Linear(), classes=3, features=2)
  params = embedded.init(KEY, x)['params']
  first = params['network']['first']
  assert params['table'].shape == (3, 2)
  assert first['kernel'].shape == (4 + 2, 5)
  kernel = jnp.concatenate(
    [first['kernel'][:4], params['table'] @ first['kernel'][4:]]
  )
  same = {'params': {'first': {**first, 'kernel': kernel}}}
  np.testing.assert_allclose(
    embedded.apply({'params': params}, x), Linear().apply(same, x), rtol=1e-5
  )
