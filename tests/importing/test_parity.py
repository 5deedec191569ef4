"""Imported networks compute what those of the other programs compute.

  pip install -e '.[bench]'
  python -m pytest tests/importing/test_parity.py -s

prints the largest differences.
"""

import flax.linen as nn
import jax
import numpy as np
import pytest

from gen_jax.__main__ import main
from gen_jax.models import stylegan
from gen_jax.training import trained

torch = pytest.importorskip('torch', reason='compares with PyTorch: .[bench]')
import foreign  # noqa: E402
import torch_networks  # noqa: E402

TOLERANCE = 1e-4


@pytest.fixture
def save(tmp_path):
  """Saves an object as PyTorch does now, or as it did before 1.6."""

  def write(value, name='model.pth', old=False):
    path = tmp_path / name
    torch.save(value, path, _use_new_zipfile_serialization=not old)
    return path

  return write


def imported(tmp_path, kind, path, *flags):
  out = tmp_path / 'imported.safetensors'
  code = main(
    ['import', f'--from={path}', f'--as={kind}', f'--out={out}', *flags]
  )
  assert code == 0
  state, experiment = trained.open_trained(out)
  return state.players, experiment.objective


def compare(ours, theirs, what):
  """`theirs` [B, C, H, W] or [B, F]."""
  theirs = theirs.detach().numpy()
  if theirs.ndim == 4:
    theirs = theirs.transpose(0, 2, 3, 1)
  difference = np.abs(np.asarray(ours) - theirs).max()
  print(f'{what}: {difference:.1e}, values up to {np.abs(theirs).max():.2g}')
  assert theirs.std() > 0.05
  assert difference < TOLERANCE


def images(*shape):
  return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def tensors(arrays):
  return {name: torch.from_numpy(x) for name, x in arrays.items()}


def channels_first(x):
  return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize('blocks,dropout', [(6, False), (9, True)])
@pytest.mark.slow('compiles two generators')
def test_cyclegan(tmp_path, save, blocks, dropout):
  nets = [
    torch_networks.randomize(
      torch_networks.CycleGANGenerator(*io, 4, blocks, dropout), seed
    )
    for seed, io in enumerate([(3, 1), (1, 3)])
  ]
  # The old container is that of the published files.
  paths = [
    save(net.state_dict(), f'{k}.pth', old=k == 1) for k, net in enumerate(nets)
  ]
  players, objective = imported(
    tmp_path, 'cyclegan', paths[0], f'--from_b={paths[1]}'
  )
  fns = objective.predict_fns()
  for net, (a, b), depth in zip(nets, ('ab', 'ba'), (3, 1), strict=True):
    x = images(2, 16, 24, depth)
    ours = jax.jit(fns[f'translate_{a}{b}'])(players, {a: x})
    compare(ours, net(channels_first(x)), f'cyclegan {blocks} blocks, {a}{b}')


@pytest.mark.slow('compiles a network of 94 convolutions')
def test_fid_inception(tmp_path, save):
  net = torch_networks.randomize(torch_networks.Inception(classes=7))
  players, objective = imported(
    tmp_path, 'fid_inception', save(net.state_dict(), old=True)
  )
  features = jax.jit(objective.predict_fns()['features'])
  for size in (48, 320):  # enlarged, and made smaller
    x = (images(2, size, size, 3) + 1) / 2
    ours = features(players, {'image': x})
    compare(ours, net(channels_first(x)), f'fid_inception, {size} pixels')


# The last convolutions that enlarge are of the two kinds of these programs.
WIDTHS = {4: 8, 8: 8, 16: 8, 32: 8, 64: 4, 128: 2}


def sampled(players, objective, z):
  """Images of latents, and the noise of each layer, as PyTorch has it."""
  found = []

  def record(call, args, kwargs, context):
    if isinstance(context.module, stylegan.Layer):
      found.append(args[1])
    return call(*args, **kwargs)

  @jax.jit
  def compute(players, z):
    found.clear()
    w = objective.gen.apply(players['gen'], z, method='map_latents')
    with nn.intercept_methods(record):
      x = objective._synthesize(
        players, objective.gen.broadcast(w), jax.random.key(0), False
      )
    return x, tuple(found)

  x, noise = compute(players, z)
  return x, [channels_first(np.asarray(n)) for n in noise]


@pytest.mark.slow('compiles a generator of 128 pixels')
def test_stylegan_lernapparat(tmp_path, save):
  arrays = tensors(foreign.lernapparat(WIDTHS, w=16, depth=3))
  path = save(arrays, old=True)
  players, objective = imported(tmp_path, 'stylegan_lernapparat', path)
  z = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
  ours, noise = sampled(players, objective, z)
  theirs = torch_networks.run_lernapparat(arrays, torch.from_numpy(z), noise)
  compare(ours, theirs, 'stylegan_lernapparat')


@pytest.mark.parametrize('resolution', [32, 128])
def test_stylegan_rosinality(tmp_path, save, resolution):
  arrays = tensors(foreign.rosinality(WIDTHS, w=16, depth=3))
  groups = {'g_running': arrays, 'generator': {}, 'optimizer': {'lr': [0.1]}}
  flag = f'--resolution={resolution}'
  players, objective = imported(
    tmp_path, 'stylegan_rosinality', save(groups), flag
  )
  z = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
  ours, noise = sampled(players, objective, z)
  theirs = torch_networks.run_rosinality(
    arrays, torch.from_numpy(z), noise[::2], resolution
  )
  compare(ours, theirs, f'stylegan_rosinality, {resolution} pixels')
