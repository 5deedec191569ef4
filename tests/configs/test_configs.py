"""Every config trains its `:test` form."""

import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.distributed import mesh
from gen_jax.training.experiment import Experiment
from gen_jax.training.loop import train
from gen_jax.training.step import make_train_chunk

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted(p for p in (ROOT / 'configs').glob('*.py'))


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


# One that goes from stage to stage, and one of two players.
@pytest.mark.parametrize('name', ['stacked_autoencoder', 'gan'])
@pytest.mark.slow('compiles a run')
def test_the_test_form_trains_one_program_per_device(name, tmp_path):
  config = config_lib.load(f'{ROOT}/configs/{name}.py:test')
  config.parallel, config.evals = 'pmap', {}
  # Two stages are enough: the one that is unrolled, and the classifier's.
  config.stages = config.stages[-2:]
  for stage in config.stages:
    stage['evals'] = {}
  state, metrics = train(config, tmp_path)
  assert int(state.step) == stages.plan(config)[-1].end
  assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))
  assert metrics


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_one_program_per_device_keeps_the_form_of_the_state(path):
  # Nothing is compiled; what the steps compute is the objectives' test.
  config = config_lib.load(f'{path}:test')
  experiment = Experiment(stages.plan(config)[-1])
  size = experiment.config.batch_size
  form = mesh.make('pmap', size)
  experiment.check_batch(size, form.loss_batch_size(size))
  devices, length = jax.device_count(), 2

  def on_each(tree):
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct((devices, *x.shape), x.dtype), tree
    )

  state = on_each(experiment.abstract_state())
  inputs = {
    k: jax.ShapeDtypeStruct(
      (devices, length, size // devices, *x.shape[1:]), x.dtype
    )
    for k, x in experiment.abstract_batch().items()
  }
  program = form.compile(make_train_chunk(experiment.train_step(), length))
  new, metrics = jax.eval_shape(
    program._jitted, state, None, inputs, np.int32(length)
  )
  assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(
    lambda x: (x.shape, x.dtype), state
  )
  assert metrics
  assert {x.shape for x in metrics.values()} == {(devices, length)}


def test_bfloat16_computes_and_keeps_float32_parameters(tmp_path):
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  config.evals = {'elbo': {'name': 'likelihood.ELBO'}}
  _, exact = train(config, tmp_path / 'float32')
  config.precision = 'bfloat16'
  state, metrics = train(config, tmp_path / 'bfloat16')
  assert metrics['elbo'] == pytest.approx(exact['elbo'], rel=0.02)
  assert metrics['elbo'] != exact['elbo']
  for leaf in jax.tree.leaves(state.players):
    assert leaf.dtype == np.float32


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_the_docstring_gives_the_command(path):
  assert f'--config=configs/{path.name}' in path.read_text()
