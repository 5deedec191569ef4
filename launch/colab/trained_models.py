# %% [markdown]
# # Trained models
#
# Uses the models of the package, `zoo:NAME`, without training.
# %% setup
# %%
# All models of the package; `gen_jax zoo NAME` describes one.
from IPython.display import Markdown

from gen_jax.commands.zoo import card, table

Markdown(table())
# %%
name = 'dcgan'  # @param {type: "string"}
Markdown(card(name))
# %% [markdown]
# ## Samples in three lines
# %%
import gen_jax

model = gen_jax.load(f'zoo:{name}')
images = model.sample(num=64, seed=0)  # uint8 [64, H, W, C]
# %%
from gen_jax.storage.images import grid


def show_all(images, width=500):
  """Shows uint8 images [N, H, W, C] in one picture."""
  display(Image(encode_png(grid(images)), width=width))


show_all(images)
# %% [markdown]
# ## What else a model can do
#
# A VAE encodes images and decodes latents. The images between two others are
# those of the latents between theirs. Your own images have to be uint8 arrays
# of the shape `model.shape`.
# %%
import numpy as np

vae = gen_jax.load('zoo:vae')
first, last = vae.encode(vae.sample(num=2, seed=3))
steps = np.linspace(0, 1, 10)[:, None]
show_all(vae.decode((1 - steps) * first + steps * last))
