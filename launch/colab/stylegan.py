# %% [markdown]
# # StyleGAN
#
# Trains a generator resolution by resolution, and mixes the styles of two
# latents.
# %% setup
# %%
# Trains; on a workdir that has a checkpoint it goes on. A fraction of 1 is the
# whole training of the config: minutes on a GPU, 50 on two CPU cores.
from gen_jax.config import load
from gen_jax.training.loop import train

name = 'stylegan'  # @param ["stylegan"]
variant = ''  # @param {type: "string"}
fraction = 0.05  # @param {type: "number"}
config = load(f'configs/{name}.py:{variant}')
for stage in config.stages:
  stage['steps'] = max(round(stage['steps'] * fraction), 1)
  if stage.get('objective.fade_in_steps'):
    stage['objective.fade_in_steps'] = stage['steps']
leave_out_numbers(config)
workdir = runs / f'{name}-{variant}-{fraction}'
state, metrics = train(config, workdir)
# %%
show_newest(workdir)
# %% [markdown]
# ## Style mixing
#
# The first image is that of one seed, the last that of another. The image
# between them has the w of the first up to a layer, and that of the other from
# there on. Truncation moves both toward the mean, for less variety and fewer
# artifacts.
# %%
import jax
import jax.numpy as jnp

from gen_jax.core import averaged
from gen_jax.training.tasks import make_task
from gen_jax.training.trained import open_trained

state, experiment = open_trained(workdir)
players, task = averaged(state), make_task(experiment)
sample_latents, map_latents, w_avg, synthesize = map(
  task.predict, ('sample_latents', 'map_latents', 'w_avg', 'synthesize')
)
layers = experiment.objective.gen.layers


def mixed(seed_a=0, seed_b=1, layer=layers // 2, psi=0.7):
  """Shows the images of two seeds, and one with the w of both."""
  a, b = (
    map_latents(
      players, sample_latents(players, key=jax.random.key(seed), num=1)
    )[0]
    for seed in (seed_a, seed_b)
  )
  between = jnp.where(jnp.arange(layers)[:, None] < layer, a, b)
  w_plus, mean = jnp.stack([a, between, b]), w_avg(players)
  w_plus = mean + psi * (w_plus - mean)
  images = synthesize(players, w_plus, key=jax.random.key(0))
  show(images, experiment.objective, width=450)


seeds = (0, 99)
sliders(
  mixed, seed_a=seeds, seed_b=seeds, layer=(0, layers), psi=(0.0, 1.5, 0.1)
)
