"""Path length and separability, where their values are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.features import extractors
from gen_jax.evaluation.metrics import separability
from gen_jax.evaluation.metrics.perceptual_path_length import PathLength

KEY = jax.random.key(0)
SIZE = 12


class Linear:
  """Images are codes times 2, styles the codes; noise adds to all alike."""

  pixels = 'unit'

  def predict_fns(self):
    return {
      'sample_latents': lambda _, *, key, num: jax.random.normal(
        key, (num, SIZE)
      ),
      'map_latents': lambda _, codes: jnp.stack([codes, codes], axis=1),
      'synthesize': lambda _, w, *, key: (
        2 * w[:, 1].reshape(-1, 2, 2, 3) + jax.random.normal(key, (1, 2, 2, 3))
      ),
    }


class Pixels:
  identity = 'pixels'

  def extract(self, images):
    return np.asarray(images).reshape(len(images), -1)


def task(classes=()):
  image = np.zeros((3, 2, 2, 3), np.uint8)
  source = array_source('toy', 'train', {'image': image}, classes)
  return Task(Linear(), lambda split: source, Preprocess('unit'))


def test_lengths_of_a_linear_generator_are_known(monkeypatch):
  monkeypatch.setattr(extractors, 'load', lambda *args: Pixels())
  evaluator = PathLength(task(), num=3000, epsilon=1e-2)
  out = dict(evaluator.run({}, KEY))
  # On a straight line |2 (z' - z)|^2 wherever one stands: 4 * 2 * 12. Without
  # the extreme hundredths, the mean of a chi-square of 12 is a little less.
  draws = np.sort(8 * np.random.default_rng(0).chisquare(SIZE, 200_000))
  straight = draws[2000:-2000].mean()
  assert out['w_full'] == pytest.approx(straight, rel=0.03)
  assert out['w_end'] == pytest.approx(out['w_full'], rel=0.01)
  # On the circle of radius sqrt(12) the speed is that times the angle.
  rng = np.random.default_rng(1)
  a, b = rng.normal(size=(2, 200_000, SIZE))
  cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1)
  cosine /= np.linalg.norm(b, axis=-1)
  draws = np.sort(4 * SIZE * np.arccos(cosine) ** 2)
  assert out['z_full'] == pytest.approx(draws[2000:-2000].mean(), rel=0.03)
  assert out['features_identity'] == 'pixels'


def test_bad_fields_are_refused():
  with pytest.raises(InputError, match='num=10'):
    PathLength(task(), num=10)
  with pytest.raises(InputError, match='labels'):
    PathLength(task(), features='classifier')
  with pytest.raises(InputError, match='labels'):
    separability.Separability(task())


def test_conditional_entropy_by_hand():
  truth = np.array([1, 1, 0, 0], bool)
  assert separability.conditional_entropy(truth, truth) == 0
  assert separability.conditional_entropy(~truth, truth) == 0
  predicted = np.array([1, 0, 1, 0], bool)  # says nothing
  assert separability.conditional_entropy(predicted, truth) == pytest.approx(
    np.log(2)
  )
  # Of the three that are predicted to be true one is not: 3/4 H(1/3) + 1/4 0.
  predicted = np.array([1, 1, 1, 0], bool)
  third = -(np.log(1 / 3) / 3 + np.log(2 / 3) * 2 / 3)
  assert separability.conditional_entropy(predicted, truth) == pytest.approx(
    0.75 * third
  )


def test_classes_on_two_sides_of_a_plane_are_separable(monkeypatch):
  class Halves:
    """Tells by whether the first pixel is light."""

    hash, accuracy = 'abc', 0.9

    def extract(self, images):
      first = images.reshape(len(images), -1)[:, 0] - 0.5
      return np.stack([first, -first], axis=1) * 100, None

  class Quiet(Linear):
    def predict_fns(self):
      bent = {'map_latents': lambda _, codes: jnp.abs(codes)[:, None]}

      def synthesize(players, w, *, key):
        return 0.5 + 0.1 * (w[:, 0].reshape(-1, 2, 2, 3) - 0.7)

      return {**super().predict_fns(), **bent, 'synthesize': synthesize}

  monkeypatch.setattr(
    separability.reference_classifier, 'load', lambda task, workdir: Halves()
  )
  toy = task(('a', 'b'))
  toy = Task(Quiet(), toy.source, toy.preprocess)
  evaluator = separability.Separability(toy, num=800, batch_size=200)
  out = dict(evaluator.run({}, KEY))
  # The class is |z_0| > .7: a plane in w, none in z.
  assert out['w'] < 1.4
  assert out['z'] > 1.8
  assert out['classifier_hash'] == 'abc'
