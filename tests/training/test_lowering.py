"""A training step is lowered for any platform, whatever the host is."""

import collections
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.models.layers import conv_native, platforms
from gen_jax.models.layers.conv import conv, conv_transpose
from gen_jax.training.experiment import Experiment

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted(
  p.stem for p in (ROOT / 'configs').glob('*.py')
)
OTHERS = ('cuda', 'rocm', 'tpu')
# The operations that the forms for the CPU are made of.
OPERATIONS = re.compile(
  r'stablehlo\.(convolution|dot_general|pad|concatenate|reverse)\b'
  r'|(gen_jax_conv)_\w'
)


def count(text):
  """Counts the operations of a lowered program that convolutions use."""
  return collections.Counter(a or b for a, b in OPERATIONS.findall(text))


@pytest.mark.parametrize('name', CONFIGS)
def test_only_the_cpu_gets_its_forms_of_convolutions(name):
  config = config_lib.load(f'{ROOT}/configs/{name}.py:test')
  experiment = Experiment(stages.plan(config)[-1])
  args = experiment.abstract_state(), experiment.abstract_batch()

  def trace():
    return jax.jit(experiment.train_step()).trace(*args)

  chosen = trace()
  with platforms.plain_only():
    plain = count(trace().lower(lowering_platforms=('tpu',)).as_text())
  for platform in OTHERS:
    lowered = chosen.lower(lowering_platforms=(platform,)).as_text()
    assert count(lowered) == plain
    assert not re.search(r'\bx?f64\b|callback', lowered)
  cpu = count(chosen.lower(lowering_platforms=('cpu',)).as_text())
  assert (cpu != plain) == ('convolution' in plain)


def penalty(w, x):
  """A loss that differentiates twice, through a net that goes down and up."""

  def score(x):
    down = jnp.tanh(conv(x, w, strides=2))
    return jnp.sum(jnp.tanh(conv_transpose(down, w.swapaxes(2, 3), strides=2)))

  return jnp.sum(jnp.square(jax.grad(score)(x)))


def test_an_exported_program_has_the_form_of_each_platform():
  key_w, key_x = jax.random.split(jax.random.key(0))
  w = jax.random.normal(key_w, (3, 3, 12, 10)) / 10
  x = jax.random.normal(key_x, (2, 6, 6, 12))
  step = jax.jit(jax.grad(penalty))
  checks = [
    jax.export.DisabledSafetyCheck.custom_call(f'gen_jax_conv_{name}')
    for name in 'FDW'
  ]
  exported = jax.export.export(
    step, platforms=('cpu', *OTHERS), disabled_checks=checks
  )(w, x)
  found = count(exported.mlir_module())
  cpu, tpu = (
    count(step.trace(w, x).lower(lowering_platforms=(name,)).as_text())
    for name in ('cpu', 'tpu')
  )
  assert found['gen_jax_conv'] == cpu['gen_jax_conv']
  assert (cpu['gen_jax_conv'] > 0) == conv_native.available()
  assert tpu['gen_jax_conv'] == 0
  assert found['convolution'] >= tpu['convolution'] > 0
  np.testing.assert_array_equal(exported.call(w, x), step(w, x))
  with platforms.plain_only():
    plain = jax.jit(jax.grad(penalty))(w, x)
  np.testing.assert_allclose(exported.call(w, x), plain, rtol=1e-4, atol=1e-5)
