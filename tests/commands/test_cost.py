"""The cost of a step, where it can be counted by hand."""

import pathlib

import pytest

from gen_jax import config as config_lib
from gen_jax.commands import cost as command
from gen_jax.config import stages
from gen_jax.runtime import tpu
from gen_jax.training import cost
from gen_jax.training.experiment import Experiment

ROOT = pathlib.Path(__file__).parents[2]
LAYERS = [(784, 400), (400, 40), (20, 400), (400, 784)]


def test_a_dense_network_costs_what_its_products_do(monkeypatch):
  monkeypatch.chdir(ROOT)
  config = config_lib.load('configs/vae.py:dense')
  experiment = Experiment(stages.plan(config)[0])
  spent, _ = cost.step_cost(experiment)
  weights = [a * b for a, b in LAYERS]
  assert spent.parameters == sum(weights) + sum(b for _, b in LAYERS)
  # Forwards, and backwards in weights and in inputs but those of the first.
  products = 3 * sum(weights) - weights[0]
  assert spent.flops == pytest.approx(2 * 128 * products, rel=0.05)
  assert cost.mean_flops(experiment) == pytest.approx(spent.flops, rel=0.01)
  arrays = 3 * 4 * spent.parameters  # with both moments of Adam
  assert arrays < spent.state < 1.1 * arrays
  assert spent.state < spent.peak < 4 * spent.state


def test_an_update_of_every_other_step_counts_by_half(monkeypatch):
  monkeypatch.chdir(ROOT)

  def flops(disc_steps):
    config = config_lib.load('configs/wgan_gp.py:ring')
    config.objective.gen.hidden = config.objective.disc.hidden = (8,)
    config.objective.disc_steps = disc_steps
    return cost.mean_flops(Experiment(stages.plan(config)[0]))

  one, two, four = map(flops, (1, 2, 4))
  assert two - four == pytest.approx((one - two) / 2, rel=1e-3)
  assert 0 < four < two < one


def test_a_stage_that_is_not_there_is_refused(refused):
  error = refused(command, '--config=configs/vae.py:dense', '--stage=2')
  assert '--stage=2' in error


@pytest.mark.parametrize(
  ('flags', 'said'),
  [
    (['--topology=v9:4x4'], 'Known: v4, v5e, v5p, v6e'),
    (['--topology=v5e:4'], 'expected 2 sizes'),
    (['--topology=v5e:32x32'], 'at most 256 chips'),
    (['--topology=v6e:4x4', '--slices=2'], 'Take v5e or v5p'),
    (['--topology=v5e:4x4', '--sweep_batch=8,x'], '--sweep_batch=8,x'),
    (['--sweep_batch=8'], 'need --topology'),
    (['--topology=v5e:4x4'], "pip install 'gen_jax[tpu-compile]'"),
  ],
)
def test_chips_that_cannot_be_compiled_for_are_refused(
  flags, said, refused, monkeypatch
):
  monkeypatch.setattr(tpu.importlib.util, 'find_spec', lambda name: None)
  error = refused(command, '--config=configs/vae.py:dense', *flags)
  assert said in error
