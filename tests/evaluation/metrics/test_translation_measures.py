"""Evaluators of translations, on generators whose errors are known."""

import dataclasses

import jax
import numpy as np
import pytest

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source, unpaired
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics import translation
from gen_jax.evaluation.metrics.denoising import psnr, ssim

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
A = RNG.integers(30, 200, (9, 16, 12, 3), np.uint8)
B = A + np.uint8(20)  # domain b is brighter


@dataclasses.dataclass(frozen=True)
class Shift:
  """a -> a + ab, b -> b + ba, or a copy that is turned round."""

  ab: float = 0.0
  ba: float = 0.0
  sign: float = 1.0
  directions: tuple[str, ...] = ('ab', 'ba')
  pixels = 'symmetric'

  def predict_fns(self):
    fns = {
      'translate_ab': lambda players, batch: self.sign * batch['a'] + self.ab,
      'translate_ba': lambda players, batch: self.sign * batch['b'] + self.ba,
    }
    return {k: fns[k] for k in (f'translate_{d}' for d in self.directions)}


def task(objective, paired=True, b=B):
  if paired:
    source = array_source('pairs', 'test', {'a': A, 'b': b})
  else:
    sides = {'a': A, 'b': b[::-1]}
    source = unpaired(
      {k: array_source(k, 'test', {k: v}) for k, v in sides.items()}
    )
  return Task(objective, lambda split: source, Preprocess('symmetric'))


def run(evaluator, objective, paired=True, b=B, **fields):
  cls = getattr(translation, evaluator)
  made = cls(task(objective, paired, b), batch_size=4, **fields)
  return dict(made.run({}, KEY))


STEP = 20 / 127.5  # from a to b, of pixels in [-1, 1]


def test_a_perfect_translation_has_no_error():
  out = run('Pairs', Shift(STEP, -STEP))
  for name in ('ab', 'ba'):
    assert out[f'l1_{name}'] == pytest.approx(0, abs=1e-6)
    assert out[f'ssim_{name}'] == pytest.approx(1, abs=1e-4)
    assert out[f'psnr_{name}'] > 100
    assert out[f'identity_l1_{name}'] == pytest.approx(20 / 255, rel=1e-4)
    want = 20 * np.log10(255 / 20)
    assert out[f'identity_psnr_{name}'] == pytest.approx(want, rel=1e-4)


def test_numbers_of_pairs_are_those_of_their_definitions():
  out = run('Pairs', Shift(0.5 * STEP, 0))
  a, b = A / np.float32(255), B / np.float32(255)
  made = a + np.float32(10 / 255)
  assert out['l1_ab'] == pytest.approx(10 / 255, rel=1e-4)
  assert out['psnr_ab'] == pytest.approx(psnr(b, made).mean(), rel=1e-4)
  assert out['ssim_ab'] == pytest.approx(ssim(b, made), rel=1e-3)
  assert out['l1_ba'] == out['identity_l1_ba']  # a copy


def test_a_cycle_and_an_identity_have_their_errors():
  out = run('Errors', Shift(STEP, -0.5 * STEP))
  assert out['cycle_a'] == pytest.approx(10 / 255, rel=1e-4)
  assert out['cycle_b'] == pytest.approx(10 / 255, rel=1e-4)
  assert out['identity_b'] == pytest.approx(20 / 255, rel=1e-4)
  assert out['identity_a'] == pytest.approx(10 / 255, rel=1e-4)
  assert out['moved_ab'] == pytest.approx(1, rel=1e-4)
  assert out['moved_ba'] == pytest.approx(0.5, rel=1e-4)
  assert out['distance'] == pytest.approx(20 / 255, rel=1e-4)
  assert out['distance_between'] == 'pairs'
  assert out['inverted_ab'] == 0


def test_a_copy_and_an_inversion_are_found_out():
  out = run('Errors', Shift(), paired=False)
  assert out['moved_ab'] == out['moved_ba'] == 0
  assert out['distance_between'] == 'unpaired'
  out = run('Errors', Shift(sign=-1.0))
  assert out['inverted_ab'] == out['inverted_ba'] == 1
  assert out['cycle_a'] == pytest.approx(0, abs=1e-6)  # which does not see it


def test_a_translation_that_is_always_the_same_gives_a_warning():
  out = run('Errors', Shift(STEP, sign=0.0))
  assert out['pairwise_distance_ratio_ab'] == pytest.approx(0, abs=1e-5)
  assert 'mode collapse' in out['warning']
  out = run('Errors', Shift(STEP, -STEP))
  assert out['pairwise_distance_ratio_ab'] == pytest.approx(1, rel=1e-3)
  assert 'warning' not in out


def test_frechet_distances_stand_beside_those_of_the_identity():
  out = run('Frechet', Shift(STEP, 0))
  assert out['frechet_ab'] < 0.01 * out['identity_frechet_ab']
  assert out['frechet_ba'] == pytest.approx(out['identity_frechet_ba'])
  assert out['frechet_train_a'] < 0.01 * out['identity_frechet_ba']
  assert out['features_a'].startswith('random ')
  with pytest.raises(InputError, match='features'):
    translation.Frechet(task(Shift()), features='nothing')


@pytest.mark.parametrize('paired,images', [(True, 4), (False, 3)])
def test_the_grid_shows_there_and_back_and_the_truth(paired, images):
  made = translation.Grid(task(Shift(), paired), num=6, columns=2)
  out = dict(made.run({}, KEY))
  assert set(out) == {'ab', 'ba'}
  assert out['ab'].shape == (3 * (16 + 2) + 2, 2 * (images * 12 + 2) + 2, 3)
  np.testing.assert_array_equal(out['ab'][2:18, 2:14], A[0])


@pytest.mark.parametrize('direction', ['ab', 'ba'])
def test_a_model_of_one_direction_is_measured_in_that(direction):
  model, other = Shift(STEP, -STEP, directions=(direction,)), direction[::-1]
  for evaluator in ('Errors', 'Pairs', 'Frechet'):
    both, out = run(evaluator, Shift(STEP, -STEP)), run(evaluator, model)
    assert out and out.items() <= both.items()
    assert not any(name.endswith(f'_{other}') for name in out)
    assert not any(name.startswith('cycle') for name in out)
  made = translation.Grid(task(model), num=6, columns=2)
  assert made.needs == (f'translate_{direction}',)
  out = dict(made.run({}, KEY))
  assert set(out) == {direction}
  assert out[direction].shape[1] == 2 * (3 * 12 + 2) + 2


def test_a_model_that_does_not_translate_is_refused():
  with pytest.raises(InputError, match="cannot 'translate_ab'"):
    _ = translation.Grid(task(Shift(directions=()))).needs


def test_a_split_without_pairs_is_refused():
  with pytest.raises(InputError, match="'test' has no pairs"):
    translation.Pairs(task(Shift(), paired=False))


def test_domains_of_other_channels_have_an_identity_map():
  gray = translation.gray(B / np.float32(255))
  np.testing.assert_allclose(
    gray[0, 0, 0], (B[0, 0, 0] / 255) @ [0.299, 0.587, 0.114], rtol=1e-5
  )
  for have in (1, 3, 4):
    images = RNG.normal(size=(2, 4, 4, have)).astype(np.float32)
    for want in (1, 3, 4):
      out = translation.as_channels(images, want)
      assert out.shape == (2, 4, 4, want)
  same = translation.as_channels(translation.as_channels(gray, 4), 1)
  np.testing.assert_allclose(same, gray, rtol=1e-5)


def test_the_correlation_is_pearsons():
  x, y = RNG.normal(size=(2, 5, 4, 4, 1))
  want = [np.corrcoef(p.ravel(), q.ravel())[0, 1] for p, q in zip(x, y)]  # noqa: B905
  np.testing.assert_allclose(translation.correlation(x, y), want)
  assert translation.correlation(x, np.ones_like(x)).tolist() == [0] * 5
