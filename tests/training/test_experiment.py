"""Networks and data of an experiment: shapes and classes that have to agree."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.training.experiment import Experiment, resolve

ROOT = pathlib.Path(__file__).parents[2]
CLASSES = 3
NAMES = [
  'acgan', 'autoencoder', 'cgan', 'classifier', 'conditional_vae', 'dcgan',
  'debiasing_vae', 'denoising_autoencoder', 'gan', 'infogan', 'iwae',
  'sparse_autoencoder', 'stacked_autoencoder', 'vae', 'wgan', 'wgan_gp',
]  # fmt: skip


@pytest.fixture
def data(tmp_path):
  """Writes a labeled set of images of 12x12x3."""

  def write(classes=CLASSES, test_shape=(12, 12, 3)):
    fields = {}
    for split, shape in (('train', (12, 12, 3)), ('test', test_shape)):
      fields[f'{split}_image'] = np.zeros((classes, *shape), np.uint8)
      fields[f'{split}_label'] = np.arange(classes)
    np.savez(tmp_path / 'set.npz', **fields)
    return dict(name='npz', path=str(tmp_path / 'set.npz'))

  return write


def load(name, data, **fields):
  config = config_lib.load(f'{ROOT}/configs/{name}')
  config.batch_size = CLASSES
  config.data.update(train='train', test='test', labels_per_class=(), **data)
  for field, value in fields.items():
    parent, last = config_lib.find(config, field.replace('__', '.'), '')
    parent[last] = value
  return config


def experiments(config):
  return [Experiment(stage) for stage in stages.plan(config)]


@pytest.mark.parametrize(
  'name,field',
  [
    ('autoencoder.py:test', 'objective.decoder.shape'),
    ('sparse_autoencoder.py:test', 'objective.decoder.shape'),
    ('denoising_autoencoder.py:test', 'objective.decoder.shape'),
    ('vae.py:test', 'objective.decoder.shape'),
    ('iwae.py:test', 'objective.decoder.shape'),
    ('gan.py:test', 'objective.gen.shape'),
    ('wgan_gp.py:test', 'objective.gen.shape'),
  ],
)
def test_networks_that_make_images_of_another_shape_are_refused(
  data, name, field
):
  config = load(name, data(), **{field.replace('.', '__'): (12, 12, 1)})
  with pytest.raises(InputError) as caught:
    Experiment(stages.plan(config)[0]).check()
  assert str(caught.value) == (
    f'config.{field}: the network makes images of (12, 12, 1), and the images '
    f'of the data are (12, 12, 3). Make {field} and data.shape agree.'
  )


def test_splits_with_images_of_different_shapes_are_refused(data):
  config = load('autoencoder.py:test', data(test_shape=(12, 12, 1)))
  with pytest.raises(InputError, match="'train' have .*, and those of 'test'"):
    Experiment(stages.plan(config)[0]).check()


@pytest.mark.parametrize('known', [2, 10])
@pytest.mark.parametrize(
  'name, field',
  [
    ('cgan.py:test', 'objective__conditioning__classes'),
    ('conditional_vae.py:test', 'objective__classes'),
  ],
)
def test_networks_of_another_number_of_classes_are_refused(
  data, name, field, known
):
  config = load(name, data(), **{field: known})
  message = f'have {known} classes, and the data has 3 classes .0, 1, 2.'
  with pytest.raises(InputError, match=message):
    Experiment(stages.plan(config)[0]).check()


@pytest.mark.parametrize('name', NAMES)
def test_shapes_and_classes_of_networks_are_those_of_the_data(data, name):
  for run in experiments(load(f'{name}.py:test', data())):
    run.check()
    assert run.objective.classes in (0, CLASSES)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Color images of two classes."""
  path = tmp_path_factory.mktemp('images')
  for split in ('train', 'test'):
    for name in ('cat', 'dog'):
      (path / split / name).mkdir(parents=True)
      Image.new('RGB', (9, 8)).save(path / split / name / '1.png')
  return str(path)


@pytest.mark.parametrize('shape', [(28, 28, 1), (64, 64, 3)])
@pytest.mark.parametrize('name', NAMES)
def test_the_folder_variant_takes_a_path_and_a_shape(folder, name, shape):
  config = load(f'{name}.py:folder', {})
  config_lib.apply(
    config,
    [
      ('data.path', folder),
      ('data.shape', ','.join(map(str, shape))),
      ('data.range', '0,255'),
    ],
  )
  for run in experiments(config):
    run.check()
    assert run.train_source.fields['image'][0] == shape
    assert run.objective.classes in (0, 2)


def test_a_denoiser_of_patches_takes_their_shape(folder):
  config = load('denoising_autoencoder.py:photos', {})
  config.data.update(path=folder, shape=(8, 8, 3), num=4)
  run = experiments(config)[0]
  run.check()
  assert run.objective.decoder.shape == (8, 8, 3)


def test_channels_of_a_growing_network_are_those_of_the_data():
  config = config_lib.load(f'{ROOT}/configs/stylegan.py:test')
  config.data.shape = (16, 16, 1)
  shapes = [run.objective.gen.shape for run in experiments(config)]
  assert shapes == [(8, 8, 1), (16, 16, 1)]


def test_what_is_resolved_is_stored_and_stays_the_same(data):
  config = load('cgan.py:test', data())
  config.stages = ({'steps': 1, 'objective.gen.shape': (12, 12, None)},)
  resolved = resolve(config)
  assert resolved.objective.gen.shape == (12, 12, 3)
  assert resolved.objective.conditioning.classes == CLASSES
  assert resolved.stages[0]['objective.gen.shape'] == (12, 12, 3)
  assert not config_lib.difference(resolved, resolve(resolved))
  assert config.objective.gen.shape is None


def test_classes_without_training_examples_are_named(data):
  run = experiments(load('cgan.py:test', data()))[0]
  assert 'no examples' not in run.summary()
  config = load('cgan.py:test', data(), data__classes=(1,))
  assert (
    experiments(config)[0]
    .summary()
    .endswith('\nno examples of 2 classes (0, 2)')
  )


def test_classes_of_data_without_labels_have_to_be_given(tmp_path):
  image = np.zeros((2, 12, 12, 3), np.uint8)
  np.savez(tmp_path / 'set.npz', train_image=image, test_image=image)
  data = dict(name='npz', path=str(tmp_path / 'set.npz'))
  config = load('cgan.py:test', data)
  with pytest.raises(InputError) as caught:
    resolve(config)
  assert str(caught.value) == (
    'config.objective.conditioning.classes=None: it is taken from the data, '
    'and the data has no classes. Give a value, or other data.'
  )


@pytest.mark.parametrize(
  'fields, train, split',
  [
    ({}, 'train[:90%]', 'train[90%:]'),
    ({'data.train': 'train[:50%]'}, 'train[:50%]', None),
    ({'evals': {'elbo': {'name': 'likelihood.ELBO', 'split': 'test'}}},
     'train', 'test'),
    ({'checkpoint.best': ''}, 'train', None),
    ({'checkpoint.best': 'samples/x'}, 'train', None),
  ],
)  # fmt: skip
def test_the_best_checkpoint_is_chosen_on_a_held_out_tenth(
  fields, train, split
):
  config = config_lib.load(f'{ROOT}/configs/vae.py')
  config.checkpoint.best = 'elbo'
  for field, value in fields.items():
    group, last = config_lib.find(config, field, 'test')
    group[last] = value
  found = resolve(config)
  assert found.data.train == train
  assert found.evals.elbo.get('split') == split
  assert not config_lib.difference(resolve(found), found)
