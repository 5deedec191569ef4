"""The networks of the StyleGAN paper at 256 pixels: one whole step."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.training import cost
from gen_jax.training.experiment import Experiment

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.parametrize('variant', ['folder256', 'tpu'])
def test_a_step_at_256_pixels(variant, capsys):
  config = config_lib.load(f'{ROOT}/configs/stylegan.py:{variant}')
  for field in ('path', 'skip_unreadable', 'range'):
    del config.data[field]
  config.data.update(name='emoji', train='train[:64]', test='test[:8]')
  stage = stages.plan(config)[-1]
  stage.config.batch_size = batch_size = 4
  # So that one step does it all.
  stage.config.objective.regularizers.r1.every = 1
  experiment = Experiment(stage)
  spent, compiled = cost.step_cost(experiment)
  with capsys.disabled():
    print(f'\n{variant}, batch {batch_size}, with R1: {spent}')
  assert spent.flops > 1e12
  players = experiment.init_players()
  batch = experiment.train_source.__getitems__(range(batch_size))
  state, metrics = compiled(experiment.init_state(players), batch)
  assert all(np.isfinite(float(v)) for v in metrics.values())
  for leaf in jax.tree.leaves(state.players):
    assert leaf.dtype == jnp.float32
