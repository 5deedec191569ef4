# %% [markdown]
# # CycleGAN
#
# Learns to translate between two sets of pictures that nobody has paired, and
# shows what becomes of a picture on its way there and back.
# %% setup
# %%
# Trains; on a workdir that has a checkpoint it goes on. The variants are those
# at the top of the config, such as `colorize` and `super_resolution`.
from gen_jax.config import load
from gen_jax.training.loop import train

name = 'cyclegan'  # @param ["cyclegan"]
variant = ''  # @param {type: "string"}
steps = 800  # @param {type: "integer"}
config = load(f'configs/{name}.py:{variant}')
config.steps = steps
leave_out_numbers(config)
workdir = runs / f'{name}-{variant}-{steps}'
state, metrics = train(config, workdir)
# %%
show_newest(workdir)
# %% [markdown]
# ## There and back
#
# A test picture, its translation, and that translated back. A picture has no
# code here; the sliders choose it, and how often it goes around.
# %%
import jax
import numpy as np

from gen_jax.core import averaged
from gen_jax.evaluation.metrics.translation import domain
from gen_jax.training.tasks import make_task
from gen_jax.training.trained import open_trained

state, experiment = open_trained(workdir)
players, task = averaged(state), make_task(experiment)
pictures = {n: domain(task, 'test', n, 40, jax.random.key(0)) for n in 'ab'}


def around(direction='ab', image=0, rounds=1):
  """Shows a picture that is translated there and back so many times."""
  here, there = direction
  shown = [pictures[here][image]]
  for _ in range(rounds):
    for a, b in ((here, there), (there, here)):
      translate = task.predict(f'translate_{a}{b}')
      shown.append(np.asarray(translate(players, {a: shown[-1][None]}))[0])
  depth = max(x.shape[-1] for x in shown)  # a domain may be gray
  shown = np.stack([np.broadcast_to(x, (*x.shape[:2], depth)) for x in shown])
  show(shown, experiment.objective, width=150 * len(shown))


sliders(around, direction=['ab', 'ba'], image=(0, 39), rounds=(1, 3))
