# %% [markdown]
# # Autoencoders and variational autoencoders
#
# Trains an autoencoder, shows its samples, and moves through its latent space.
# %% setup
# %%
# Trains; on a workdir that has a checkpoint it goes on.
from gen_jax.config import load
from gen_jax.training.loop import train

name = 'vae'  # @param ["vae", "autoencoder", "iwae", "sparse_autoencoder"]
variant = ''  # @param {type: "string"}
steps = 2000  # @param {type: "integer"}
config = load(f'configs/{name}.py:{variant}')
config.steps = steps
leave_out_numbers(config)
workdir = runs / f'{name}-{variant}-{steps}'
state, metrics = train(config, workdir)
# %%
show_newest(workdir)
# %% [markdown]
# ## Along the latent space
#
# The sliders change two latents of a test image: those that vary most over the
# test images.
# %%
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import averaged
from gen_jax.training.tasks import make_task
from gen_jax.training.trained import open_trained

state, experiment = open_trained(workdir)
players, task = averaged(state), make_task(experiment)
latents, labels, images = task.latents(
  players, 'test', 40, 20, jax.random.key(0)
)
deviation = latents.std(axis=0)
first, second = np.argsort(-deviation)[:2]


def moved(image=0, along_first=1.0, along_second=-1.0):
  """Shows an image, and its latents moved by so many standard deviations."""
  start = jnp.asarray(latents[image])
  start = start.at[first].add(along_first * deviation[first])
  start = start.at[second].add(along_second * deviation[second])
  drawn = task.predict('decode')(players, start[None])
  pair = np.concatenate([images[image][None], np.asarray(drawn)])
  show(pair, experiment.objective, width=300)


slider = (-3.0, 3.0, 0.25)
sliders(moved, image=(0, 39), along_first=slider, along_second=slider)
