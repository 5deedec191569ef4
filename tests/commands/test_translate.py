"""The command that translates a user's own images."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax import main
from gen_jax.commands import translate
from gen_jax.evaluation import own_images

SIZES = {'a.png': (33, 18), 'in/b.jpg': (33, 18), 'c.jpg': (21, 40)}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A workdir of the smallest run, from gray to color."""
  path = tmp_path_factory.mktemp('trained') / 'w'
  args = [
    '--config=configs/cyclegan.py:test',
    '--config.steps=2',
    '--config.evals={}',
    '--config.data.a={"style": "noto", "shape": (32, 32, 1)}',
    '--config.objective.gen_ba.out=1',
    '--config.objective.identity_weight=0',
  ]
  assert main.main([*args, f'--workdir={path}']) == 0
  return path


@pytest.fixture
def pictures(tmp_path):
  """Pictures of odd sizes, one in a folder of its own, one on its side."""
  rng = np.random.default_rng(0)
  for name, (width, height) in SIZES.items():
    file = tmp_path / 'pictures' / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    exif = Image.Exif()
    if name == 'c.jpg':
      exif[0x0112] = 6
    Image.fromarray(pixels).save(file, exif=exif)
  return tmp_path / 'pictures'


def run(trained, source, out, *args):
  return translate.main(
    [f'--workdir={trained}', f'--input={source}', f'--out={out}', *args]
  )


@pytest.mark.slow('compiles four networks')
@pytest.mark.parametrize('direction,mode', [('ab', 'RGB'), ('ba', 'L')])
def test_images_keep_their_size_and_name(
  trained, pictures, tmp_path, capsys, direction, mode
):
  out = tmp_path / 'out' / 'deep'
  assert run(trained, pictures, out, f'--direction={direction}') == 0
  assert f'3 images, {direction}, of step 2' in capsys.readouterr().out
  sizes = {**SIZES, 'c.jpg': SIZES['c.jpg'][::-1]}
  for name, size in sizes.items():
    with Image.open((out / name).with_suffix('.png')) as image:
      assert image.size == size and image.mode == mode
  assert len(list(out.rglob('*.*'))) == 3


def test_an_image_does_not_depend_on_its_batch(trained, pictures, tmp_path):
  outs = []
  for name, source, size in (
    ('one', pictures / 'a.png', 1),
    ('all', pictures, 4),
  ):
    out = tmp_path / name
    assert run(trained, source, out, f'--batch_size={size}') == 0
    outs.append(np.asarray(Image.open(out / 'a.png'), int))
  assert np.abs(outs[0] - outs[1]).max() <= 1


def test_images_are_mapped_to_8_bits_as_the_training_data(
  refused, trained, tmp_path
):
  ramp = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
  inputs, out = tmp_path / 'in', tmp_path / 'out'
  inputs.mkdir()
  Image.fromarray(ramp).save(inputs / '8.png')
  Image.fromarray(ramp.astype(np.uint16) * 16).save(inputs / '16.png')
  args = f'--workdir={trained}', f'--input={inputs}', f'--out={out}'
  assert re.search(r'16\.png .*convert it to 8 bits', refused(translate, *args))
  # As if the run had been trained on scans of 12 bits.
  workdir = shutil.copytree(trained, tmp_path / 'w')
  (workdir / 'data.json').unlink()
  config = config_lib.from_json((workdir / 'config.json').read_text())
  for split in ('trainA', 'testA'):
    shutil.copytree(inputs, tmp_path / 'data' / split)
  config.data.a = dict(
    name='folder',
    path=str(tmp_path / 'data'),
    suffix='A',
    shape=(32, 32, 1),
    range=(0, 4080),
  )
  config.data.train = 'train'
  (workdir / 'config.json').write_text(config_lib.to_json(config))
  assert run(workdir, inputs, out) == 0
  made = [np.asarray(Image.open(out / f'{n}.png')) for n in (8, 16)]
  np.testing.assert_array_equal(*made)


@pytest.mark.parametrize(
  'files',
  [
    {
      'a.jpg': 'a.png',
      'in/a.bmp': 'in/a.png',
      'b': 'b.png',
      'v1.2': 'v1.2.png',
    },
    {'a.jpg': 'a.jpg.png', 'a.bmp': 'a.bmp.png', 'b.png': 'b.png'},
    {
      'a.jpg': 'a.jpg.png',
      'a.bmp': 'a.bmp.png',
      'a.jpg.png': 'a.jpg.png.png',
    },
    {'a': 'a.png', 'A.JPG': 'A.JPG.png'},
  ],
)
def test_no_two_images_are_written_to_one_file(tmp_path, files):
  names = own_images.file_names(tmp_path, [tmp_path / name for name in files])
  assert names == {tmp_path / k: v for k, v in files.items()}


def test_what_a_run_before_wrote_is_no_input(tmp_path):
  for name in ('a.jpg', 'out/a.png'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.new('L', (4, 4)).save(tmp_path / name)
  _, found, _ = own_images.find(tmp_path, {'--out': tmp_path / 'out'})
  assert found == [tmp_path / 'a.jpg']


def test_images_that_fail_do_not_stop_the_others(
  trained, pictures, tmp_path, capsys
):
  exif = Image.Exif()
  exif[0x0112] = 6
  # Of one size with c.jpg, which lies on its side too.
  Image.new('RGB', SIZES['c.jpg']).save(pictures / 'd.tif', exif=exif)
  whole = (pictures / 'a.png').read_bytes()
  (pictures / '0.png').write_bytes(whole[: len(whole) // 2])
  (pictures / '1.png').write_text('an error page')
  (pictures / 'notes.txt').write_text('no image')
  Image.new('RGB', (1, 1)).save(pictures / '2.png')
  assert run(trained, pictures, tmp_path / 'out') == 2
  out, error = capsys.readouterr()
  assert '4 images, ab, of step 2' in out
  assert 'left out: not an image (1): notes.txt' in out
  assert '3 of 7 images were not translated' in error
  for name, why in (
    ('0.png', 'truncated'),
    ('1.png', 'not an image'),
    ('2.png', 'too small'),
  ):
    assert re.search(rf'{name} \(.*{why}', error), error
  with Image.open(tmp_path / 'out' / 'd.png') as image:
    assert image.size == SIZES['c.jpg'][::-1]


def test_what_is_refused(refused, trained, pictures, tmp_path):
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'file').write_text('')
  broken = tmp_path / 'broken'
  broken.mkdir()
  (broken / 'x.png').write_bytes((pictures / 'a.png').read_bytes()[:200])
  good = {'input': pictures, 'out': tmp_path / 'o', 'workdir': trained}
  for fields, expected in (
    (dict(direction='ac'), "--direction=ac: expected 'ab' or 'ba'"),
    (dict(batch_size=0), '--batch_size=0'),
    (dict(input=tmp_path / 'none'), '--input=.*no such folder'),
    (dict(input=tmp_path / 'empty'), 'has no images'),
    (dict(input=broken), r'1 of 1 images were not .*x\.png \(.*truncated'),
    (dict(out=pictures), 'another folder than --input'),
    (dict(out=tmp_path / 'file'), '--out=.*expected a folder'),
    (dict(workdir=tmp_path / 'none'), 'does not exist'),
    (dict(step=7), '--step=7: no such checkpoint'),
  ):
    args = [f'--{k}={v}' for k, v in {**good, **fields}.items()]
    error = refused(translate, *args)
    assert re.search(expected, error), error
