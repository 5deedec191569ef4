"""Every config trains its `:test` form."""

import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax import stages
from gen_jax.train import train

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted((ROOT / 'configs').glob('*.py'))


@pytest.mark.parametrize(
  'path,form',
  [
    *((path, 'jit') for path in CONFIGS),
    # One is enough: evaluators do not depend on the form.
    (ROOT / 'configs' / 'autoencoder.py', 'pmap'),
  ],
  ids=lambda p: getattr(p, 'stem', p),
)
@pytest.mark.slow('compiles all programs of a run')
def test_the_test_form_trains_and_draws(path, form, tmp_path):
  config = config_lib.load(f'{path}:test')
  config.parallel = form
  state, metrics = train(config, tmp_path)
  assert int(state.step) == stages.plan(config)[-1].end
  assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))
  assert metrics
  for file in tmp_path.glob('images/**/*.png'):
    assert np.asarray(Image.open(file)).std() > 0, file


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
@pytest.mark.slow('compiles a run')
def test_the_test_form_trains_one_program_per_device(path, tmp_path):
  config = config_lib.load(f'{path}:test')
  config.parallel, config.evals = 'pmap', {}
  # One config that goes from stage to stage is enough.
  if path.stem != 'stacked_autoencoder':
    config.stages = config.stages[-1:]
  for stage in config.stages:
    stage['evals'] = {}
  state, metrics = train(config, tmp_path)
  assert int(state.step) == stages.plan(config)[-1].end
  assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))
  assert metrics


def test_bfloat16_computes_and_keeps_float32_parameters(tmp_path):
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  config.evals = {'elbo': {'name': 'likelihood.ELBO'}}
  _, exact = train(config, tmp_path / 'float32')
  for part in ('encoder', 'decoder'):
    config_lib.override(config, f'objective.{part}.dtype', 'bfloat16')
  state, metrics = train(config, tmp_path / 'bfloat16')
  assert metrics['elbo'] == pytest.approx(exact['elbo'], rel=0.02)
  assert metrics['elbo'] != exact['elbo']
  for leaf in jax.tree.leaves(state.players):
    assert leaf.dtype == np.float32


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_the_docstring_gives_the_command(path):
  assert f'--config=configs/{path.name}' in path.read_text()
