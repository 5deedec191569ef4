"""Trained models from Python: arrays in, arrays out."""

import functools
import pathlib

import jax
import numpy as np
import pytest
from drawn import drawn

import gen_jax
from gen_jax import api
from gen_jax import config as config_lib
from gen_jax.__main__ import main
from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.evaluation.metrics import mixture
from gen_jax.training import tasks
from gen_jax.training.experiment import Experiment
from gen_jax.training.loop import train

ROOT = pathlib.Path(__file__).parents[1]


@functools.cache
def model(config):
  loaded = config_lib.load(f'{ROOT}/configs/{config}.py:test')
  experiment = Experiment(stages.plan(loaded)[-1])
  players = drawn(experiment._jitted_init, jax.random.key(0))
  return api.Model(tasks.make_task(experiment), players, 6)


def noise(*shape):
  return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.slow('trains a model')
def test_a_loaded_model_samples_as_the_command_does(tmp_path, monkeypatch):
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  config.evals = {}
  train(config, tmp_path / 'run')
  flags = [f'--workdir={tmp_path}/run', '--num=5', '--seed=3']
  assert main(['sample', *flags, f'--out={tmp_path}/x.npz']) == 0
  # The data set is not opened.
  monkeypatch.setattr(Experiment, '_open', None)
  loaded = gen_jax.load(tmp_path / 'run')
  images = loaded.sample(num=5, seed=3)
  assert images.dtype == np.uint8 and loaded.step == 6
  np.testing.assert_array_equal(images, np.load(tmp_path / 'x.npz')['images'])


def test_a_model_names_its_methods_and_its_images():
  vae = model('vae')
  assert vae.capabilities == (
    'anomaly_scores', 'decode', 'encode', 'reconstruct', 'sample'
  )  # fmt: skip
  assert vae.shape == (28, 28, 1)
  assert 'VAE' in repr(vae) and 'reconstruct' in repr(vae)
  assert 'translate' in model('cyclegan').capabilities
  assert 'draw' in model('stackgan').capabilities


def test_images_go_in_and_out_as_uint8():
  vae, images = model('vae'), noise(3, 28, 28, 1)
  latents = vae.encode(images)
  assert latents.shape == (3, 2) and latents.dtype == np.float32
  for made in (vae.decode(latents), vae.reconstruct(images)):
    assert made.shape == (3, 28, 28, 1) and made.dtype == np.uint8
  scores = vae.anomaly_scores(images)
  assert all(x.shape == (3,) for x in scores.values())


def test_the_mixture_of_an_autoencoder_is_fitted_once(monkeypatch):
  fits = []

  def fit(*args):
    fits.append(args)
    decode = autoencoder._task.predict('decode')
    return lambda players, *, key, num: decode(
      players, jax.random.normal(key, (num, size))
    )

  monkeypatch.setattr(mixture, 'sampler', fit)
  autoencoder = model('autoencoder')
  size = autoencoder.encode(noise(1, 28, 28, 1)).shape[1]
  once, again = (autoencoder.sample(num=3, seed=1) for _ in range(2))
  assert len(fits) == 1 and once.shape == (3, 28, 28, 1)
  np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize(
  'call, match',
  [
    (lambda vae: vae.sample(0), 'num=0'),
    (lambda vae: vae.sample(2.5), 'num=2.5'),
    (lambda vae: vae.sample(2, seed=-1), 'seed=-1'),
    (lambda vae: vae.decode(np.zeros((0, 2))), r'expected \[N, 2\]'),
    (lambda vae: vae.decode([['a', 'b']]), 'expected numbers'),
    (lambda vae: vae.decode([[0.0, np.nan]]), 'not finite'),
  ],
)
def test_arguments_of_other_values_are_refused(call, match):
  with pytest.raises(InputError, match=match):
    call(model('vae'))


def test_a_class_is_chosen_by_name_or_number():
  cgan = model('cgan')
  np.testing.assert_array_equal(
    cgan.sample(num=2, label=3), cgan.sample(num=2, label='3')
  )
  assert np.any(cgan.sample(num=2, label=3) != cgan.sample(num=2, label=4))


def test_translations_take_images_of_any_size():
  made = model('cyclegan').translate(noise(2, 48, 32, 3), 'ba')
  assert made.shape == (2, 48, 32, 3) and made.dtype == np.uint8


def test_captions_are_drawn():
  made = model('stackgan').draw(['a red heart', 'a blue book'], num=2)
  assert made.shape[0] == 4 and made.dtype == np.uint8


@pytest.mark.parametrize(
  'config,call,message',
  [
    ('vae', lambda m: m.translate(noise(1, 8, 8, 1)), "cannot 'translate_ab'"),
    ('vae', lambda m: m.encode(noise(28, 28)), r'\[N, 28, 28, 1\], not uint8'),
    ('vae', lambda m: m.encode(np.zeros((1, 28, 28, 1))), 'not float64'),
    ('vae', lambda m: m.decode(np.zeros((1, 7))), r'\[N, 2\], not \[1, 7\]'),
    ('vae', lambda m: m.draw('a heart'), 'generates no images of captions'),
    ('dcgan', lambda m: m.sample(label=1), 'no classes'),
    ('stylegan', lambda m: m.sample(label='heart'), 'no classes'),
    ('cgan', lambda m: m.sample(label=77), '77'),
    ('cyclegan', lambda m: m.sample(), 'cannot be sampled'),
    (
      'conditional_vae',
      lambda m: m.encode(noise(1, 28, 28, 1)),
      'needs labels',
    ),
    (
      'conditional_vae',
      lambda m: m.encode(noise(1, 28, 28, 1), [10]),
      'from 0 to 9',
    ),
  ],
)
def test_what_a_model_cannot_do_is_refused(config, call, message):
  with pytest.raises(InputError, match=message):
    call(model(config))


def test_a_folder_without_a_model_is_refused(tmp_path):
  with pytest.raises(InputError, match='no config.json'):
    gen_jax.load(tmp_path)
