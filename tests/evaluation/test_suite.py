"""Evaluators that cannot be computed are skipped, and failures are reported."""

import importlib
import pathlib
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as config_lib
from gen_jax import evaluation
from gen_jax.config import stages
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.distributed import process_group
from gen_jax.errors import EvaluationError
from gen_jax.evaluation.context import Minimum, Task
from gen_jax.evaluation.figures import directions, figures, latent_figures
from gen_jax.evaluation.metrics import (
  active_units,
  anomaly,
  classification,
  compression,
  conditional_accuracy,
  denoising,
  diversity,
  fidelity,
  infogan,
  likelihood,
  mixture,
  probe,
  reconstruction,
  translation,
)
from gen_jax.storage.writer import Writer
from gen_jax.training import tasks
from gen_jax.training.experiment import Experiment

ROOT = pathlib.Path(__file__).parents[2]
KEY = jax.random.key(0)


def suite(spec, **data):
  """The suite of a tiny run with chosen evaluators and data."""
  config = config_lib.load(f'{ROOT}/configs/vae.py:test')
  config.evals = spec
  config.data.update(data)
  return tasks.make_suite(Experiment(stages.plan(config)[0]))


class Model:
  """Does what any evaluator asks for, on images [H, W, 1] in [0, 1]."""

  pixels = 'unit'

  def __init__(self, shape):
    self.shape = shape

  def predict_fns(self):
    def encode(players, batch):  # [B, 3]
      return batch['image'].reshape(len(batch['image']), -1)[:, :3]

    def decode(players, latents):
      return jnp.zeros((len(latents), *self.shape)) + latents[:, :1, None, None]

    def sample(players, *, key, num, labels=None):
      return jax.random.uniform(key, (num, *self.shape))

    def bounds(players, batch, *, key):
      return {'elbo': -jnp.ones(len(batch['image']))}

    def log_weights(players, batch, *, key, num):
      return -jnp.ones((num, len(batch['image'])))

    def image(players, batch, *, key):
      return batch['image']

    def classify(players, batch):
      return jax.nn.one_hot(batch['label'], 2)

    def scores(players, batch, *, key):
      return {'error': batch['image'].mean((1, 2, 3))}

    return {
      'encode': encode,
      'decode': decode,
      'sample': sample,
      'elbo': bounds,
      'log_weights': log_weights,
      'reconstruct': image,
      'corrupt': image,
      'classify': classify,
      'anomaly_scores': scores,
      'translate_ab': lambda players, batch: batch['a'],
      'translate_ba': lambda players, batch: batch['b'],
    }


def task(shape=(8, 8, 1), **sizes):
  """A task whose splits have so many images, of two classes in turn."""
  sources = {}
  for split, size in sizes.items():
    rng = np.random.default_rng(len(split))
    image = rng.integers(0, 256, (size, *shape), np.uint8)
    arrays = {
      'image': image,
      'label': np.arange(size, dtype=np.int32) % 2,
      'a': image,
      'b': 255 - image,
    }
    sources[split] = array_source('toy', split, arrays, ('even', 'odd'))
  return Task(Model(shape), sources.__getitem__, Preprocess('unit'))


@pytest.mark.parametrize(
  'cls,fields,sizes',
  [
    (anomaly.Anomaly, dict(normal=(0,)), dict(test=2)),
    (classification.Error, {}, dict(test=1)),
    (compression.Compression, dict(bits=(4,)), dict(train=2, test=1)),
    (conditional_accuracy.Neighbors, dict(rows=2, columns=3), dict(train=3)),
    (denoising.Denoising, {}, dict(test=1)),
    (directions.Arithmetic, {}, dict(train=2, test=1)),
    (directions.Traversal, dict(index=2), dict(train=2, test=3)),
    (diversity.Diversity, {}, dict(test=2)),
    (infogan.Matching, {}, dict(test=1)),
    (fidelity.Fidelity, dict(features='random', num=8), dict(train=2, test=6)),
    (figures.Reconstructions, {}, dict(test=1)),
    (figures.Samples, dict(num=4), {}),
    (latent_figures.Interpolation, {}, dict(test=2)),
    (latent_figures.Scatter, {}, dict(test=2)),
    (active_units.ActiveUnits, {}, dict(test=2)),
    (likelihood.ELBO, {}, dict(test=1)),
    (likelihood.NLL, dict(samples=2, chunk=2), dict(test=2)),
    (mixture.Samples, dict(components=3), dict(train=3, test=1)),
    (probe.Probe, {}, dict(train=5, test=1)),
    (reconstruction.Error, {}, dict(train=2, test=1)),
    (translation.Errors, {}, dict(test=1)),
    (translation.Frechet, {}, dict(train=2, test=2)),
    (translation.Grid, {}, dict(test=1)),
    (translation.Pairs, {}, dict(test=1)),
  ],
)
@pytest.mark.filterwarnings('error:Mean of empty slice', 'error:invalid value')
def test_on_the_smallest_splits_that_it_states_every_number_is_finite(
  cls, fields, sizes
):
  evaluator = cls(task(**{'train': 1, **sizes}), **fields)
  stated = {m.split: m.examples for m in evaluator.minimum()}
  assert stated == sizes
  results = dict(evaluator.run({}, KEY))
  assert results
  for name, value in results.items():
    assert isinstance(value, str) or np.all(np.isfinite(value)), name


def test_every_evaluator_states_its_minimum():
  for module in pkgutil.walk_packages(
    evaluation.__path__, 'gen_jax.evaluation.'
  ):
    found = importlib.import_module(module.name)
    for name, cls in vars(found).items():
      if hasattr(cls, 'needs') and hasattr(cls, 'run'):
        assert hasattr(cls, 'minimum'), f'{module.name}.{name}'


def test_a_minimum_is_of_examples_and_of_classes():
  labeled = task(train=1).source('train')
  assert not Minimum('train').missing(labeled)
  assert Minimum('train', 2).missing(labeled) == (
    "2 examples of the split 'train', which has 1"
  )
  assert Minimum('train', classes=2).missing(labeled) == (
    "2 classes in the split 'train', which has 1"
  )
  images = array_source('toy', 'train', {'image': np.zeros((9, 8, 8, 1))})
  assert 'which has 0' in Minimum('train', classes=2).missing(images)
  assert not Minimum('train', classes=2).missing(task(train=2).source('train'))


def test_an_evaluator_with_too_few_examples_is_skipped_and_named():
  made = suite(
    {
      'nll': {'name': 'likelihood.NLL', 'every': 2},
      'elbo': {'name': 'likelihood.ELBO', 'every': 2},
      'probe': {'name': 'probe.Probe', 'every': 2},
    },
    test='test[:1]',
    classes=(3,),
  )
  assert made.skipped == {
    'nll': "evaluator nll is skipped: it needs 2 examples of the split 'test', "
    'which has 1',
    'probe': 'evaluator probe is skipped: it needs 2 classes in the split '
    "'train', which has 1",
  }
  assert list(made.due(2, last=False)) == ['elbo']
  assert list(made.due(3, last=True)) == ['elbo']


def failing(monkeypatch, error):
  def run(self, players, key):
    yield 'elbo', 1.0
    raise error

  monkeypatch.setattr(likelihood.ELBO, 'run', run)


@pytest.fixture
def writer(tmp_path):
  writer = Writer(tmp_path)
  yield writer
  writer.close()


ELBO = {'elbo': {'name': 'likelihood.ELBO'}}


def test_a_failure_is_one_line_and_a_traceback_in_a_file(
  monkeypatch, tmp_path, writer
):
  failing(monkeypatch, np.linalg.LinAlgError('did not\nconverge.'))
  with pytest.raises(EvaluationError) as caught:
    suite(ELBO).run('elbo', {}, 6, writer)
  file = tmp_path / 'failures' / 'elbo-6.txt'
  assert str(caught.value) == (
    f'evaluator elbo failed: LinAlgError: did not converge; see {file}'
  )
  assert 'in run' in file.read_text()
  # Nothing of it is recorded, so that it is tried again.
  assert not writer.recorded(6, 'elbo')
  assert (tmp_path / 'metrics.jsonl').read_text() == ''


def test_a_failure_on_one_process_is_a_failure_on_all(monkeypatch, writer):
  failing(monkeypatch, ValueError('here'))
  there = ['OSError: there', 'its traceback']
  monkeypatch.setattr(process_group, 'gather', lambda mine, wait: [None, there])
  with pytest.raises(EvaluationError, match='OSError: there'):
    suite(ELBO).run('elbo', {}, 6, writer)

  # The others may wait for this one within the evaluator.
  def late(mine, wait):
    raise TimeoutError(f'process 1 gave no answer within {wait:.0f} s')

  monkeypatch.setattr(process_group, 'gather', late)
  with pytest.raises(RuntimeError, match=r'ValueError: here.*process 1') as e:
    suite(ELBO).run('elbo', {}, 6, writer)
  assert not isinstance(e.value, EvaluationError)  # which would not end it


def test_other_evaluators_do_not_change_the_key_of_an_evaluator(
  monkeypatch, writer
):
  def run(self, players, key):
    yield 'elbo', float(jax.random.uniform(key))

  monkeypatch.setattr(likelihood.ELBO, 'run', run)
  alone = suite(ELBO).run('elbo', {}, 6, writer)
  more = {'another': {'name': 'likelihood.ELBO'}, **ELBO}
  assert suite(more).run('elbo', {}, 6, writer) == alone
  assert suite(more).run('another', {}, 6, writer) != alone
