"""Fidelity of samples, and the classifier that it is measured with."""

import pathlib
import threading
import time

import jax
import numpy as np
import pytest
from drawn import drawn
from PIL import Image

from gen_jax import config as config_lib
from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import ArraySource
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.features import reference_classifier
from gen_jax.evaluation.metrics.fidelity import Fidelity
from gen_jax.training import experiment

KEY = jax.random.key(0)


class Uniform:
  """Draws images of the same distribution as the data, or brighter ones."""

  pixels = 'symmetric'

  def __init__(self, shift=0.0):
    self.shift = shift

  def predict_fns(self):
    def sample(players, *, key, num):
      return jax.random.uniform(key, (num, 2, 3, 1)) + self.shift - 0.5

    return {'sample': sample}


class Pixels:
  """Eyes that see the pixels themselves."""

  hash, error = 'abc', 1.0

  def look(self, images):
    flat = images.reshape(len(images), -1)
    return flat[:, :3], flat


def task(shift, classes=('a', 'b', 'c'), count=600):
  """Data uniform in [64, 191], as samples in [-.5, .5] are on that scale."""
  rng = np.random.default_rng(0)
  image = rng.integers(64, 192, (count, 2, 3, 1), np.uint8)
  source = ArraySource('toy', 'train', {'image': image}, classes)
  return Task(Uniform(shift), lambda split: source, Preprocess('symmetric'))


def test_samples_of_the_same_distribution_are_at_the_floor(monkeypatch):
  monkeypatch.setattr(
    reference_classifier, 'load', lambda data, classes: Pixels()
  )
  same, brighter = (
    dict(Fidelity(task(shift), num=500).run({}, KEY)) for shift in (0.0, 0.4)
  )
  assert same['frechet'] < 0.002
  assert same['coverage'] > 0.9
  # Every one of 6 pixels is .2 brighter on the scale of [0, 1].
  assert brighter['frechet'] == pytest.approx(6 * 0.2**2, rel=0.1)
  assert brighter['kernel'] > 10 * abs(same['kernel'])
  assert brighter['coverage'] < 0.5
  assert same['classifier'] == 'abc'
  assert same['features_identity'] == 'classifier abc'
  assert same['real_images'] == 600


def test_data_without_labels_are_measured_by_other_features():
  same, brighter = (
    dict(Fidelity(task(s, (), 2000), num=300, features='random').run({}, KEY))
    for s in (0.0, 0.4)
  )
  assert same['frechet'] < 0.3 * brighter['frechet']
  assert same['frechet'] == pytest.approx(same['frechet_floor'], rel=1)
  assert same['features_identity'].startswith('random ')
  assert not {'classifier', 'inception_score'} & set(same)
  with pytest.raises(InputError, match="needs labels.*'random'"):
    Fidelity(task(0.0, ()))


def test_a_distance_of_few_images_carries_a_warning():
  few = dict(Fidelity(task(0.0, ()), num=64, features='random').run({}, KEY))
  assert '64 examples with 64 features' in few['warning']
  more = dict(Fidelity(task(0.0, ()), num=65, features='random').run({}, KEY))
  assert 'warning' not in more


def test_the_yardstick_is_trained_once_and_kept(monkeypatch, tmp_path, capsys):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  whole = reference_classifier.make_config

  def small(data, classes):
    config = whole(data, classes)
    config_lib.tiny(config)
    config.objective.network.update(channels=(4,), features=8)
    # A deformation takes longer to compile than all else.
    config.objective.update(noise='gaussian', amount=0.1)
    return config

  monkeypatch.setattr(reference_classifier, 'make_config', small)
  data = config_lib.default().data.to_dict()
  first = reference_classifier.load(data, 10)
  assert 'starts at step 0' in capsys.readouterr().out
  # Another process finds it, whatever the run that asks did to the images.
  reference_classifier._load.cache_clear()
  again = reference_classifier.load(
    {**data, 'binarize': 'static', 'flip': True}, 10
  )
  assert 'resumes at step 6' in capsys.readouterr().out
  assert again.hash == first.hash
  assert again.error == first.error
  logits, features = again.look(np.zeros((7, 28, 28, 1), np.float32))
  assert logits.shape == (7, 10)
  assert features.shape == (7, 8)
  np.testing.assert_allclose(logits, np.broadcast_to(logits[0], (7, 10)))


@pytest.fixture
def photos(tmp_path):
  """A folder of dark ants and bright bees, the config of its data."""
  path = tmp_path / 'photos'
  for split in ('train', 'test'):
    for name, value in (('ant', 10), ('bee', 200)):
      for i in range(4):
        file = path / split / name / f'{i}.png'
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', (8, 8), value + i).save(file)
  data = config_lib.default().data.to_dict()
  return {**data, 'name': 'folder', 'path': str(path), 'shape': (8, 8, 1)}


def swap(path, a, b):
  (path / a).rename(path / 'kept')
  (path / b).rename(path / a)
  (path / 'kept').rename(path / b)


def test_a_yardstick_of_other_data_is_another_one(photos, monkeypatch):
  asked = []

  def open_trained(text, name, kind):
    asked.append(name)
    latest = {'classification/error_percent': 0.0}
    return reference_classifier.Trained(name, latest, None, None)

  def load():
    experiment._open.cache_clear()  # as in another process
    return reference_classifier.load(photos, 2).hash

  monkeypatch.setattr(reference_classifier, 'open_trained', open_trained)
  first, path = load(), pathlib.Path(photos['path'])
  assert load() == first
  for split in ('train', 'test'):
    swap(path / split, 'ant', 'bee')
  second = load()
  assert second != first
  swap(path / 'test', 'ant', 'bee')  # on which its error is measured
  assert load() not in (first, second)
  for split in ('train', 'test'):
    swap(path / split, 'ant', 'bee')
  swap(path / 'test', 'ant', 'bee')
  assert load() == first


def test_a_yardstick_is_found_again_when_the_data_moved(
  photos, monkeypatch, tmp_path, capsys, one_device
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  whole = reference_classifier.make_config

  def small(data, classes):
    config = whole(data, classes)
    config.update(steps=1, batch_size=4, steps_per_dispatch=1)
    config.objective.network.update(channels=(4,), features=4)
    config.objective.update(noise='gaussian', amount=0.1)
    return config

  def load(data):
    experiment._open.cache_clear()  # as in another process
    reference_classifier.load(data, 2)
    return capsys.readouterr().out

  monkeypatch.setattr(reference_classifier, 'make_config', small)
  assert 'starts at step 0' in load(photos)
  path = pathlib.Path(photos['path'])
  moved = path.rename(tmp_path / 'moved')
  elsewhere = {**photos, 'path': str(moved)}
  assert 'resumes at step 1' in load(elsewhere)


@pytest.mark.parametrize('variant, amount', [('', 1.0), ('fashion_mnist', 0.0)])
def test_digits_are_moved_and_clothes_are_not(variant, amount):
  config = config_lib.load(f'configs/classifier.py:{variant}')
  assert config.objective.amount == amount
  config.objective.network.classes = 10  # which a run takes from its data
  # What an evaluator would train, whose images are of this data.
  assert config == reference_classifier.make_config(config.data.to_dict(), 10)


def test_of_two_that_need_a_yardstick_one_waits(tmp_path, capsys):
  order, folder = [], tmp_path / 'classifiers' / 'mnist-1'

  def second():
    with reference_classifier.turn(folder):
      order.append('second')

  thread = threading.Thread(target=second)
  with reference_classifier.turn(folder):
    thread.start()
    printed = ''
    while thread.is_alive() and 'waiting for it' not in printed:
      printed += capsys.readouterr().out
      time.sleep(0.001)
    order.append('first')
  thread.join()
  assert order == ['first', 'second']
  assert f'{folder}: waiting for it' in printed


@pytest.mark.parametrize('devices,batch', [(1, 128), (8, 128), (12, 120)])
def test_any_number_of_devices_divides_its_batch(devices, batch, monkeypatch):
  asked = []

  def load(text, name):
    asked.append(text)

  known = [jax.devices()[0]] * devices
  monkeypatch.setattr(jax, 'devices', lambda: known)
  monkeypatch.setattr(reference_classifier, '_load', load)
  reference_classifier.load(config_lib.default().data.to_dict(), 10)
  assert config_lib.from_json(asked[0]).batch_size == batch


def test_features_are_what_the_logits_are_linear_in():
  from gen_jax.models.classifier import ConvClassifier
  from gen_jax.objectives.classifier import Classifier

  objective = Classifier(ConvClassifier(classes=3, channels=(4,), features=5))
  batch = {
    'image': np.random.default_rng(0).uniform(size=(6, 8, 8, 1)),
    'label': np.array([0, 1, 2, 0, 1, 2], np.int32),
  }
  batch['image'] = batch['image'].astype(np.float32)
  players = drawn(objective.init, KEY, batch)
  dense = players['model']['params']['Dense_1']

  @jax.jit
  def compute(players):
    return objective.features(players, batch), objective.classify(
      players, batch
    )

  features, logits = compute(players)
  np.testing.assert_allclose(
    logits,
    features @ dense['kernel'] + dense['bias'],
    rtol=1e-5,
  )
  # Dropout is for training alone.
  loss = jax.jit(objective.loss)
  losses = [
    float(loss(players, batch, key=jax.random.key(i), step=0)[0])
    for i in (0, 1)
  ]
  assert losses[0] != losses[1]
