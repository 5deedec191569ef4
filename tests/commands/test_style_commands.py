"""What one does with a trained StyleGAN, by its workdir alone."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.commands import evaluate, project, sample
from gen_jax.data.formats import pixels
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.training import projection
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
  'args,expected',
  [
    (['--image=a.png', '--out=near.xyz'], '--out=near.xyz'),
    (['--image=a.png', '--steps=0'], '--steps=0'),
    (['--image=a.png', '--workdir=nowhere'], 'nowhere'),
  ],
)
def test_projection_refuses(refused, args, expected):
  assert expected in refused(project, '--workdir=runs/none', *args)


def test_projected_images_are_mapped_as_the_training_data(tmp_path):
  shape, described = (
    (2, 2, 1),
    array_source('scans', 'train', {'image': np.zeros((1, 2, 2, 1), np.uint8)}),
  )
  file = tmp_path / 'a.png'
  Image.fromarray(np.full((2, 2), 4095, np.uint16)).save(file)
  with pytest.raises(InputError, match='a.png cannot .* convert it to 8 bits'):
    projection.read(file, shape, described)
  described.ranges['image'] = pixels.fixed((0, 4095))
  assert (projection.read(file, shape, described) == 255).all()


@pytest.mark.long
def test_a_workdir_is_sampled_projected_and_evaluated(
  tmp_path, monkeypatch, refused, capsys
):
  monkeypatch.chdir(ROOT)
  workdir = tmp_path / 'run'
  train(config_lib.load('configs/stylegan.py:test'), workdir)
  out = tmp_path / 'a.npz'
  args = [f'--workdir={workdir}', '--num=3', f'--out={out}']
  assert sample.main(args) == 0
  whole = np.load(out)['images']
  assert whole.shape == (3, 16, 16, 3)
  assert sample.main([*args, '--psi=0']) == 0
  assert np.any(np.load(out)['images'] != whole)
  assert sample.main([*args, '--psi=1', '--cutoff=2']) == 0
  np.testing.assert_array_equal(np.load(out)['images'], whole)
  picture = tmp_path / 'me.png'
  Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(picture)
  args = [f'--workdir={workdir}', f'--image={picture}', '--steps=3']
  assert project.main([*args, '--every_layer', f'--out={out}']) == 0
  assert np.load(out)['w_plus'].shape == (1, 6, 4)
  assert project.main([*args, f'--out={tmp_path}/near.jpg']) == 0
  assert project.main([*args, f'--out={tmp_path}/near/']) == 0
  with Image.open(tmp_path / 'near' / '000000.png') as pair:
    assert pair.size == (2 * 16, 16)
  assert 'cannot be read' in refused(
    project, *args[:1], '--image=setup.cfg', f'--out={out}'
  )
  figures = ['Truncation', 'Mixing', 'Noise', 'Walk']
  added = [f'--add=style_figures.{name}' for name in figures]
  added.append('--add=perceptual_path_length.PathLength')
  fields = [
    '--config.evals.path_length.num=100',
    '--config.evals.noise.draws=2',
  ]
  assert evaluate.main([args[0], *added, *fields]) == 0
  images = workdir / 'evaluate/images'
  files = {f'{f.parent.name}{f.suffix}' for f in images.glob('**/*.*')}
  assert {'truncation.png', 'coarse.png', 'noise.png', 'walk.gif'} <= files
  assert 'path_length/w_full' in capsys.readouterr().out
