"""Evaluators read rows from all parts of a split, however it is ordered."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source, unpaired
from gen_jax.evaluation.context import Task, stratified_rows
from gen_jax.evaluation.figures import directions, figures, latent_figures
from gen_jax.evaluation.metrics import (
  active_units,
  anomaly,
  classification,
  compression,
  conditional,
  conditional_accuracy,
  debiasing,
  denoising,
  diversity,
  fidelity,
  infogan,
  likelihood,
  mixture,
  probe,
  reconstruction,
  retrieval,
  translation,
)

KEY = jax.random.key(0)
CLASSES = 10


def test_rows_of_sorted_data_have_every_class_equally_often():
  labels = np.repeat(np.arange(CLASSES), 1000)
  counts = np.bincount(labels[stratified_rows(10_000, 1000)])
  np.testing.assert_array_equal(counts, 100)
  counts = np.bincount(labels[stratified_rows(9_997, 697)])
  assert set(counts) <= {69, 70, 71}


def test_rows_of_alternating_data_have_every_class():
  labels = np.arange(10_000) % CLASSES
  counts = np.bincount(labels[stratified_rows(10_000, 1000)])
  assert counts.min() > 70
  assert counts.max() < 130


@pytest.mark.parametrize('num', [0, 7, 8])
def test_all_rows_are_read_in_their_order(num):
  np.testing.assert_array_equal(stratified_rows(7, num), np.arange(7))


def test_the_rows_are_fixed():
  assert stratified_rows(1000, 5).tolist() == [2, 251, 494, 618, 995]
  assert stratified_rows(0, 5).tolist() == []


class Model:
  """Can do everything, from the brightness of an image alone."""

  pixels = 'unit'

  def predict_fns(self):
    def light(players, batch, **_):
      return jnp.mean(batch['image'], axis=(1, 2, 3))

    def images(players, batch, *_, **__):
      return batch['image']

    def decode(players, latents):
      return jnp.tile(jax.nn.sigmoid(latents[:, :1, None, None]), (1, 8, 8, 1))

    def log_weights(players, batch, *, key, num):
      return jnp.tile(light(players, batch), (num, 1))

    def probabilities(players, batch):
      return jnp.full(len(batch['image']), 1 / len(batch['image']))

    def vectors(players, batch):
      return jnp.stack([light(players, batch), batch['label'] + 1.0], axis=1)

    return {
      'sample': lambda players, *, key, num: jax.random.uniform(
        key, (num, 8, 8, 1)
      ),
      'encode': vectors,
      'encode_text': vectors,
      'encode_image': vectors,
      'decode': decode,
      'reconstruct': images,
      'corrupt': images,
      'relabel': images,
      'classify': lambda players, batch: jax.nn.one_hot(batch['label'], 10),
      'anomaly_scores': lambda players, batch, *, key: {
        'error': light(players, batch)
      },
      'elbo': lambda players, batch, *, key: {'elbo': light(players, batch)},
      'log_weights': log_weights,
      'sampling_probabilities': probabilities,
      'translate_ab': lambda players, batch: batch['a'],
      'translate_ba': lambda players, batch: batch['b'],
    }


def recorded(source, labels):
  """Adds the labels that are read to a list."""

  def read(rows):
    out = source.read(rows)
    labels.extend(out['label'].tolist())
    return out

  return dataclasses.replace(source, read=read)


def by_class(each, field='image', seed=0):
  """Images sorted by class; the brightness says the class."""
  labels = np.repeat(np.arange(CLASSES), each).astype(np.int32)
  noise = np.random.default_rng(seed).integers(0, 16, (len(labels), 8, 8, 1))
  images = (noise + 24 * labels[:, None, None, None]).astype(np.uint8)
  arrays = {field: images, 'label': labels}
  return array_source('sorted', 'train', arrays, tuple('abcdefghij'))


@pytest.mark.parametrize(
  'evaluator, fields',
  [
    (anomaly.Anomaly, dict(num=20, normal=(0,))),
    (classification.Error, dict(num=20)),
    (compression.Compression, dict(train=20, num=20, bits=(2,))),
    (conditional.Relabeled, dict(rows=10)),
    (conditional_accuracy.Neighbors, dict(rows=2, columns=2, train=20)),
    (denoising.Denoising, dict(num=20, windows=(3,))),
    (directions.Arithmetic, dict(train=20, rows=20)),
    (directions.Traversal, dict(train=20)),
    (diversity.Diversity, dict(num=20)),
    (infogan.Matching, dict(train=20, num=20)),
    (fidelity.Fidelity, dict(num=20, features='random')),
    (figures.Reconstructions, dict(num=20)),
    (latent_figures.Interpolation, dict(rows=5)),
    (latent_figures.Scatter, dict(num=20)),
    (active_units.ActiveUnits, dict(num=20)),
    (likelihood.ELBO, dict(num=20)),
    (likelihood.NLL, dict(num=20, samples=1, chunk=1)),
    (mixture.Samples, dict(components=1, train=20, num=20, shown=4)),
    (probe.Probe, dict(num=20)),
    (reconstruction.Error, dict(num=20)),
    (retrieval.Reals, dict(num=20)),
  ],
)
def test_every_evaluator_reads_all_classes_of_sorted_data(evaluator, fields):
  seen = {'train': [], 'test': []}
  splits = {name: recorded(by_class(8), x) for name, x in seen.items()}
  task = Task(Model(), splits.__getitem__, Preprocess('unit'))
  for _ in evaluator(task, **fields).run({}, KEY):
    pass
  # A traversal is of one image, whose index the config gives.
  read = [labels for labels in seen.values() if len(labels) > 1]
  assert read
  for labels in read:
    assert set(labels) == set(range(CLASSES))


def test_batches_of_the_sampler_by_rarity_are_shuffled():
  read = []

  class Model_(Model):
    def predict_fns(self):
      def probabilities(players, batch):
        jax.debug.callback(lambda x: read.append(x), batch['label'])
        return jnp.full(20, 1 / 20)

      return {'sampling_probabilities': probabilities}

  source = by_class(8)
  task = Task(Model_(), lambda split: source, Preprocess('unit'))
  dict(debiasing.Shift(task, batch_size=20).run({}, KEY))
  jax.effects_barrier()
  assert len(read) == 4
  assert all(len(np.unique(labels)) > 5 for labels in read)


class Pixels:
  """Features that are the first pixels."""

  identity = 'pixels'

  def extract(self, images):
    return images.reshape(len(images), -1)[:, :2]


def test_the_floor_of_sorted_data_is_that_of_shuffled_data(monkeypatch):
  monkeypatch.setattr(fidelity.extractors, 'load', lambda *_: Pixels())
  source = by_class(50)
  order = np.random.default_rng(0).permutation(len(source))
  arrays = {k: x[order] for k, x in source.arrays.items()}
  shuffled = array_source('shuffled', 'train', arrays, source.classes)
  floors = []
  for one in (source, shuffled):
    task = Task(Model(), lambda split, one=one: one, Preprocess('unit'))
    evaluator = fidelity.Fidelity(task, num=100, features='random')
    floors.append(dict(evaluator.run({}, KEY))['frechet_train'])
  # The first 100 images are of two classes of ten: their distance is .38.
  assert max(floors) < 0.001


def test_domains_of_sorted_images_are_read_from_all_parts():
  def domains(each, seed):
    return unpaired({k: by_class(each, k, seed) for k in 'ab'})

  splits = {'train': domains(30, 0), 'test': domains(10, 1)}
  task = Task(Model(), splits.__getitem__, Preprocess('symmetric'))
  images = translation.domain(task, 'train', 'a', 10, KEY)
  assert np.all(np.diff(images.mean(axis=(1, 2, 3))) > 0.1)
  values = dict(translation.Frechet(task, num=100).run({}, KEY))
  assert values['frechet_train_b'] < 1
  # Images of one class are 0 apart, of two random ones 33 x 24 / 255.
  values = dict(translation.Errors(task, num=100).run({}, KEY))
  assert values['distance'] == pytest.approx(3.3 * 24 / 255, rel=0.2)
