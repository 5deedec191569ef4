"""The benchmark refuses to time two sides that do not do the same work."""

import pathlib
import subprocess
import sys

import pytest

torch = pytest.importorskip('torch', reason='PyTorch is an extra: .[bench]')

from bench import harness, peer, sameness, vae  # noqa: E402

ROOT = pathlib.Path(__file__).parents[1]
ROWS = {row.name: row for row in vae.rows()}


def small(row):
  """The row's own config, with few steps and narrow layers."""
  config = row.load()
  config.batch_size = 16
  config.data.train = 'train[:256]'
  if row.name == 'vae_conv':
    config.objective.encoder.channels = (4, 8)
    config.objective.decoder.update(channels=(8, 4), base=4)
  else:
    config.objective.encoder.hidden = (16,)
    config.objective.decoder.hidden = (16,)
  return config


@pytest.mark.parametrize('name', ROWS)
def test_the_twins_do_the_same_work(name):
  ours = harness.Ours(small(ROWS[name]))
  theirs = peer.Theirs(ROWS[name].twin, ours)
  result = sameness.check(ours, theirs)
  assert result['parameters'] > 1000
  assert result['gradient_error'] < 1e-4


class NotMirrored(vae.Conv):
  """Forgets that JAX pads on the other side."""

  def prepare(self, data):
    mirrored = super().prepare(data)
    return {'image': mirrored['image'].flip((2, 3))}


class NotDivided(vae.Dense):
  """Another loss: a sum over the batch."""

  def loss(self, *args):
    return super().loss(*args) * 1.01


@pytest.mark.parametrize(
  'name,twin', [('vae_conv', NotMirrored), ('vae_dense', NotDivided)]
)
def test_another_network_or_loss_is_found_out(name, twin):
  ours = harness.Ours(small(ROWS[name]))
  with pytest.raises(sameness.DifferentWork, match='loss of model'):
    sameness.check(ours, peer.Theirs(twin, ours))


def test_an_unknown_row_is_named():
  done = subprocess.run(
    [sys.executable, '-m', 'bench', '--rows', 'vae_dens'],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 2
  assert 'vae_dens' in done.stderr
