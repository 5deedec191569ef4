"""Projection into W: only w changes, and finds an image of the model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.models import progressive, stylegan
from gen_jax.objectives.parts.latents import Normal
from gen_jax.objectives.projection import Projection
from gen_jax.objectives.stylegan import StyleGAN
from gen_jax.training.projection import descend, noise_key

KEY = jax.random.key(0)


def test_an_image_of_the_model_is_found_and_the_model_stays():
  fields = dict(fmap_base=32, fmap_max=8)
  model = StyleGAN(
    gen=stylegan.Generator((8, 8, 3), width=4, depth=1, **fields),
    disc=progressive.Discriminator(**fields),
    latents=Normal(size=4),
  )
  batch = {'image': jnp.zeros((2, 8, 8, 3))}
  # Of a constant that is all ones an instance norm would leave nothing.
  rng = np.random.default_rng(0)
  trained = jax.tree.map(
    lambda x: rng.normal(size=x.shape).astype(x.dtype),
    jax.eval_shape(model.init, KEY, batch),
  )
  for layer in trained['gen']['params']['synthesis'].values():
    if isinstance(layer, dict) and 'noise' in layer:
      layer['noise'] = 0 * layer['noise']
  away = jnp.asarray([[0.3, 0.2, -0.3, 0.1], [-0.2, 0.3, 0.2, -0.3]])
  w = model.w_avg(trained) + away
  styles = w[:, None].repeat(4, axis=1)
  wanted = jax.jit(model.synthesize)(trained, styles, key=KEY)
  objective = Projection(
    model=model,
    features=lambda x: x.reshape(len(x), -1) @ jnp.eye(192, 20),
    shape=(8, 8, 3),
    layers=4,
  )
  batch = {'image': wanted}
  start = objective.start(trained, 2)

  @jax.jit
  def measure(players, key):
    loss, aux = objective.loss(players, batch, key=key, step=0)
    return loss, aux.metrics, objective.reconstruct(players, batch, key=key)

  before, terms, distant = measure(start, KEY)
  players, metrics = descend(objective, trained, batch, KEY, 200, 0.05)
  assert float(metrics['projected/loss']) < 0.05 * float(before)
  *_, found = measure(players, noise_key(KEY))
  assert float(jnp.mean(jnp.square(found - wanted))) < 0.05 * float(
    jnp.var(wanted)
  )
  assert objective.w_plus(players).shape == (2, 4, 4)
  # Losses are sums over the two images, of weights 1, and metrics are means.
  both = 2 * (terms['pixel'] + terms['feature'])
  assert float(both) == pytest.approx(float(before), rel=1e-4)
  f, g = (
    np.asarray(objective.features((x + 1) / 2)) for x in (wanted, distant)
  )
  relative = np.sum((f - g) ** 2, axis=1) / np.sum(f**2, axis=1)
  expected = float(relative.mean())
  assert float(terms['feature']) == pytest.approx(expected, rel=1e-4)
  for name in ('gen', 'disc'):
    jax.tree.map(np.testing.assert_array_equal, players[name], trained[name])
