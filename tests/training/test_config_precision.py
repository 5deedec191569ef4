"""`config.precision`: networks compute in bfloat16, all else in float32."""

import collections
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxprs import equations

from gen_jax import config as config_lib
from gen_jax.__main__ import main
from gen_jax.config import stages
from gen_jax.models.layers import platforms
from gen_jax.runtime import processor
from gen_jax.training.experiment import Experiment
from gen_jax.training.loop import train
from gen_jax.training.trained import last_metrics

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted(p.stem for p in (ROOT / 'configs').glob('*.py'))
# The products in float32 that are neither of networks nor sums, for which the
# highest precision is demanded: deformations of images, and the similarities of
# images and captions.
OTHERS = {'classifier': 4, 'image_text_scorer': 4 + 3, 'infogan': 22}


def products(jaxpr):
  """Counts the products of a program by the type of their operands."""
  found = collections.Counter()
  for eqn in equations(jaxpr):
    if eqn.primitive.name in ('dot_general', 'conv_general_dilated'):
      precision = eqn.params['precision']
      if precision is None or jax.lax.Precision.HIGHEST not in precision:
        dtypes = sorted({x.aval.dtype.name for x in eqn.invars})
        found[' and '.join(dtypes)] += 1
  return found


@pytest.mark.parametrize('name', CONFIGS)
def test_all_products_of_the_networks_are_in_bfloat16(name):
  config = config_lib.load(f'{ROOT}/configs/{name}.py:test')
  config.precision = 'bfloat16'
  experiment = Experiment(stages.plan(config)[-1])
  state, batch = experiment.abstract_state(), experiment.abstract_batch()
  with platforms.plain_only():
    jaxpr = jax.make_jaxpr(experiment.train_step())(state, batch)
  found = products(jaxpr)
  assert found.pop('bfloat16') > 0
  assert dict(found) == ({'float32': OTHERS[name]} if name in OTHERS else {})
  for leaf in jax.tree.leaves((state.players, state.ema, state.opt)):
    assert leaf.dtype in (jnp.float32, jnp.int32, jnp.uint32)


def test_a_network_may_keep_its_own_type():
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  config.precision = 'bfloat16'
  config_lib.override(config, 'objective.decoder.dtype', 'float32')
  objective = Experiment(stages.plan(config)[0]).objective
  assert objective.encoder.dtype == 'bfloat16'
  assert objective.decoder.dtype == 'float32'


def test_a_run_is_evaluated_in_either_precision(tmp_path, capsys):
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  config.evals = {'elbo': {'name': 'likelihood.ELBO'}}
  config.precision = 'bfloat16'
  train(config, tmp_path / 'run')
  found = []
  for precision in ('bfloat16', 'float32'):
    out = tmp_path / precision
    flags = [f'--workdir={tmp_path}/run', f'--config.precision={precision}']
    assert main(['evaluate', *flags, f'--out={out}']) == 0
    found.append(last_metrics(out)['elbo'])
  half, exact = found
  assert half == last_metrics(tmp_path / 'run')['elbo']
  assert half != exact
  np.testing.assert_allclose(half, exact, rtol=0.02)
  assert main(['sample', *flags, f'--out={tmp_path}/x.png']) == 0
  assert main(['sample', flags[0], '--config.precision=float16']) == 2
  assert 'config.precision' in capsys.readouterr().err


@pytest.mark.parametrize(
  'flags, warned',
  [
    ('flags : fpu avx2 avx512_bf16', False),
    ('flags : fpu avx2', True),
    ('Features : fp asimd bf16', False),
    ('Features : fp asimd', True),
    ('no flags', False),
  ],
)
def test_a_slow_processor_is_named(flags, warned, tmp_path, monkeypatch):
  path = tmp_path / 'cpuinfo'
  path.write_text(f'processor : 0\n{flags}\n')
  monkeypatch.setattr(processor, '_CPUINFO', path)
  text = processor.precision_warning('bfloat16')
  assert ('no instructions' in text) == warned
  assert not processor.precision_warning('float32')
