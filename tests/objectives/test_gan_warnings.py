"""Failures of adversarial training, and the warnings about them."""

import types

import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax.models import dense
from gen_jax.objectives.gan import GAN
from gen_jax.objectives.parts import adversarial
from gen_jax.storage.writer import read_metrics
from gen_jax.training.failure_warnings import Warnings
from gen_jax.training.loop import train

STAGE = types.SimpleNamespace(start=0, end=1000)


def small(variant='', **fields):
  """A small GAN without evaluators."""
  config = config_lib.load(f'configs/gan.py:{variant}')
  config.batch_size, config.steps, config.log_every = 64, 300, 15
  config.objective.gen.hidden = config.objective.disc.hidden = (32,)
  config.evals = {}
  for name, value in fields.items():
    config_lib.override(config, name.replace('__', '.'), str(value))
  return config


@pytest.fixture(autouse=True)
def root(monkeypatch, request, one_device):
  monkeypatch.chdir(request.config.rootpath)


def warned(path, name):
  lines = read_metrics(path / 'metrics.jsonl')
  return {x['step']: x[name] for x in lines if name in x}


# A generator that hardly moves loses against a discriminator of digits.
SLOW = dict(data__train='train[:500]', optim__gen__learning_rate=1e-7)
SLOW |= dict(optim__disc__learning_rate=0.01, batch_size=16)


def test_a_vanishing_gradient_of_the_minimax_loss_gives_a_warning(
  tmp_path, capsys
):
  train(small(objective__loss='minimax', **SLOW), tmp_path)
  found = warned(tmp_path, 'warning/vanishing_gradient')
  text = next(iter(found.values()))
  assert 'objective.loss' in text and 'optim.disc.learning_rate' in text
  assert f'warning: {text}' in capsys.readouterr().out


def test_a_discriminator_that_is_always_right_gives_few_warnings(tmp_path):
  _, metrics = train(small(**SLOW), tmp_path)
  steps = list(warned(tmp_path, 'warning/no_convergence'))
  assert 1 <= len(steps) <= 9
  assert min(np.diff([0, *steps])) >= 30
  assert 'warning/vanishing_gradient' not in metrics


def test_a_balanced_training_has_no_warning(tmp_path):
  _, metrics = train(small('ring', log_every=50), tmp_path)
  assert not [name for name in metrics if name.startswith('warning')]


def test_one_bad_log_is_no_warning():
  objective = GAN(
    gen=dense.Generator((1, 1, 2), (4,)), disc=dense.Discriminator((4,))
  )
  bad = {
    'disc/real_accuracy': 1.0,
    'disc/fake_accuracy': 1.0,
    'gen/grad_norm': 1e-4,
  }
  good = {**bad, 'disc/fake_accuracy': 0.6}
  warnings = Warnings(objective, STAGE)
  rows = [bad, bad, good] + [bad] * 12
  due = [
    step
    for step, metrics in zip(range(200, 950, 50), rows, strict=True)
    if warnings.due(step, metrics)
  ]
  assert due == [450, 550, 650, 750, 850]
  # A log in which the generator did not move says nothing of it.
  assert adversarial.warnings({'disc/real_accuracy': 1.0}) == {}
