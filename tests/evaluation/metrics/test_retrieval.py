"""Whether pictures fit captions: the share of right choices, and sharpness."""

import itertools
import types

import numpy as np
import pytest

from gen_jax.evaluation.figures import captioned
from gen_jax.evaluation.metrics import retrieval, sharpness


def test_the_share_of_right_choices_is_the_mean_over_all_draws():
  similarity = np.random.default_rng(0).normal(size=(6, 6))
  for choices in (2, 3, 6):
    expected = []
    for i in range(6):
      others = [j for j in range(6) if j != i]
      wins = [
        similarity[i, i] > max(similarity[i, j] for j in drawn)
        for drawn in itertools.combinations(others, choices - 1)
      ]
      expected.append(np.mean(wins))
    found = retrieval.top(similarity, choices)
    np.testing.assert_allclose(found, expected)
  np.testing.assert_allclose(retrieval.top(similarity, 99), found)


def test_chance_is_a_tenth_and_a_draw_is_no_win():
  rng = np.random.default_rng(0)
  share = retrieval.top(rng.normal(size=(400, 400))).mean()
  assert share == pytest.approx(0.1, abs=0.02)
  assert retrieval.top(np.zeros((20, 20))).max() == 0
  np.testing.assert_array_equal(retrieval.top(np.eye(20)), 1)


def test_spread_within_captions_and_between():
  vectors = np.array([[1, 0], [1, 0], [0, 2], [0, 1.0]])
  spread = retrieval.spread(vectors, np.array([0, 0, 1, 1]))
  assert spread == {'within': 0, 'between': 1}
  spread = retrieval.spread(vectors, np.array([0, 1, 0, 1]))
  assert spread == {'within': 1, 'between': pytest.approx(0.5)}


def test_images_of_all_captions_alike_are_a_mode_collapse(monkeypatch):
  real = np.eye(4, dtype=np.float32).reshape(4, 2, 2, 1) * 255
  scorer = types.SimpleNamespace(
    encode_images=lambda x: x.reshape(len(x), -1), hash='', accuracy=1.0
  )
  task = types.SimpleNamespace(read=lambda split, num: {'image': real})
  monkeypatch.setattr(
    retrieval.image_text_scorer, 'load', lambda task, place: scorer
  )
  monkeypatch.setattr(captioned, 'fields_of', lambda raw: raw)
  monkeypatch.setattr(captioned, 'read', lambda task, players, x: x['image'])

  def measure(difference):
    def draw(task, players, texts, key):
      return 1 - difference + difference * texts / 255

    monkeypatch.setattr(captioned, 'draw', draw)
    return dict(retrieval.Diversity(task, copies=2).run({}, None))

  good, bad = measure(1.0), measure(0.1)
  assert good['between_ratio'] == pytest.approx(1)
  assert good['ratio'] == pytest.approx(0, abs=1e-6)
  assert 'warning' not in good
  assert bad['between_ratio'] < 0.1
  assert 'mode collapse' in bad['warning']


def test_slopes_of_a_ramp():
  ramp = np.broadcast_to(np.arange(4)[:, None] * 0.1, (2, 4, 4))[..., None]
  assert sharpness.mean_squared_gradient(ramp) == pytest.approx(0.01)
  assert sharpness.mean_squared_gradient(ramp * 0 + 1) == 0


def test_pictures_of_another_size_are_resized():
  small = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4, 1)
  assert captioned.resized(small, (4, 4, 1)) is small
  large = captioned.resized(small, (8, 8, 1))
  assert large.shape == (1, 8, 8, 1)
  assert 0 <= large.min() and large.max() <= 1
