"""The commands that give a user's own images to a trained model."""

import csv
import functools
import json
import pathlib
import re
import shutil
import struct
import zlib

import dense_vae
import jax
import numpy as np
import pytest
from drawn import drawn
from PIL import Image

import gen_jax
from gen_jax import config as config_lib
from gen_jax.__main__ import main
from gen_jax.config import stages
from gen_jax.data import record
from gen_jax.evaluation import own_images
from gen_jax.storage import compressed, published
from gen_jax.training.experiment import Experiment, resolve
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ['a.jpg', 'b.png', 'in/c.tif', 'in/d.gif', 'e.png']


def config_of(kind):
  """The config of a small model."""
  if kind == 'vae':
    return dense_vae.get_config()
  if kind != 'photos':
    return config_lib.load(f'{ROOT}/configs/{kind}.py:test')
  # Of emoji, which are in the package and have two dimensions more.
  config = config_lib.load(f'{ROOT}/configs/denoising_autoencoder.py:photos')
  config.data = config_lib.load(f'{ROOT}/configs/stylegan.py:test').data
  config.objective.encoder.channels = config.objective.decoder.channels = (3,)
  return config


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  """Returns the published file of a kind of model, whose players are drawn."""
  folder = tmp_path_factory.mktemp('models')

  @functools.cache
  def make(kind):
    config = config_of(kind)
    config.evals = {}
    experiment = Experiment(stages.plan(resolve(config))[-1])
    about = published.Description(
      step=6,
      stage=experiment.stage.index,
      config=config_lib.to_json(experiment.config),
      data=record.write([record.Record.of(experiment.train_source)]),
      metrics={},
    )
    players = drawn(experiment._jitted_init, jax.random.key(0))
    path = folder / f'{kind}.safetensors'
    published.write(path, players, about, 'float32')
    return path

  return make


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """Images of every mode and of odd sizes, two in a folder below."""
  root = tmp_path_factory.mktemp('pictures')
  rng = np.random.default_rng(0)
  (root / 'in').mkdir()
  for index, name in enumerate(NAMES):
    pixels = rng.integers(0, 256, (20 + 7 * index, 30, 4), np.uint8)
    image = Image.fromarray(pixels)
    mode = {'a.jpg': 'CMYK', 'in/c.tif': 'RGB', 'in/d.gif': 'P'}.get(name)
    exif = Image.Exif()
    if name == 'a.jpg':
      exif[0x0112] = 6
    if mode:
      image = image.convert('RGB').convert(mode)
    image.save(root / name, exif=exif)
  return root


@pytest.fixture
def run(model, pictures, tmp_path, capsys):
  """Runs a command; returns its exit code and what it prints."""

  def call(name, kind, *args, source=pictures, out='out'):
    given = [f'--workdir={model(kind)}', f'--input={source}']
    code = main([name, *given, f'--out={tmp_path}/{out}', *args])
    printed = capsys.readouterr()
    assert 'Traceback' not in printed.err
    return code, printed.out + printed.err

  return call


def read(folder, names=NAMES):
  """The pictures that belong to images, uint8 [N, H, W(, C)]."""
  paths = [(folder / name).with_suffix('.png') for name in names]
  return [np.asarray(Image.open(path)) for path in paths]


def table(path):
  with path.open(newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


def as_read(model, pictures, tmp_path):
  """The images as the data set `folder` reads them, [N, H, W, C]."""
  from gen_jax.data.formats import images

  shape = gen_jax.load(model).shape
  return np.stack([images.read_file(pictures / n, shape) for n in NAMES])


def test_reconstructions_are_those_of_the_model(run, model, pictures, tmp_path):
  code, text = run('reconstruct', 'autoencoder')
  assert code == 0 and '5 images reconstructed, step 6, PSNR' in text
  file = model('autoencoder')
  images = as_read(file, pictures, tmp_path)
  made = gen_jax.load(file).reconstruct(images)[..., 0]
  found = np.stack(read(tmp_path / 'out'))
  assert np.abs(found.astype(int) - made).max() <= 1
  assert len(list((tmp_path / 'out').rglob('*.png'))) == len(NAMES)


def test_a_reconstruction_with_random_latents_follows_the_seed(run, tmp_path):
  for out, seed in (('x', 1), ('y', 1), ('z', 2)):
    assert run('reconstruct', 'vae', f'--seed={seed}', out=out)[0] == 0
  x, y, z = (np.stack(read(tmp_path / k)) for k in 'xyz')
  assert np.array_equal(x, y) and not np.array_equal(x, z)


def test_an_image_does_not_depend_on_the_batch_size(run, tmp_path):
  for size in (1, 2, 64):
    args = f'--batch_size={size}'
    assert run('reconstruct', 'autoencoder', args, out=f'{size}')[0] == 0
  one, *others = (np.stack(read(tmp_path / k)) for k in ('1', '2', '64'))
  for other in others:
    assert np.abs(one.astype(int) - other).max() <= 1


def test_latents_go_to_a_file_and_back(run, model, pictures, tmp_path):
  code, text = run('encode', 'vae', out='x.npz')
  assert code == 0 and 'latents [5, 2], step 6' in text
  with np.load(tmp_path / 'x.npz', allow_pickle=False) as file:
    latents, names = file['latents'], file['names']
  assert latents.dtype == np.float32 and names.tolist() == sorted(NAMES)
  loaded = gen_jax.load(model('vae'))
  order = [NAMES.index(name) for name in names]
  images = as_read(model('vae'), pictures, tmp_path)[order]
  np.testing.assert_allclose(latents, loaded.encode(images), atol=1e-4)
  source = tmp_path / 'x.npz'
  assert run('decode', 'vae', source=source, out='out/')[0] == 0
  made = loaded.decode(latents)[..., 0]
  assert np.array_equal(np.stack(read(tmp_path / 'out', names)), made)
  for out in ('x.png', 'y.npz'):
    assert run('decode', 'vae', source=source, out=out)[0] == 0
  assert np.array_equal(np.load(tmp_path / 'y.npz')['images'][..., 0], made)


def test_latents_of_your_own_are_numbered(run, tmp_path):
  np.savez(tmp_path / 'x.npz', latents=np.zeros((3, 2)))
  code, _ = run('decode', 'vae', source=tmp_path / 'x.npz', out='out/')
  assert code == 0
  found = sorted(p.name for p in (tmp_path / 'out').iterdir())
  assert found == ['000000.png', '000001.png', '000002.png']


@pytest.mark.parametrize(
  'arrays,message',
  [
    (dict(other=np.zeros((3, 2))), 'no array `latents`'),
    (dict(latents=np.zeros(3)), r'float64 \[3\]; expected numbers \[N, Z\]'),
    (dict(latents=np.zeros((0, 2))), r'\[0, 2\]; expected'),
    (dict(latents=np.zeros((3, 7))), r'\[3, 7\], and this model takes \[N, 2'),
    (dict(latents=np.full((3, 2), np.nan)), 'not finite'),
    (dict(latents=np.array([[{}, {}]])), 'objects of Python'),
    (
      dict(latents=np.zeros((2, 2)), names=['a']),
      r'<U1 \[1\]; expected a text',
    ),
    (dict(latents=np.zeros((2, 2)), names=['a', 'a']), "'a' 2 times"),
    (dict(latents=np.zeros((2, 2)), names=['b/a', 'b//a']), "'b/a' 2 times"),
    (dict(latents=np.zeros((1, 2)), names=['\ud800']), 'is not that of a file'),
    (dict(latents=np.zeros((1, 2)), names=['../a']), "'../a' is not that of"),
    (dict(latents=np.zeros((1, 2)), names=['/tmp/a']), "'/tmp/a' is not that"),
  ],
)
def test_an_archive_that_cannot_be_decoded_is_refused(
  run, tmp_path, arrays, message
):
  np.savez(tmp_path / 'x.npz', **arrays)
  code, text = run('decode', 'vae', source=tmp_path / 'x.npz', out='out/')
  assert code == 2 and re.search(message, text), text
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('bits', [1, 5, 8, 12])
def test_more_bits_bring_the_decoded_image_closer(run, tmp_path, bits):
  code, text = run('compress', 'autoencoder', f'--bits={bits}', out='x.gjc')
  assert code == 0
  size = (tmp_path / 'x.gjc').stat().st_size
  assert f'{size} bytes, {size / 5:.1f} bytes per image' in text
  assert f'{8 * size / 5 / 28**2:.4f} bits per pixel' in text
  source = tmp_path / 'x.gjc'
  assert run('decompress', 'autoencoder', source=source, out='y/')[0] == 0
  run('reconstruct', 'autoencoder', out='z')
  made, exact = (np.stack(read(tmp_path / k)).astype(float) for k in 'yz')
  error = np.abs(made - exact).mean()
  assert error < {1: 60, 5: 5, 8: 1, 12: 0.1}[bits]


def test_every_coding_of_levels_is_exact(tmp_path):
  rng = np.random.default_rng(0)
  seen = set()
  for bits in (1, 3, 8, 9, 12):
    for count, most in ((2, 1), (3, 2**bits), (900, 2), (900, 2**bits)):
      header = compressed.Header(
        model='x',
        size=5,
        bits=bits,
        ranges=1,
        names=tuple(map(str, range(count))),
      )
      levels = rng.integers(0, most, (count, 5))
      edge = np.ones(1, np.float32)
      whole = compressed.Compressed(header, edge, edge, levels)
      (tmp_path / 'x').write_bytes(compressed.encode(whole))
      found, rest = compressed.read_header(tmp_path / 'x')
      seen.add(found.coding)
      back = compressed.decode(tmp_path / 'x', found, rest)
      assert np.array_equal(back.levels, levels)
  assert seen == {'bits', 'deflate', 'lzma'}


def test_compressed_images_belong_to_their_model(run, tmp_path):
  assert run('compress', 'autoencoder', out='x.gjc')[0] == 0
  code, text = run('decompress', 'vae', source=tmp_path / 'x.gjc', out='y/')
  assert code == 2 and 'compressed with the model' in text
  assert not (tmp_path / 'y').exists()


@pytest.mark.slow('trains a model')
def test_a_workdir_and_its_published_file_are_one_model(
  tmp_path, pictures, monkeypatch
):
  config = dense_vae.get_config()
  config.steps = 1
  train(config, tmp_path / 'w')
  workdir, file = f'--workdir={tmp_path}/w', tmp_path / 'x.safetensors'
  assert main(['publish', workdir, f'--out={file}']) == 0
  # The training data are not opened.
  monkeypatch.setattr(Experiment, '_open', None)
  flags = [f'--input={pictures}', f'--out={tmp_path}/x.gjc']
  assert main(['compress', workdir, *flags]) == 0
  flags = [f'--input={tmp_path}/x.gjc', f'--out={tmp_path}/y/']
  assert main(['decompress', f'--workdir={file}', *flags]) == 0


def test_damaged_compressed_files_are_refused_in_one_line(run, tmp_path):
  assert run('compress', 'autoencoder', out='good.gjc')[0] == 0
  good = (tmp_path / 'good.gjc').read_bytes()
  length = int.from_bytes(good[8:12], 'little')
  header = json.loads(zlib.decompress(good[12 : 12 + length]))

  def checked(content):
    return content + zlib.crc32(content).to_bytes(4, 'little')

  def changed(**fields):
    text = zlib.compress(json.dumps(header | fields).encode())
    size = len(text).to_bytes(4, 'little')
    return checked(good[:8] + size + text + good[12 + length : -4])

  for content, message in (
    (b'', 'did not write it'),
    (b'\x89PNG' + good, 'did not write it'),
    (good[:10], 'cannot be read'),
    (good[:40], 'cannot be read'),
    (good[:-1], 'cut off|cannot be read'),
    (checked(good[:8] + b'\xff' * 4 + good[12:-4]), 'cannot be read'),
    (good[:-9] + bytes([good[-9] ^ 1]) + good[-8:], 'damaged'),
    (changed(bits=0), 'bits'),
    (changed(coding='pickle'), 'coding'),
    (changed(names=['../../x', *'abcd']), "'../../x' is not that of a file"),
    (changed(names=['x' * 3000] * 5), 'times'),
    (changed(names=[]), 'no images'),
    (changed(size=10**9), 'compressed with the model'),
    (changed(ranges=2), 'ranges'),
    (changed(coding='deflate', names=list('abcdefgh')), 'cannot be read'),
  ):
    (tmp_path / 'x.gjc').write_bytes(content)
    code, text = run(
      'decompress', 'autoencoder', source=tmp_path / 'x.gjc', out='y/'
    )
    assert code == 2 and re.search(message, text), text
    assert len(text.splitlines()) == 1
  assert not (tmp_path / 'y').exists()


def test_scores_are_those_of_the_model(run, model, pictures, tmp_path):
  code, text = run('score', 'autoencoder', f'--maps={tmp_path}/m/', out='x.csv')
  assert code == 0
  rows = table(tmp_path / 'x.csv')
  assert [row['name'] for row in rows] == sorted(NAMES)
  file = model('autoencoder')
  images = as_read(file, pictures, tmp_path)
  scores = gen_jax.load(file).anomaly_scores(images)
  for row in rows:
    for name, values in scores.items():
      expected = values[NAMES.index(row['name'])]
      assert float(row[name]) == pytest.approx(expected, rel=1e-3)
  largest = max(rows, key=lambda row: float(row['error']))['name']
  assert text.splitlines()[1].endswith(largest)
  for picture in read(tmp_path / 'm'):
    assert picture.shape == (28, 3 * 28, 3)


def test_the_main_score_of_a_vae_comes_first(run, tmp_path):
  assert run('score', 'vae', '--draws=2', out='x.csv')[0] == 0
  first = (tmp_path / 'x.csv').read_text().splitlines()[0]
  assert first == 'name,negative_elbo,error,kl'


def test_a_map_is_dark_where_images_agree():
  from gen_jax.evaluation import restoration

  x = np.full((1, 2, 2, 1), 100, np.uint8)
  y = x.copy()
  y[0, 0, 0] = 250
  image, made, colors = np.split(restoration.error_maps(x, y)[0], 3, axis=1)
  assert (image == 100).all() and made[0, 0].tolist() == [250] * 3
  assert colors[0, 0].sum() > 600 and colors[1].max() < 5


def test_classes_are_named_with_their_probability(
  run, model, pictures, tmp_path
):
  code, text = run('classify', 'classifier', out='x.csv')
  assert code == 0 and 'classes of 5 images' in text
  loaded = gen_jax.load(model('classifier'))
  images = as_read(model('classifier'), pictures, tmp_path)
  logits = loaded.classify(images)
  for row in table(tmp_path / 'x.csv'):
    expected = logits[NAMES.index(row['name'])]
    assert row['class'] == loaded.classes[expected.argmax()]
    probability = np.exp(expected).max() / np.exp(expected).sum()
    assert float(row['probability']) == pytest.approx(probability, rel=1e-3)


def test_noise_is_removed_from_photos_of_any_size(run, tmp_path, pictures):
  source = tmp_path / 'photos'
  source.mkdir()
  for name in ('a.jpg', 'b.png'):
    shutil.copy(pictures / name, source / name)
  code, text = run('denoise', 'photos', '--corrupt', source=source)
  assert code == 0 and '(with the noise: 2' in text
  found = read(tmp_path / 'out', ['a.jpg', 'b.png'])
  # The first lies on its side.
  assert [x.shape[:2] for x in found] == [(30, 20), (27, 30)]


def test_few_large_photos_are_in_memory_at_a_time(
  run, tmp_path, pictures, monkeypatch
):
  source, sizes = tmp_path / 'photos', []
  source.mkdir()
  for index in range(3):
    shutil.copy(pictures / 'b.png', source / f'{index}.png')
  monkeypatch.setattr(own_images, '_PIXELS', 30 * 27 * 2)
  original = own_images.OwnImages._batch
  monkeypatch.setattr(
    own_images.OwnImages,
    '_batch',
    lambda self, *args: sizes.append(args[1]) or original(self, *args),
  )
  assert run('denoise', 'photos', source=source)[0] == 0
  assert sizes == [2, 2] and len(list((tmp_path / 'out').iterdir())) == 3


def test_a_network_of_one_size_gets_images_of_its_size(run, tmp_path):
  assert run('denoise', 'denoising_autoencoder')[0] == 0
  assert {x.shape for x in read(tmp_path / 'out')} == {(28, 28)}


def test_the_class_of_an_image_is_its_folder_or_one_for_all(
  run, pictures, tmp_path
):
  for label, name in ((3, 'a.jpg'), (7, 'b.png')):
    (tmp_path / f'in/{label}').mkdir(parents=True)
    shutil.copy(pictures / name, tmp_path / f'in/{label}')
  kind, source = 'conditional_vae', tmp_path / 'in'
  for args, out in (([], 'x'), (['--label=3'], 'y'), (['--label=7'], 'z')):
    assert run('encode', kind, *args, source=source, out=f'{out}.npz')[0] == 0
  x, y, z = (np.load(tmp_path / f'{k}.npz')['latents'] for k in 'xyz')
  np.testing.assert_allclose(x, [y[0], z[1]], atol=1e-5)
  assert np.abs(y - z).max() > 1e-3


@pytest.mark.parametrize(
  'command,kind,args,message',
  [
    ('encode', 'dcgan', [], "GAN cannot 'encode'.*--config=autoencoder"),
    ('classify', 'vae', [], "VAE cannot 'classify'.*--config=classifier"),
    (
      'denoise',
      'autoencoder',
      [],
      'not trained on corrupted images.*denoising',
    ),
    ('reconstruct', 'dcgan', [], "GAN cannot 'reconstruct'"),
    ('encode', 'conditional_vae', [], '5 of 5 are in no folder that names one'),
    ('encode', 'conditional_vae', ['--label=77'], '--label: .*77'),
    ('compress', 'conditional_vae', ['--label=1'], "cannot 'decode'"),
    ('encode', 'vae', ['--label=1'], '--label=1: this model is given no'),
    ('encode', 'vae', ['--range=5'], '--range=5: expected the values'),
    ('compress', 'vae', ['--bits=13'], '--bits=13'),
    (
      'score',
      'vae',
      [f'--maps={ROOT}/LICENSE'],
      '--maps=.*: expected a folder',
    ),
  ],
)
def test_what_a_model_cannot_do_is_refused_before_it_is_done(
  run, tmp_path, command, kind, args, message
):
  out = {'encode': 'x.npz', 'compress': 'x.gjc'}.get(command, 'x.csv')
  out = 'x' if command in ('denoise', 'reconstruct') else out
  code, text = run(command, kind, *args, out=out)
  assert code == 2 and re.search(message, text), text
  assert len(text.splitlines()) == 1 and not (tmp_path / out).exists()


@pytest.mark.parametrize(
  'command,out,done',
  [
    ('reconstruct', 'out', 'reconstructed'),
    ('encode', 'x.npz', 'encoded'),
    ('compress', 'x.gjc', 'compressed'),
    ('score', 'x.csv', 'scored'),
  ],
)
def test_files_that_fail_do_not_stop_the_others(
  run, pictures, tmp_path, command, out, done
):
  source = tmp_path / 'source'
  source.mkdir()
  whole = (pictures / 'b.png').read_bytes()
  (source / 'b.png').write_bytes(whole)
  (source / 'a.png').write_bytes(whole[:300])
  (source / 'notes.txt').write_text('no image')
  Image.fromarray(np.zeros((9, 9), np.uint16)).save(source / 'wide.png')
  code, text = run(command, 'autoencoder', source=source, out=out)
  assert code == 2 and f'2 of 3 images were not {done}: ' in text
  assert 'a.png (image file is truncated)' in text
  assert 'wide.png (its pixels are integers' in text
  assert 'left out: not an image (1): notes.txt' in text
  assert (tmp_path / out).exists()
  args = '--range=0,65535', '--batch_size=1'
  code, text = run(command, 'autoencoder', *args, source=source, out=out)
  assert code == 2 and '1 of 3' in text


def test_nothing_is_written_when_every_file_fails(run, tmp_path):
  (tmp_path / 'a.png').write_text('an error page')
  for command, out in (
    ('encode', 'x.npz'),
    ('compress', 'x.gjc'),
    ('score', 'x.csv'),
    ('reconstruct', 'x'),
  ):
    code, text = run(command, 'autoencoder', source=tmp_path / 'a.png', out=out)
    assert code == 2 and '1 of 1 images were not' in text
    assert not (tmp_path / out).exists()


def test_what_is_written_is_not_read(run, pictures, tmp_path):
  source = tmp_path / 'source'
  source.mkdir()
  shutil.copy(pictures / 'b.png', source)
  flags = [f'--maps={source}/maps']
  for _ in range(2):
    code, text = run('score', 'autoencoder', *flags, source=source, out='x.csv')
    assert code == 0 and 'scores of 1 images' in text
  flags = [f'--maps={source}']
  code, text = run('score', 'autoencoder', *flags, source=source, out='x.csv')
  assert code == 2 and f'--maps={source}: take another folder' in text


def test_results_may_go_around_the_images(run, pictures, tmp_path):
  source = tmp_path / 'out' / 'source'
  source.mkdir(parents=True)
  shutil.copy(pictures / 'b.png', source)
  (source / 'loop.png').symlink_to('loop.png')
  (source / 'sealed').mkdir()
  for _ in range(2):
    code, text = run('reconstruct', 'vae', source=source, out='out')
    assert code == 2 and '1 of 2 images' in text and 'loop.png' in text
  assert (tmp_path / 'out' / 'b.png').exists()


def test_colors_of_16_bits_are_refused_where_training_refuses_them(
  run, tmp_path
):
  png = tmp_path / 'dark.png'
  cells = np.full((28, 28, 3), 4000, '>u2')
  rows = b''.join(b'\0' + row.tobytes() for row in cells)
  chunks = (
    (b'IHDR', struct.pack('>IIBBBBB', 28, 28, 16, 2, 0, 0, 0)),
    (b'IDAT', zlib.compress(rows)),
    (b'IEND', b''),
  )
  png.write_bytes(
    b'\x89PNG\r\n\x1a\n'
    + b''.join(
      struct.pack('>I', len(x))
      + kind
      + x
      + struct.pack('>I', zlib.crc32(kind + x))
      for kind, x in chunks
    )
  )
  for flags in ([], ['--range=0,4095']):
    code, text = run('reconstruct', 'vae', *flags, source=png)
    assert code == 2 and '16-bit colors' in text
  assert run('reconstruct', 'vae', '--range=0,65535', source=png)[0] == 0


def test_no_name_is_not_this_folder(run, tmp_path):
  code, text = run('encode', 'vae', source='', out='x.npz')
  assert code == 2 and '--input=: there is no such folder' in text


def test_one_file_may_be_given(run, pictures, tmp_path):
  assert run('reconstruct', 'vae', source=pictures / 'a.jpg')[0] == 0
  assert [p.name for p in (tmp_path / 'out').iterdir()] == ['a.png']
