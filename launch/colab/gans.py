# %% [markdown]
# # Generative adversarial networks
#
# Trains one of the family, shows what it draws, and walks between two images.
# %% setup
# %%
# Trains; on a workdir that has a checkpoint it goes on.
from gen_jax.config import load
from gen_jax.training.loop import train

name = 'dcgan'  # @param ["dcgan", "gan", "wgan", "wgan_gp"]
variant = ''  # @param {type: "string"}
steps = 1000  # @param {type: "integer"}
config = load(f'configs/{name}.py:{variant}')
config.steps = steps
leave_out_numbers(config)
workdir = runs / f'{name}-{variant}-{steps}'
state, metrics = train(config, workdir)
# %%
# Images of the same latents in the course of training.
grids = (workdir / 'images' / 'samples').glob('*.png')
for grid in sorted(grids, key=lambda p: int(p.stem))[-3:]:
  print('after', grid.stem, 'steps')
  display(Image(grid.read_bytes(), width=400))
# %% [markdown]
# ## Between two images
#
# Each seed gives a latent of the prior. The slider moves from one to the other
# along a sphere, because the latents of a normal prior lie near one.
# %%
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import averaged
from gen_jax.training.trained import open_trained

state, experiment = open_trained(workdir)
players, objective = averaged(state), experiment.objective
generate = jax.jit(lambda z: objective.gen.apply(players['gen'], z))


def between(seed_a=0, seed_b=1, fraction=0.5):
  """Shows the images of two seeds, and one between them."""
  keys = jax.random.key(seed_a), jax.random.key(seed_b)
  a, b = (objective.latents.sample(key, 1)[0] for key in keys)
  cosine = jnp.dot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
  angle = jnp.maximum(jnp.arccos(jnp.clip(cosine, -1, 1)), 1e-4)
  parts = jnp.array([1 - fraction, fraction])
  weights = jnp.sin(parts * angle) / jnp.sin(angle)
  latents = jnp.stack([a, weights @ jnp.stack([a, b]), b])
  show(np.asarray(generate(latents)), objective, width=400)


sliders(between, seed_a=(0, 99), seed_b=(0, 99), fraction=(0.0, 1.0, 0.05))
