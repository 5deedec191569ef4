# %% [markdown]
# # StackGAN
#
# Draws pictures from text in two stages, and goes from one text to another.
# %% setup
# %%
# Trains; on a workdir that has a checkpoint it goes on. A fraction of 1 is the
# whole training of the config: minutes on a GPU, an hour on a CPU.
from gen_jax.config import load
from gen_jax.training.loop import train

name = 'stackgan'  # @param ["stackgan"]
variant = ''  # @param {type: "string"}
fraction = 0.05  # @param {type: "number"}
config = load(f'configs/{name}.py:{variant}')
for stage in config.stages:
  stage['steps'] = max(round(stage['steps'] * fraction), 1)
leave_out_numbers(config)
workdir = runs / f'{name}-{variant}-{fraction}'
state, metrics = train(config, workdir)
# %%
show_newest(workdir)
# %% [markdown]
# ## From one text to another
#
# The seed is what the text does not say. A slider goes from one text to the
# other; the network knows emoji, such as "a smiling cat".
# %%
import jax
import jax.numpy as jnp

from gen_jax.core import averaged
from gen_jax.data.text import captions
from gen_jax.evaluation.figures import captioned
from gen_jax.training.tasks import make_task
from gen_jax.training.trained import open_trained

state, experiment = open_trained(workdir)
players, task = averaged(state), make_task(experiment)


def drawn(text_a='a red heart', text_b='a blue heart', fraction=0.5, seed=0):
  """Shows the pictures of two texts, and one between them."""
  fields = captions.read([text_a, text_b], experiment.config.data)
  a, b = captioned.read(task, players, fields)
  texts = jnp.stack([a, (1 - fraction) * a + fraction * b, b])
  images = task.predict('generate')(players, texts, key=jax.random.key(seed))
  show(images, experiment.objective, width=450)


sliders(drawn, fraction=(0.0, 1.0, 0.1), seed=(0, 99))
