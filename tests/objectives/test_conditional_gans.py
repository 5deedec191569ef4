"""cGAN, AC-GAN, InfoGAN: who sees the class or the code, and who tells it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import ArraySource
from gen_jax.errors import InputError
from gen_jax.evals.factors import Matching
from gen_jax.evals.task import Task
from gen_jax.losses.information import gaussian_log_likelihood
from gen_jax.models import dense
from gen_jax.objectives.acgan import ACGAN
from gen_jax.objectives.cgan import CGAN
from gen_jax.objectives.infogan import InfoGAN

KEY = jax.random.key(0)
SHAPE = (2, 2, 1)
BATCH = {
  'image': jax.random.uniform(KEY, (12, *SHAPE), minval=-1),
  'label': jnp.arange(12) % 3,
}
GEN = dense.Generator(shape=SHAPE, hidden=(8,))


class Heads(nn.Module):
  """A judge with a second head, both linear in the pixels."""

  extra: int

  @nn.compact
  def __call__(self, images, train=False):
    x = images.reshape(len(images), -1)
    return nn.Dense(1)(x)[:, 0], nn.Dense(self.extra)(x)


def cgan(**fields):
  disc = dense.Discriminator(hidden=(8,))
  return CGAN(gen=GEN, disc=disc, latent=4, classes=3, **fields)


def acgan(**fields):
  return ACGAN(gen=GEN, disc=Heads(3), latent=4, classes=3, **fields)


def infogan(**fields):
  return InfoGAN(
    gen=GEN, disc=Heads(5), latent=4, categories=3, continuous=2, **fields
  )


def test_generator_and_judge_of_a_cgan_see_the_class():
  objective = cgan()
  players = objective.init(KEY, BATCH)
  first = objective.discriminate(players, BATCH)
  other = {**BATCH, 'label': (BATCH['label'] + 1) % 3}
  assert np.all(np.abs(first - objective.discriminate(players, other)) > 1e-6)
  images = [
    objective.sample(players, key=KEY, num=4, labels=jnp.full(4, label))
    for label in (0, 1)
  ]
  assert np.all(np.abs(images[0] - images[1]).max((1, 2, 3)) > 1e-4)


def test_shares_of_classes_lie_between_them():
  objective = cgan()
  players = objective.init(KEY, BATCH)
  one_hot = jnp.eye(3)[jnp.array([0, 2])]
  np.testing.assert_allclose(
    objective.sample(players, key=KEY, num=2, labels=one_hot),
    objective.sample(players, key=KEY, num=2, labels=jnp.array([0, 2])),
    atol=1e-6,
  )


def test_heads_tell_of_one_image_and_classes_need_labels():
  for make in (acgan, infogan):
    with pytest.raises(InputError, match='pack=2'):
      make(pack=2)
  for make in (cgan, acgan):
    with pytest.raises(InputError, match='needs labels'):
      make().init(KEY, {'image': BATCH['image']})


def test_wrong_labels_are_a_further_negative():
  plain, strict = cgan(), cgan(mismatch=2.0)
  players = plain.init(KEY, BATCH)
  total, aux = strict.disc_loss(players, BATCH, key=KEY, step=0)
  without, _ = plain.disc_loss(players, BATCH, key=KEY, step=0)
  wrong = {**BATCH, 'label': jnp.roll(BATCH['label'], 1)}
  logits = plain.discriminate(players, wrong)
  expected = float(jnp.mean(jax.nn.softplus(logits)))
  assert float(aux.metrics['mismatch']) == pytest.approx(expected, rel=1e-5)
  assert float(total) == pytest.approx(float(without) + 2 * expected, rel=1e-5)
  # Where all have one class there is no wrong label.
  same = {**BATCH, 'label': jnp.zeros(12, jnp.int32)}
  _, aux = strict.disc_loss(players, same, key=KEY, step=0)
  assert float(aux.metrics['mismatch']) == 0


def test_the_judge_of_an_acgan_is_not_told_the_class():
  objective = acgan()
  players = objective.init(KEY, BATCH)
  other = {**BATCH, 'label': (BATCH['label'] + 1) % 3}
  np.testing.assert_array_equal(
    objective.discriminate(players, BATCH),
    objective.discriminate(players, other),
  )
  assert objective.classify(players, BATCH).shape == (12, 3)


def test_both_players_of_an_acgan_descend_the_error_of_the_class():
  objective, plain = acgan(weight=1.0), acgan(weight=0.0)
  players = objective.init(KEY, BATCH)
  for name in ('disc_loss', 'gen_loss'):
    with_class, aux = getattr(objective, name)(players, BATCH, key=KEY, step=0)
    without, _ = getattr(plain, name)(players, BATCH, key=KEY, step=0)
    assert float(with_class - without) == pytest.approx(
      float(aux.metrics['class_loss']), rel=1e-4
    )


def test_a_likelihood_of_codes_is_that_of_scipy():
  x, mean = np.random.default_rng(0).normal(size=(2, 5, 3))
  expected = scipy.stats.norm(mean, np.exp(0.2)).logpdf(x).sum(1)
  np.testing.assert_allclose(
    gaussian_log_likelihood(x, mean, 0.4), expected, rtol=1e-5
  )


def test_a_code_has_noise_one_category_and_numbers():
  codes = np.asarray(infogan().draw(KEY, 3000))
  assert codes.shape == (3000, 4 + 3 + 2)
  category = codes[:, 4:7]
  np.testing.assert_array_equal(category.sum(1), 1)
  np.testing.assert_allclose(category.mean(0), 1 / 3, atol=0.03)
  numbers = codes[:, 7:]
  assert np.abs(numbers).max() <= 1
  np.testing.assert_allclose(numbers.var(0), 1 / 3, atol=0.02)


def test_information_is_log_k_where_the_code_is_read_without_error():
  objective = infogan()
  codes = objective.draw(KEY, 64)
  sure = jnp.concatenate([50 * codes[:, 4:7], codes[:, 7:]], axis=-1)
  cost, metrics = objective._unread(codes, sure)
  assert float(metrics['category_information']) == pytest.approx(np.log(3))
  assert float(metrics['continuous_error']) == 0
  blind, metrics = objective._unread(codes, jnp.zeros_like(sure))
  assert float(metrics['category_information']) == pytest.approx(0, abs=1e-5)
  assert float(blind) > float(cost)


def test_varied_images_differ_by_their_codes_alone():
  objective = infogan()
  players = objective.init(KEY, BATCH)
  category = jnp.array([0, 1, 0])
  numbers = jnp.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
  images = objective.vary(players, category, numbers, key=KEY)
  again = objective.vary(players, category[:1], numbers[:1], key=KEY)
  np.testing.assert_allclose(images[:1], again, atol=1e-6)
  assert np.abs(images[0] - images[1]).max() > 1e-4
  assert np.abs(images[0] - images[2]).max() > 1e-4


def test_categories_are_matched_to_classes():
  labels = np.arange(300, dtype=np.int32) % 3
  image = np.zeros((300, 2, 2, 1), np.uint8)
  image[:, 0, 0, 0] = labels

  class Permuted:
    pixels = 'unit'

    def predict_fns(self):
      def classify(players, batch):
        label = jnp.round(batch['image'][:, 0, 0, 0] * 255).astype(int)
        return jax.nn.one_hot((label + 1) % 3, 3)

      return {'classify': classify}

  source = ArraySource(
    'toy', 'train', {'image': image, 'label': labels}, ('a', 'b', 'c')
  )
  task = Task(Permuted(), lambda split: source, Preprocess('unit'))
  assert dict(Matching(task).run({}, KEY))['error'] == 0
  source.arrays['label'][:30] = 0  # a tenth, of which two thirds are wrong now
  assert dict(Matching(task).run({}, KEY))['error'] == pytest.approx(1 / 15)
