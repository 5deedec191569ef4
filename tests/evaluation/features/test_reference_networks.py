"""The trained networks that measure generated images."""

import hashlib
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from drawn import drawn

from gen_jax import config as config_lib
from gen_jax.config import stages
from gen_jax.data.opening import open_split
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task, TrainedModel, stratified_rows
from gen_jax.evaluation.features import (
  extractors,
  image_text_scorer,
  reference_classifier,
  reference_network,
)
from gen_jax.evaluation.metrics.retrieval import cosine, top
from gen_jax.models.classifier import ConvClassifier
from gen_jax.objectives.classifier import Classifier
from gen_jax.training.experiment import resolve

CONFIGS = {
  'mnist': 'configs/classifier.py',
  'fashion_mnist': 'configs/classifier.py:fashion_mnist',
  'emoji_captions': 'configs/image_text_scorer.py',
}


def task(data, shape=(28, 28, 1), classes=10, open_trained=None):
  """A task whose data are of a name and have no images of use."""
  arrays = {'image': np.zeros((2, *shape), np.uint8)}
  names = tuple(str(i) for i in range(classes))
  source = array_source('toy', 'train', arrays, names)
  more = {'open_trained': open_trained} if open_trained else {}
  return Task(None, lambda split: source, Preprocess('unit'), data, **more)


@pytest.mark.parametrize('name', CONFIGS)
def test_the_description_has_the_config_that_trains_the_network(name):
  about = json.loads((reference_network._FOLDER / f'{name}.json').read_text())
  assert about['command'].endswith(CONFIGS[name])
  config = config_lib.load(CONFIGS[name])
  if name != 'fashion_mnist':  # which has to be prepared
    config = resolve(config)
  expected = json.loads(config_lib.to_json(config_lib.complete(config)))
  stored = about['config']
  for group in ('data', 'objective'):
    for field, value in stored[group].items():
      wanted = expected[group].get(field)
      assert wanted in (value, None) or field == 'network', (group, field)
  for field in ('seed', 'steps', 'batch_size', 'optim', 'ema'):
    assert stored[field] == expected[field]
  stages.plan(config)


@pytest.mark.slow('classifies 2,000 images')
def test_the_accuracy_of_the_mnist_classifier_is_reproduced():
  classifier = reference_classifier.packaged('mnist')
  test = open_split('mnist', 'test')
  raw = test.__getitems__(stratified_rows(len(test), 2000))
  logits, features = classifier.extract(raw['image'].astype(np.float32) / 255)
  assert features.shape == (2000, 128)
  accuracy = np.mean(np.argmax(logits, axis=-1) == raw['label'])
  assert classifier.accuracy == 0.9947
  assert accuracy == pytest.approx(classifier.accuracy, abs=0.004)


@pytest.mark.slow('embeds 221 images')
def test_the_accuracy_of_the_emoji_scorer_is_reproduced():
  network = reference_network.packaged('emoji_captions')
  scorer = image_text_scorer.ImageTextScorer(network)
  test = open_split('emoji', 'test', words=24)
  raw = test.__getitems__(np.arange(len(test)))
  images = scorer.encode_images(raw['image'].astype(np.float32) / 255)
  captions = scorer.encode_captions(raw['text'])
  accuracy = top(cosine(images, captions)).mean()
  assert accuracy == pytest.approx(scorer.accuracy, abs=0.005)


def test_a_classifier_is_loaded_by_the_name_of_the_data():
  load = reference_classifier.load
  mnist = load(task({'name': 'mnist', 'binarize': 'static'}))
  for dataset in ('fashion_mnist', 'fashion_mnist:3.0.1'):
    clothes = load(task({'name': 'tfds', 'dataset': dataset}))
    assert clothes.accuracy == pytest.approx(0.921, abs=0.001)
    assert clothes.hash != mnist.hash
  for features in ('auto', 'classifier'):
    extractor = extractors.load(features, (28, 28, 1), task({'name': 'mnist'}))
    assert extractor.identity == f'classifier {mnist.hash}'


@pytest.mark.parametrize(
  'fields, match',
  [
    (dict(data={'name': 'folder'}), "'folder'. Train configs/classifier.py"),
    (dict(data={'name': 'mnist'}, classes=0), 'needs labels'),
    (dict(data={'name': 'mnist'}, classes=3), '10 classes, and the data has 3'),
    (dict(data={'name': 'mnist'}, shape=(32, 32, 1)), r'\(32, 32, 1\)'),
  ],
)
def test_other_data_need_a_classifier_of_their_own(fields, match):
  with pytest.raises(InputError, match=match) as caught:
    reference_classifier.load(task(**fields))
  assert '\n' not in str(caught.value)
  shape = fields.get('shape', (28, 28, 1))
  automatic = extractors.load('auto', shape, task(**fields))
  assert automatic.identity == extractors.load('random', shape).identity


def test_the_scorer_needs_words_and_its_own_style_of_emoji():
  with pytest.raises(InputError, match='data.words'):
    image_text_scorer.load(task({'name': 'emoji'}))
  arrays = {
    'image': np.zeros((2, 64, 64, 3), np.uint8),
    'text': np.zeros((2, 2, 4, 3), np.int32),
  }
  source = array_source('toy', 'train', arrays)
  for data in ({'name': 'captioned_folder'}, {'name': 'emoji', 'style': 'x'}):
    other = Task(None, lambda split: source, Preprocess('unit'), data)
    with pytest.raises(InputError, match='image_text_scorer.py'):
      image_text_scorer.load(other)


def test_a_file_with_other_content_is_refused_in_one_line(
  tmp_path, monkeypatch
):
  shutil.copytree(reference_network._FOLDER, tmp_path, dirs_exist_ok=True)
  monkeypatch.setattr(reference_network, '_FOLDER', tmp_path)
  file = tmp_path / 'mnist.safetensors'
  content = bytearray(file.read_bytes())
  content[-1] ^= 1
  file.write_bytes(content)
  load = reference_network.packaged.__wrapped__
  with pytest.raises(InputError, match='SHA-256 differs') as caught:
    load('mnist')
  assert '\n' not in str(caught.value)
  # A header that claims more than the file has.
  file.write_bytes(b'\xff' * 7 + b'\x7f')
  about = json.loads((tmp_path / 'mnist.json').read_text())
  about['sha256'] = hashlib.sha256(file.read_bytes()).hexdigest()
  (tmp_path / 'mnist.json').write_text(json.dumps(about))
  with pytest.raises(InputError, match='cannot be used'):
    load('mnist')
  file.unlink()
  with pytest.raises(InputError, match='cannot be used'):
    load('mnist')


def trained(metrics, objective=None):
  """What a workdir of 8x8 images of two classes holds."""
  objective = objective or Classifier(ConvClassifier(2, channels=(4,)))
  batch = {
    'image': np.zeros((2, 8, 8, 1), np.float32),
    'label': np.zeros(2, np.int32),
  }
  players = drawn(objective.init, jax.random.key(0), batch)
  return TrainedModel(objective, players, (8, 8, 1), ('a', 'b'), metrics)


def test_a_workdir_of_the_user_is_a_classifier():
  model = trained({'classification/accuracy': 0.75})
  own = task({'name': 'folder'}, (8, 8, 1), 2, lambda path: model)
  classifier = reference_classifier.load(own, 'runs/classifier')
  assert classifier.accuracy == 0.75
  assert len(classifier.hash) == 12
  logits, _ = classifier.extract(np.zeros((3, 8, 8, 1), np.float32))
  assert logits.shape == (3, 2)


def test_a_workdir_without_an_accuracy_is_refused():
  model = trained({})
  own = task({'name': 'folder'}, (8, 8, 1), 2, lambda path: model)
  with pytest.raises(InputError, match="no 'classification/accuracy'"):
    reference_classifier.load(own, 'runs/classifier')


def test_a_workdir_that_cannot_be_opened_is_named():
  def open_trained(path):
    raise InputError(f'workdir {path} does not exist.')

  own = task({'name': 'folder'}, (8, 8, 1), 2, open_trained)
  with pytest.raises(InputError, match="classifier='gone': workdir gone"):
    reference_classifier.load(own, 'gone')


def test_loading_a_network_imports_no_training():
  code = (
    'import sys; from gen_jax.evaluation.features import reference_classifier;'
    "reference_classifier.packaged('mnist');"
    "assert not [m for m in sys.modules if m.startswith('gen_jax.training')]"
  )
  subprocess.run([sys.executable, '-c', code], check=True, timeout=120)
