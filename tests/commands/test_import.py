"""Weights of other programs become files that are used like a workdir."""

import pathlib
import re

import foreign
import jax
import numpy as np
import pytest
import safetensors.numpy
import torch_container
from PIL import Image

import gen_jax
from gen_jax.__main__ import main
from gen_jax.storage import published
from gen_jax.training import trained

WIDTHS = {4: 4, 8: 4, 16: 2}


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
  """Imports arrays, and returns a model, or the line that refuses them."""
  monkeypatch.chdir(tmp_path)

  def call(kind, arrays, *flags, name='x.pth', fails=False):
    save = torch_container.save
    if name.endswith('.safetensors'):
      save = lambda path, x: safetensors.numpy.save_file(x, path)  # noqa: E731
    save(tmp_path / name, arrays)
    flags = [f'--from={name}', f'--as={kind}', '--out=out.safetensors', *flags]
    capsys.readouterr()
    code = main(['import', *flags])
    if not fails:
      assert code == 0
      return gen_jax.load('out.safetensors')
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not pathlib.Path('out.safetensors').exists()
    return line

  return call


def kernels(model, player='gen_ab'):
  return model._players[player]['params']


def test_a_generator_of_cyclegan_translates_images(run, tmp_path):
  arrays = foreign.cyclegan(blocks=2)
  model = run('cyclegan', arrays)
  assert model.capabilities == ('translate',)
  found = kernels(model)
  np.testing.assert_array_equal(
    found['Conv_1']['kernel'], arrays['model.4.weight'].transpose(2, 3, 1, 0)
  )
  np.testing.assert_array_equal(
    found['ConvTranspose_0']['kernel'],
    arrays['model.12.weight'][..., ::-1, ::-1].transpose(2, 3, 0, 1),
  )
  np.testing.assert_array_equal(
    found['_Block_1']['Conv_1']['bias'], arrays['model.11.conv_block.5.bias']
  )
  (tmp_path / 'in').mkdir()
  Image.new('RGB', (21, 18), 'red').save(tmp_path / 'in/a.jpg')
  flags = ['--workdir=out.safetensors', '--input=in', '--out=made']
  assert main(['translate', *flags]) == 0
  with Image.open(tmp_path / 'made/a.png') as image:
    assert image.size == (21, 18)
  assert main(['translate', *flags, '--direction=ba']) == 2


def test_both_generators_translate_in_both_directions(run, tmp_path):
  torch_container.save(tmp_path / 'b.pth', foreign.cyclegan(1, 3))
  model = run('cyclegan', foreign.cyclegan(3, 1), '--from_b=b.pth')
  gray = model.translate(np.zeros((1, 16, 16, 3), np.uint8))
  assert gray.shape == (1, 16, 16, 1)
  assert model.translate(gray, 'ba').shape == (1, 16, 16, 3)


def test_statistics_and_wrappers_of_older_programs_do_not_matter(run):
  arrays = foreign.cyclegan()
  model = run('cyclegan', arrays)
  more = {'model.2.running_mean': np.zeros(2, np.float32)}
  more['model.10.conv_block.2.running_var'] = np.ones(8, np.float32)
  wrapped = {f'module.{name}': x for name, x in (arrays | more).items()}
  again = run('cyclegan', wrapped)
  plain = run('cyclegan', arrays, name='y.safetensors')
  for other in (again, plain):
    jax.tree.map(np.testing.assert_array_equal, kernels(model), kernels(other))


@pytest.mark.parametrize(
  'change,message',
  [
    ({'model.4.bias': None}, r'1 missing \(model\.4\.bias\)\.'),
    ({'model.9.weight': (3,)}, r'1 unexpected \(model\.9\.weight\)\.'),
    ({'model.4.weight': (4, 2, 5, 5)}, r'model\.4\.weight has the shape '
     r'\[4, 2, 5, 5\], and the other arrays ask for \[4, 2, 3, 3\]'),
    ({'model.4.weight': (4,)}, r'model\.4\.weight has the shape \[4\]'),
    ({'model.1.weight': (0,)}, r'model\.1\.weight has the shape \[0\]'),
    ({'model.2.weight': (2,)}, 'batch normalization.*--norm=instance'),
    ({'model.1.weight': None}, r'missing \(model\.1\.weight\)'),
  ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_named(run, change, message):
  arrays = foreign.cyclegan()
  for name, shape in change.items():
    arrays.pop(name, None)
    if shape is not None:
      arrays[name] = np.zeros(shape, np.float32)
  line = run('cyclegan', arrays, fails=True)
  assert line.startswith('gen_jax: --from=x.pth')
  assert re.search(message, line), line


def test_generators_of_other_channels_do_not_fit_together(run, tmp_path):
  torch_container.save(tmp_path / 'b.pth', foreign.cyclegan(3, 3))
  line = run('cyclegan', foreign.cyclegan(3, 1), '--from_b=b.pth', fails=True)
  assert '--from_b: ' in line and '3 channels' in line


def test_another_kind_of_network_is_told_apart(run):
  line = run('stylegan_lernapparat', foreign.cyclegan(), fails=True)
  assert 'missing (g_synthesis.blocks.4x4.conv.bias)' in line
  line = run('fid_inception', foreign.cyclegan(), fails=True)
  assert 'missing (fc.bias)' in line
  line = run('cyclegam', foreign.cyclegan(), fails=True)
  assert '--as=cyclegam' in line and 'Did you mean "cyclegan"' in line


@pytest.mark.parametrize(
  'kind,make',
  [
    ('stylegan_lernapparat', foreign.lernapparat),
    ('stylegan_rosinality', foreign.rosinality),
  ],
)
def test_a_generator_of_stylegan_samples(run, kind, make, monkeypatch):
  model = run(kind, make({4: 4, 8: 4}, w=8, depth=2))
  assert model.shape == (8, 8, 3) and model.capabilities == ('sample',)
  flags = ['--workdir=out.safetensors', '--num=4']
  for psi in (0, 0.5):
    assert main(['sample', *flags, f'--psi={psi}', f'--out={psi}.npz']) == 0
  # At psi of 0 all w are their mean, and only the noise differs.
  spread = [
    np.load(f'{psi}.npz')['images'].std(axis=0).mean() for psi in (0, 0.5)
  ]
  assert spread[0] < spread[1]


def test_w_avg_is_the_mean_of_w(run):
  model = run('stylegan_rosinality', foreign.rosinality(WIDTHS, w=8, depth=2))
  objective, players = model._task.objective, model._players
  z = jax.random.normal(jax.random.key(7), (20_000, 8))
  w = objective.map_latents(players, z)[:, 0]
  np.testing.assert_allclose(
    objective.w_avg(players), w.mean(axis=0), atol=5 * float(w.std()) / 100
  )


def test_the_resolution_is_the_largest_that_was_trained(run):
  arrays = foreign.rosinality(WIDTHS, w=8, depth=2)
  arrays['generator.to_rgb.2.conv.bias'][:] = 0  # as it was initialized
  whole = {'generator': {}, 'g_running': arrays, 'd_optimizer': {'lr': 0.1}}
  assert run('stylegan_rosinality', whole).shape == (8, 8, 3)
  flag = '--resolution=16'
  assert run('stylegan_rosinality', whole, flag).shape == (16, 16, 3)
  pathlib.Path('out.safetensors').unlink()
  line = run('stylegan_rosinality', whole, '--resolution=32', fails=True)
  assert '--resolution=32: x.pth makes images of 8, 16 pixels' in line
  arrays['generator.progression.1.conv1.2.weight'][:] = 1
  line = run('stylegan_rosinality', whole, fails=True)
  assert 'conv1.2.weight is not the filter' in line


def test_a_generator_is_measured_with_any_images_of_its_size(run, tmp_path):
  run('stylegan_lernapparat', foreign.lernapparat({4: 4, 8: 4}, w=8, depth=1))
  rng = np.random.default_rng(0)
  for n in range(20):
    image = rng.integers(0, 256, (8, 8, 3), np.uint8)
    for split in ('train', 'test'):
      (tmp_path / 'images' / split).mkdir(parents=True, exist_ok=True)
      Image.fromarray(image).save(tmp_path / f'images/{split}/{n}.png')
  flags = ['--add=fidelity.Fidelity', '--config.data.path=images']
  flags += [
    f'--config.evals.fidelity.{x}' for x in ('features=random', 'num=20')
  ]
  assert main(['evaluate', '--workdir=out.safetensors', *flags]) == 0
  assert (tmp_path / 'runs/published/out/evaluate/metrics.jsonl').is_file()


def test_channels_that_do_not_halve_are_refused(run):
  arrays = foreign.lernapparat({4: 4, 8: 3, 16: 3}, w=8, depth=1)
  line = run('stylegan_lernapparat', arrays, fails=True)
  assert 'maps of [4, 3, 3] channels' in line


def test_an_imported_model_is_not_trained(run):
  model = run('cyclegan', foreign.cyclegan())
  assert not model._task.objective.updates()
  _, experiment = trained.open_trained('out.safetensors')
  with pytest.raises(gen_jax.errors.InputError, match='its training needs'):
    experiment.check()
  about = published.read(pathlib.Path('out.safetensors'))[1]
  assert about.command == 'gen_jax import --as=cyclegan' and about.step == 0


@pytest.mark.parametrize(
  'kind,flags,message',
  [
    ('fid_inception', ['--from_b=x.pth'], '--from_b=x.pth: fid_inception has'),
    ('cyclegan', ['--resolution=8'], '--resolution=8: cyclegan has no such'),
    ('cyclegan', ['--resolution=0'], '--resolution=0: expected 1 or more'),
    ('cyclegan', ['--from_b=no.pth'], '--from_b: no.pth cannot be read: No'),
    ('cyclegan', ['--out=x.txt'], '--out=x.txt: expected a name that ends'),
  ],
)
def test_flags_that_do_not_fit_are_refused(run, kind, flags, message):
  assert message in run(kind, foreign.cyclegan(), *flags, fails=True)
