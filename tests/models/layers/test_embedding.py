"""A class as a row of a table: what the network behind it sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.errors import InputError
from gen_jax.models import dense
from gen_jax.models.layers.embedding import Embedded
from gen_jax.objectives.cgan import CGAN

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


def test_both_players_may_have_one_and_packs_have_none():
  batch = {'image': jnp.zeros((4, 2, 2, 1)), 'label': jnp.arange(4) % 3}
  fields = dict(
    gen=Embedded(dense.Generator((2, 2, 1), (8,)), classes=3),
    disc=Embedded(dense.Discriminator((8,)), classes=3),
    latent=4,
    classes=3,
  )
  objective = CGAN(**fields)
  players = jax.jit(objective.init)(KEY, batch)
  logits = jax.jit(objective.discriminate)(players, batch)
  assert np.abs(logits[0] - logits[1]) > 1e-4  # one image, two classes
  loss, aux = jax.jit(objective.disc_loss)(players, batch, key=KEY, step=0)
  assert np.isfinite(loss)
  with pytest.raises(InputError, match='objective.pack=2'):
    CGAN(**fields, pack=2)
  CGAN(**{**fields, 'disc': dense.Discriminator((8,))}, pack=2)
  with pytest.raises(InputError, match='classes=3.*4'):
    CGAN(**{**fields, 'classes': 4})
