"""What the compiler makes of a training step: guards of its speed.

A timed test fails on a busy machine; the program itself shows as well whether
something fell back into a slow form. The numbers are those of jax 0.10 and
0.12 on the CPU.
"""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.core import Aux, Update
from gen_jax.models.layers import conv_native
from gen_jax.training import cost
from gen_jax.training.experiment import Experiment
from gen_jax.training.step import init_state, make_train_chunk, make_train_step

ROOT = pathlib.Path(__file__).parents[2]
# NHWC images, HWIO kernels: what XLA:CPU hands to its fast convolution. Within
# a loop it does not bring others into this form by itself.
PLAIN = 'b01f_01io->b01f'


def convolutions(program):
  """The forms of the convolutions in a compiled program."""
  lines = re.findall(r' convolution\(.*', program.as_text())
  return [re.search(r'dim_labels=([\w>-]+)', line)[1] for line in lines]


def fusions(program):
  return len(re.findall(r' fusion\(', program.as_text()))


def looped(experiment):
  """The step, compiled as the body of a dispatch of many."""
  chunk = jax.jit(
    make_train_chunk(experiment.train_step(), 4), donate_argnums=0
  )
  state, batches = experiment.abstract_state(), experiment.abstract_batch(4)
  return chunk.lower(state, None, batches, np.int32(4)).compile()


@pytest.mark.parametrize(
  ('name', 'stage', 'most', 'others'),
  [
    ('vae.py', 0, 20, 0),
    ('dcgan.py:test', 0, 24, 0),
    ('wgan_gp.py:test', 0, 8, 0),
    # A discriminator's last layer, of one channel.
    ('cyclegan.py:test', 0, 90, 2),
    ('stylegan.py:test', 0, 52, 0),  # the stage with a penalty
  ],
)
@pytest.mark.slow('compiles each step twice')
def test_a_step_in_a_loop_is_the_step_alone_with_plain_convolutions(
  name, stage, most, others, monkeypatch
):
  monkeypatch.chdir(ROOT)
  config = config_lib.load(f'configs/{name}')
  if 'augment' in config.objective:
    config.objective.augment = ()  # of no convolutions
  if name == 'dcgan.py:test':  # a layer between the first and the last
    config.objective.gen.channels = (8, 4)
    config.objective.disc.channels = (4, 8)
  experiment = Experiment(stages.plan(config)[stage])
  _, alone = cost.step_cost(experiment)
  with conv_native.off():  # whose convolutions the text does not show
    loop = looped(experiment)
  forms = convolutions(loop)
  assert sum(form != PLAIN for form in forms) <= others
  assert len(forms) == len(convolutions(alone)) <= most
  assert fusions(loop) <= 1.1 * fusions(alone) + 10


def test_dispatches_of_any_number_of_steps_are_traced_once():
  traced = []

  class Square:
    pixels = 'unit'

    def updates(self):
      return (Update(('a',), self.loss),)

    def loss(self, players, batch, *, key, step):
      traced.append(step)
      return jnp.mean(players['a']['params'] * batch['x']), Aux({})

  optimizers = {'a': optax.sgd(0.1)}
  state = init_state({'a': {'params': jnp.ones(2)}}, optimizers, {})
  step = make_train_step(Square(), optimizers, key=jax.random.key(0))
  chunk = jax.jit(make_train_chunk(step, 8), donate_argnums=0)
  counts = []
  for count in (1, 8, 5):
    state, _ = chunk(state, None, {'x': np.ones((8, 4, 2))}, np.int32(count))
    counts.append(len(traced))
  assert int(state.step) == 14
  assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize('form', ['jit', 'fsdp'])
@pytest.mark.parametrize(
  'name',
  # Their generators get nothing but what is drawn at random; the next draw
  # captions or images from the data; IWAE has several latents of an image.
  ['dcgan', 'stylegan', 'stackgan', 'debiasing_vae', 'iwae'],
)
@pytest.mark.slow('compiles each step for one device and for eight')
def test_eight_devices_share_the_work_of_eight_times_the_batch(name, form):
  def flops(devices):
    config = config_lib.load(f'{ROOT}/configs/{name}.py:test')
    config.parallel = form
    experiment = Experiment(stages.plan(config)[-1])
    experiment = cost.with_batch(experiment, 8 * len(devices))
    return cost.compile_step(experiment, devices).cost_analysis()['flops']

  assert flops(jax.devices()) <= 1.1 * flops(jax.devices()[:1])
