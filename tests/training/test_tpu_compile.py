"""What the compiler for TPUs makes of each config's step; no TPU is needed.

The table holds numbers of libtpu 0.0.42, which jax 0.10 pins; another version
may join other collectives.
"""

import pathlib
import re

import jax
import pytest
from jax.sharding import SingleDeviceSharding

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.models.layers import equalized
from gen_jax.runtime import hlo, tpu
from gen_jax.training import cost
from gen_jax.training.experiment import Experiment

ROOT = pathlib.Path(__file__).parents[2]
CHIPS = 'v5e:2x2'
pytestmark = [
  pytest.mark.tpu_compile,
  pytest.mark.slow('compiles for TPUs'),
  pytest.mark.skipif(
    not tpu.available(),
    reason="needs the compiler for TPUs: pip install -e '.[tpu-compile]'",
  ),
]
# All-reduces of the last stage's step, of the variant `test`, on four chips.
ALL_REDUCES = {
  'acgan': 5,
  'autoencoder': 1,
  'cgan': 5,
  'classifier': 1,
  'comparison': 2,
  'conditional_vae': 2,
  'cyclegan': 1,
  'dcgan': 5,
  'debiasing_vae': 4,
  'denoising_autoencoder': 1,
  'gan': 5,
  'image_text_scorer': 5,
  'infogan': 5,
  'iwae': 1,
  'pix2pix': 2,
  'sparse_autoencoder': 2,
  'stacked_autoencoder': 1,
  'stackgan': 12,
  'stylegan': 8,
  'vae': 2,
  'wgan': 6,
  'wgan_gp': 6,
}


def compiled(name, precision='float32'):
  """Returns the text of a config's compiled step."""
  config = config_lib.load(f'{ROOT}/configs/{name}.py:test')
  stage = stages.plan(config)[-1]
  stage.config.precision = precision
  topology = tpu.describe(CHIPS)
  chips = len(topology.devices)
  experiment = Experiment(stage)
  batch = -(-stage.config.batch_size // chips) * chips
  step = cost.compile_step(cost.with_batch(experiment, batch), topology.devices)
  return step.as_text(), step.cost_analysis()['bytes accessed']


def test_every_config_is_in_the_table():
  names = {p.stem for p in (ROOT / 'configs').glob('*.py')}
  assert ALL_REDUCES.keys() == names


@pytest.mark.parametrize('name', ALL_REDUCES)
def test_a_step_is_compiled_for_tpus_as_it_should_be(name):
  program, accessed = compiled(name)
  assert 'gen_jax' not in ' '.join(re.findall('custom_call_target=.*', program))
  assert not re.search(r'\bf64\[', program)
  assert not re.search(r'callback|infeed|outfeed|is_host_transfer', program)
  assert 0 < hlo.memory_traffic(program) <= accessed
  found = hlo.collectives(program)
  assert found.get('all-reduce', (0, 0))[0] == ALL_REDUCES[name]


@pytest.mark.parametrize('power,moved', [(26, 2**28 + 4), (10, 2**12 + 4)])
def test_the_traffic_of_a_sum_is_its_operand_and_its_result(power, moved):
  device = tpu.describe(CHIPS).devices[0]
  x = jax.ShapeDtypeStruct(
    (2**power,), 'float32', sharding=SingleDeviceSharding(device)
  )
  program = jax.jit(lambda x: jax.numpy.sum(x * x)).lower(x).compile()
  assert hlo.memory_traffic(program.as_text()) == moved


def test_blur_moves_half_the_bytes_in_bfloat16():
  device = tpu.describe(CHIPS).devices[0]

  def accessed(dtype):
    x = jax.ShapeDtypeStruct(
      (8, 64, 64, 32), dtype, sharding=SingleDeviceSharding(device)
    )
    program = jax.jit(lambda x: jax.vjp(equalized.blur, x)[1](x))
    return program.lower(x).compile().cost_analysis()['bytes accessed']

  assert accessed('bfloat16') < 0.6 * accessed('float32')


def test_a_bfloat16_config_convolves_in_bfloat16():
  program, _ = compiled('stylegan', 'bfloat16')
  dtypes = dict(
    re.findall(r'^\s*(?:ROOT )?(%[\w.-]+) = (\w+)\[', program, re.M)
  )
  found = re.findall(r' convolution\((%[\w.-]+), (%[\w.-]+)\)', program)
  assert found
  assert {dtypes[name] for pair in found for name in pair} == {'bf16'}
