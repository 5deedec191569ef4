"""All values of a config are compared with what their fields declare."""

import importlib
import json
import pathlib
import pkgutil

import jax
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax.config import stages, validation
from gen_jax.core import stream
from gen_jax.errors import InputError
from gen_jax.registry import fields
from gen_jax.training import trained
from gen_jax.training.experiment import Experiment

ROOT = pathlib.Path(__file__).parents[2]


def load(name, **fields):
  config = config_lib.load(f'{ROOT}/configs/{name}.py:test')
  for field, value in fields.items():
    group, last = config_lib.find(config, field.replace('__', '.'), 'test')
    with group.ignore_type():
      group[last] = value
  return config


def error(config):
  with pytest.raises(InputError) as caught:
    validation.check(config_lib.complete(config))
  text = str(caught.value)
  assert '\n' not in text
  return text


# The config, the field, a value that is refused, and what is said of it.
REFUSED = [
  ('vae', 'seed', -1, 'expected 0 or more'),
  ('vae', 'seed', 2**64, 'expected less than 18446744073709551616'),
  ('vae', 'batch_size', 10**20, 'expected at most 2147483647'),
  ('vae', 'steps', 3 * 10**9, 'expected at most'),
  ('vae', 'steps', True, 'expected a whole number'),
  ('vae', 'steps_per_dispatch', 0, 'expected 1 or more'),
  ('vae', 'log_every', 0, 'expected 1 or more'),
  ('vae', 'accumulate', 3, 'does not divide batch_size=8'),
  ('vae', 'parallel', 'pmpa', 'Did you mean "pmap"?'),
  ('vae', 'stages', 3, 'expected several values'),
  ('vae', 'stages', ({'steps': -1},), '[0].steps=-1: expected 1 or more'),
  ('vae', 'stages', ({'nosuch': 1},), "there is no field 'nosuch'"),
  ('vae', 'checkpoint.keep', 0, 'expected 1 or more'),
  ('vae', 'checkpoint.every', -1, 'expected 0 or more'),
  ('vae', 'checkpoint', {'every': 'x'}, 'expected a whole number'),
  ('vae', 'checkpoint.best_mode', 'mn', 'Did you mean "min"?'),
  ('vae', 'data', {'name': 'os'}, "no data set \"os\""),
  ('vae', 'data.resident', 'maybe', 'Known: auto, no, yes'),
  ('vae', 'data.labels_per_class', (-2,), '[0]=-2: expected 1 or more'),
  ('vae', 'objective', 3, 'expected a group of fields'),
  ('vae', 'objective.name', 'os.system', "no module 'os'"),
  ('vae', 'objective.beta', -1.0, 'expected 0 or more'),
  ('vae', 'objective.beta', float('nan'), 'expected a finite number'),
  ('vae', 'objective.samples', 0, 'expected 1 or more'),
  ('vae', 'objective.likelihood', 'bernouli', 'Did you mean "bernoulli"?'),
  ('vae', 'objective.encoder', 'x', 'expected a group of fields with a name'),
  ('vae', 'objective.encoder.dtype', 'float99', "expected 'float32', 'bfloat"),
  ('vae', 'objective.encoder.dtype', 'int32', "expected 'float32', 'bfloat16'"),
  ('vae', 'objective.encoder.features', -3, 'expected 1 or more'),
  ('vae', 'objective.encoder.channels', (4, 0), '[1]=0: expected 1 or more'),
  ('vae', 'objective.decoder.shape', (8, 8), 'expected (height, width, ch'),
  ('vae', 'optim', {'model': 3}, 'expected a group of fields'),
  ('vae', 'optim.model.name', 'adan', 'Did you mean "adam"?'),
  ('vae', 'optim.model.schedule', 'cosin', 'Did you mean "cosine"?'),
  ('vae', 'optim.model.learning_rate', -1.0, 'expected 0 or more'),
  ('vae', 'optim.model.b1', 2.0, 'expected less than 1'),
  ('vae', 'ema', {'model': 2}, 'expected less than 1'),
  ('vae', 'evals', {'a': 3}, 'expected a group of fields'),
  ('vae', 'evals', {'a/b': {'name': 'figures.Samples'}}, 'the name of an'),
  ('vae', 'evals.elbo.every', -3, 'expected 0 or more'),
  ('vae', 'evals.elbo.batch_size', 0, 'expected 1 or more'),
  ('autoencoder', 'objective.reconstruction', 'l2_', 'Did you mean "l2"?'),
  ('autoencoder', 'objective.latent_activation', 'rellu', '"relu"'),
  ('denoising_autoencoder', 'objective.corruption', 'mask', '"masking"'),
  ('debiasing_vae', 'objective.density', 'neighbours', '"neighbors"'),
  ('gan', 'objective.loss', 'wasserstain', 'Did you mean "wasserstein"?'),
  ('gan', 'objective.real_label', 1.7, 'expected at most 1'),
  ('gan', 'objective.latents.name', 'latents.Norml', 'mean "Normal"?'),
  ('gan', 'objective.latents.name', 'regularizers.R1', 'expected a Latents'),
  ('gan', 'objective.latents.size', 0, 'expected 1 or more'),
  ('gan', 'objective.latents', 3, 'expected a group of fields with a name'),
  ('gan', 'objective.gen.name', 'dense.Dense', "has no 'Dense'"),
  ('gan', 'objective.name', 'stackgan.mismatched', 'has no'),
  ('gan', 'objective.pack', 0, 'expected 1 or more'),
  ('gan', 'objective.disc_steps', 0, 'expected 1 or more'),
  ('gan', 'objective.regularizers', {'a': 3}, 'expected a group of fields'),
  ('gan', 'objective.regularizers', {'a': {'name': 'regularizers.R3'}},
   'Known: Dragan, Drift, GradientPenalty, R1, R2'),
  ('dcgan', 'objective.regularizers.r1.every', 0, 'expected 1 or more'),
  ('dcgan', 'objective.regularizers.r1', {'name': 'latents.Normal'},
   'expected a Regularizer'),
  ('dcgan', 'objective.regularizers.r1',
   {'name': 'regularizers.R1', 'wieght': 1.0}, 'Did you mean "weight"?'),
  ('cgan', 'objective.conditioning.classes', -1, 'expected 0 or more'),
  ('gan', 'objective.augment', ('cutuot',), 'Did you mean "cutout"?'),
  ('dcgan', 'objective.disc.normalize', 'spektral', '"spectral"'),
  ('wgan', 'objective.disc_steps', -1, 'expected 1 or more'),
  ('wgan', 'objective.clip_weights', -1.0, 'expected 0 or more'),
  ('stylegan', 'objective.style_mixing_prob', 1.5, 'expected at most 1'),
  ('cyclegan', 'objective.cycle_weight', -1.0, 'expected 0 or more'),
  ('cyclegan', 'objective.pool_size', -1, 'expected 0 or more'),
]  # fmt: skip


@pytest.mark.parametrize('name,field,value,reason', REFUSED)
def test_a_value_out_of_its_range_is_named(name, field, value, reason):
  text = error(load(name, **{field.replace('.', '__'): value}))
  assert field.partition('.')[0] in text
  assert reason in text


@pytest.mark.parametrize('target', [0.0, 1.0])
def test_a_sparse_target_of_0_or_1_is_refused(target):
  config = config_lib.load(f'{ROOT}/configs/sparse_autoencoder.py')
  config.objective.sparsity.target = target
  assert f'config.objective.sparsity.target={target}' in error(config)


def test_a_part_that_is_none_by_default_may_be_left_out():
  config = load('sparse_autoencoder', objective__sparsity=None)
  validation.check(config_lib.complete(config))
  assert Experiment(stages.plan(config)[0]).objective.sparsity is None


def test_a_group_that_lacks_a_field_is_named():
  config = load('vae')
  del config.objective.decoder
  assert error(config) == 'config.objective.decoder: vae.VAE needs it.'


def test_fields_that_follow_the_data_may_be_none():
  config = load('vae', objective__decoder__shape=None)
  validation.check(config_lib.complete(config))


def test_a_stage_names_itself():
  config = load('stacked_autoencoder')
  first = {**dict(config.stages[0]), 'objective.level': -1.0}
  config.stages = (first, *config.stages[1:])
  expected = 'config.stages[0].objective.level=-1.0: expected 0 or more.'
  assert error(config) == expected


def test_a_field_with_a_default_can_be_set_that_the_config_does_not_mention():
  config = load('vae')
  assert 'b1' not in config.optim.model
  pairs = [
    ('optim.model.b1', '0.5'),
    ('objective.encoder.kernel', '5'),
    ('evals.elbo.num', '7'),
  ]
  config_lib.apply(config, pairs)
  assert config.optim.model.b1 == 0.5
  assert config.objective.encoder.kernel == 5
  assert config.evals.elbo.num == 7
  with pytest.raises(InputError, match='Did you mean "b1"'):
    config_lib.apply(config, [('optim.model.b_1', '0.5')])


@pytest.mark.parametrize('value', ['"x"', '[]', '{}', 'null', '1e308', '-1'])
def test_a_config_of_a_workdir_is_checked_as_well(tmp_path, value):
  config = json.loads(config_lib.to_json(load('vae')))
  config['steps'] = json.loads(value)
  file = tmp_path / 'config.json'
  file.write_text(json.dumps(config))
  with pytest.raises(InputError) as caught:
    trained.read_config(tmp_path)
  assert str(caught.value).startswith(f'{file}: config.steps=')


def test_the_places_are_the_fields_that_data_sets_declare_as_such():
  package = importlib.import_module('gen_jax.data.datasets')
  places = set()
  for module in pkgutil.iter_modules(package.__path__):
    load = getattr(
      importlib.import_module(f'gen_jax.data.datasets.{module.name}'),
      'load',
      None,
    )
    for name, field in fields.declared(load).items() if load else ():
      if field.type in (fields.Place, fields.Place | None):
        places.add(name)
  assert places == set(config_lib.PLACES)


def test_seeds_that_differ_give_different_keys():
  seeds = [0, 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]
  keys = [jax.random.key_data(stream(seed, 'init')) for seed in seeds]
  assert len(np.unique(keys, axis=0)) == len(seeds)
