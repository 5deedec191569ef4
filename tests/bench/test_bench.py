"""The benchmark: both sides do the same work, and it notices if not."""

import pathlib
import subprocess
import sys

import jax
import pytest

from gen_jax import config as config_lib

pytest.importorskip('torch', reason='the benchmark needs PyTorch: .[bench]')

from bench import (  # noqa: E402
  cyclegan,
  equivalence,
  gan,
  harness,
  peer,
  side_process,
  start,
  stylegan,
  vae,
)
from bench.__main__ import find_rows, main  # noqa: E402
from bench.side_process import SideProcess  # noqa: E402


def small(name):
  """A row's config with little to compute, in one batch for eight devices."""
  config = config_lib.load(str(harness.ROOT / f'configs/{name}'))
  config.batch_size = 8
  config.steps = 6
  config.data.train = 'train[:64]'
  return config


def dense():
  config = small('vae.py:dense')
  config.objective.encoder.hidden = (16,)
  config.objective.decoder.hidden = (24,)
  return config


def conv():
  return small('vae.py:test')


def dcgan():
  return small('dcgan.py:small')


def wgan_gp():
  config = small('wgan_gp.py:test')
  config.objective.gen.update(channels=(8, 12), kernel=5)
  config.objective.disc.update(channels=(4, 8), kernel=5)
  config.objective.update(disc_steps=4, augment=())
  return config


def cyclegan_pair():
  config = small('cyclegan.py:test')
  config.ema = {}
  config.objective.pool_size = 50  # not full in the steps that are compared
  return config


def style():
  config = small('stylegan.py:test')
  config.stages = ()
  config.objective.augment = ()
  config.objective.regularizers.r1.every = 1
  config.objective.gen.noise = True
  config.data.shape = config.objective.gen.shape = (8, 8, 3)
  return config


def check(config, twin, precision='float32'):
  config = config.copy_and_resolve_references()
  config.precision = precision
  perturb = issubclass(twin, stylegan.StyleGAN)
  ours = harness.Ours(config, *[stylegan.perturbed] * perturb)
  return equivalence.check(ours, peer.Theirs(twin, ours))


@pytest.mark.parametrize(
  ('config', 'twin', 'gradient_error'),
  [
    (dense(), vae.Dense, 1e-4),
    (conv(), vae.Conv, 1e-4),
    (dcgan(), gan.DCGAN, 1e-2),
    (wgan_gp(), gan.WGANGP, 1e-2),
    (cyclegan_pair(), cyclegan.CycleGAN, 1e-2),
    pytest.param(style(), stylegan.StyleGAN, 1e-2, marks=pytest.mark.long),
  ],
)
def test_both_sides_do_the_same_work(config, twin, gradient_error):
  same = check(config, twin)
  assert same['parameters'] > 1000
  assert same['gradient_error'] < gradient_error
  assert same['loss_error'] < 1e-5


@pytest.mark.parametrize(
  ('config', 'twin'),
  [
    (dense(), vae.Dense),
    (wgan_gp(), gan.WGANGP),
    pytest.param(conv(), vae.Conv, marks=pytest.mark.long),
    pytest.param(dcgan(), gan.DCGAN, marks=pytest.mark.long),
    pytest.param(cyclegan_pair(), cyclegan.CycleGAN, marks=pytest.mark.long),
    pytest.param(style(), stylegan.StyleGAN, marks=pytest.mark.long),
  ],
)
def test_both_sides_do_the_same_work_in_bfloat16(config, twin):
  same = check(config, twin, 'bfloat16')
  assert 1e-4 < same['gradient_error'] < 0.3  # that of rounding


class Unrotated(vae.Conv):
  """PyTorch's padding on upright images, the easy mistake."""

  def prepare(self, data):
    return {'image': super().prepare(data)['image'].flip(2, 3)}


class Doubled(vae.Dense):
  """An equal loss at first, with twice the gradient."""

  def loss(self, *args):
    loss = super().loss(*args)
    return 2 * loss - loss.detach()


class Wider(vae.Dense):
  """One unit more in the first layer."""

  def make(self):
    model = super().make()
    model['encoder'][0] = peer.torch.nn.Linear(784, 17)
    return model


class WithoutDropout(gan.DCGAN):
  """Without dropout."""

  def discriminate(self, x, masks=None):
    return super().discriminate(x, masks and iter([1.0] * 2))


class Unmixed(stylegan.StyleGAN):
  """Each image of one code."""

  def noise(self, update, key):
    noise = super().noise(update, key)
    return noise._replace(first=peer.torch.ones_like(noise.first))


class OneLine(gan.WGANGP):
  """One place for all lines between data and images."""

  def mix(self, key):
    return super().mix(key)[:1]


@pytest.mark.parametrize(
  ('config', 'twin', 'message'),
  [
    (dcgan(), WithoutDropout, 'of disc'),
    (wgan_gp(), OneLine, 'of disc'),
    (style(), Unmixed, 'of disc'),
    (conv(), Unrotated, 'loss of model'),
    (dense(), Doubled, 'gradient of model by model.encoder.0.weight'),
    (dense(), Wider, 'parameters of model'),
  ],
)
def test_another_network_is_noticed(config, twin, message):
  with pytest.raises(equivalence.DifferentWork, match=message):
    check(config, twin)


def test_another_learning_rate_is_noticed():
  ours = harness.Ours(dense())
  theirs = peer.Theirs(vae.Dense, ours)
  theirs._rates['model'] = [2 * rate for rate in theirs._rates['model']]
  with pytest.raises(equivalence.DifferentWork, match='at step 1'):
    equivalence.check(ours, theirs)


def test_rows_are_found_and_a_wrong_one_is_refused(capsys):
  assert {'vae_dense', 'vae_conv', 'dcgan', 'wgan_gp', 'stylegan'} <= {
    row.name for row in find_rows()
  }
  assert main(['--rows=vae_thick']) == 2
  assert 'vae_thick' in capsys.readouterr().err


@pytest.mark.parametrize('side', [side_process.OURS, side_process.THEIRS])
def test_a_side_runs_in_a_process_of_its_own(side):
  running = SideProcess(side, 'vae_dense')
  try:
    before = running.spent
    running.run(3)
    assert running.spent > before > 0
  finally:
    running.close()
  with pytest.raises((RuntimeError, OSError)):
    running.run(1)


def test_what_goes_wrong_in_that_process_is_reported():
  with pytest.raises(RuntimeError, match='StopIteration'):
    SideProcess(side_process.OURS, 'no-such-row')


def test_a_device_that_is_not_there_is_refused():
  if jax.default_backend() != 'cpu':
    pytest.skip('it is there')
  command = [sys.executable, '-m', 'bench', '--device=gpu']
  done = subprocess.run(
    command, cwd=harness.ROOT, capture_output=True, text=True
  )
  assert done.returncode == 2
  assert (
    "--device=gpu: JAX finds none; for a GPU: pip install -e '.[cuda]'"
    in done.stderr
  )


def test_first_step_is_seen_in_the_metrics(tmp_path: pathlib.Path):
  path = tmp_path / 'metrics.jsonl'
  assert not start._stepped(path)
  path.write_text('{"step": 0, "samples/image": "x.png"}\n')
  assert not start._stepped(path)
  with path.open('a') as file:
    file.write('{"step": 1, "model/loss": 3.0}\n')
  assert start._stepped(path)
