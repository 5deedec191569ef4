"""cGAN, AC-GAN, InfoGAN: who sees the class or the code, and who tells it."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import drawn

from gen_jax.data.pipeline import Preprocess
from gen_jax.data.sources import array_source
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.infogan import Matching
from gen_jax.models import dense
from gen_jax.objectives.acgan import ACGAN
from gen_jax.objectives.gan import GAN
from gen_jax.objectives.infogan import InfoGAN
from gen_jax.objectives.parts.conditioning import (
  Embedding,
  OneHot,
  Projection,
  Unconditional,
)
from gen_jax.objectives.parts.latents import Normal

KEY = jax.random.key(0)
SHAPE = (2, 2, 1)
BATCH = {
  'image': np.linspace(-1, 1, 48, dtype=np.float32).reshape(12, *SHAPE),
  'label': np.arange(12, dtype=np.int32) % 3,
}
OTHER = {**BATCH, 'label': (BATCH['label'] + 1) % 3}
GEN = dense.Generator(shape=SHAPE, hidden=(8,))


class Heads(nn.Module):
  """A discriminator with two heads, both linear in the pixels."""

  extra: int

  @nn.compact
  def __call__(self, images, train=False):
    x = images.reshape(len(images), -1)
    return nn.Dense(1)(x)[:, 0], nn.Dense(self.extra)(x)


def cgan(**fields):
  fields = {
    'disc': dense.Discriminator(hidden=(8,)),
    'conditioning': OneHot(classes=3),
    **fields,
  }
  return GAN(gen=GEN, latents=Normal(size=4), **fields)


def acgan(**fields):
  return ACGAN(
    gen=GEN, disc=Heads(3), latents=Normal(size=4), classes=3, **fields
  )


def infogan(**fields):
  return InfoGAN(
    gen=GEN,
    disc=Heads(5),
    latents=Normal(size=4),
    categories=3,
    continuous=2,
    **fields,
  )


class Guess(nn.Module):
  """A discriminator with the same outputs for all images."""

  read: tuple[float, ...]

  @nn.compact
  def __call__(self, images, train=False):
    read = jnp.tile(jnp.array(self.read), (len(images), 1))
    return jnp.zeros(len(images)), read


def test_metrics_of_infogan_are_those_of_its_guesses():
  disc = Guess((0.0, 0.0, 0.0, 2.0, 2.0))
  objective = dataclasses.replace(infogan(), disc=disc)
  batch = {k: np.tile(x, (100, *x.shape[1:])) for k, x in BATCH.items()}
  players = {**drawn(objective.init, KEY, BATCH), 'disc': {'params': {}}}
  for loss in (objective.gen_loss, objective.disc_loss):
    _, aux = jax.jit(loss)(players, batch, key=KEY, step=0)
    # Even guesses tell nothing of the category.
    assert float(aux.metrics['category_information']) == pytest.approx(
      0, abs=1e-6
    )
    # E (c - 2)^2 for c ~ U(-1, 1)
    error = float(aux.metrics['continuous_error'])
    assert error == pytest.approx(1 / 3 + 4, rel=0.05)


def test_the_accuracy_of_an_acgan_is_that_of_its_guesses():
  objective = dataclasses.replace(acgan(), disc=Guess((0.0, 0.0, 1.0)))
  players = {**drawn(objective.init, KEY, BATCH), 'disc': {'params': {}}}
  batch = {**BATCH, 'label': np.int32([2] * 9 + [0] * 2 + [1])}
  _, aux = jax.jit(objective.disc_loss)(players, batch, key=KEY, step=0)
  assert float(aux.metrics['class_accuracy']) == pytest.approx(9 / 12)


def test_both_players_of_a_conditional_gan_get_the_class():
  objective = cgan()

  @jax.jit
  def compute(players):
    logits = [objective.discriminate(players, b) for b in (BATCH, OTHER)]
    images = [
      objective.sample_classes(players, jnp.full(4, label), key=KEY)
      for label in (0, 1)
    ]
    return logits, images

  logits, images = compute(drawn(objective.init, KEY, BATCH))
  assert np.all(np.abs(logits[0] - logits[1]) > 1e-6)
  assert np.all(np.abs(images[0] - images[1]).max((1, 2, 3)) > 1e-4)


def test_samples_have_all_classes_in_turn():
  objective = cgan()

  @jax.jit
  def compute(players):
    labels = jnp.arange(5) % 3
    return (
      objective.sample(players, key=KEY, num=5),
      objective.sample_classes(players, labels, key=KEY),
    )

  np.testing.assert_array_equal(*compute(drawn(objective.init, KEY, BATCH)))
  assert 'sample_classes' in objective.predict_fns()
  unconditional = dataclasses.replace(objective, conditioning=Unconditional())
  assert 'sample_classes' not in unconditional.predict_fns()


def test_each_network_learns_an_embedding():
  objective = cgan(conditioning=Embedding(classes=3, features=2))
  players = drawn(objective.init, KEY, BATCH)
  for player in players.values():
    assert player['params']['table'].shape == (3, 2)
  logits = jax.jit(objective.discriminate)
  assert np.any(logits(players, BATCH) != logits(players, OTHER))


def test_a_projection_adds_the_product_with_a_vector_of_the_class():
  objective = cgan(conditioning=Projection(classes=3), disc=Heads(3))
  players = drawn(objective.init, KEY, BATCH)
  logits, products = jax.jit(objective.disc.apply)(
    players['disc'], BATCH['image']
  )
  expected = logits + products[np.arange(12), BATCH['label']]
  np.testing.assert_allclose(
    jax.jit(objective.discriminate)(players, BATCH), expected, rtol=1e-5
  )
  wrong = cgan(conditioning=Projection(classes=3), disc=Heads(2))
  with pytest.raises(InputError, match='extra=2: expected .* 3 outputs'):
    jax.eval_shape(wrong.init, KEY, BATCH)


def test_shares_of_classes_lie_between_them():
  objective = cgan()

  @jax.jit
  def compute(players):
    labels = jnp.array([0, 2])
    return [
      objective.sample_classes(players, x, key=KEY)
      for x in (jnp.eye(3)[labels], labels)
    ]

  of_shares, of_classes = compute(drawn(objective.init, KEY, BATCH))
  np.testing.assert_allclose(of_shares, of_classes, atol=1e-6)


def test_classes_need_labels():
  for make in (cgan, acgan):
    with pytest.raises(InputError, match='needs labels'):
      jax.eval_shape(make().init, KEY, {'image': BATCH['image']})


def test_wrong_labels_are_a_further_negative():
  plain, strict = cgan(), cgan(matching_aware_weight=0.5)
  # Where all have one class there is no wrong label.
  same = {**BATCH, 'label': np.zeros(12, np.int32)}
  wrong = {**BATCH, 'label': np.roll(BATCH['label'], 1)}

  @jax.jit
  def compute(players):
    total, aux = strict.disc_loss(players, BATCH, key=KEY, step=0)
    without, _ = plain.disc_loss(players, BATCH, key=KEY, step=0)
    logits = plain.discriminate(players, wrong)
    _, aux_same = strict.disc_loss(players, same, key=KEY, step=0)
    return (
      total - without,
      jnp.mean(jax.nn.softplus(logits)),
      aux.metrics['mismatch_loss'],
      aux_same.metrics['mismatch_loss'],
    )

  made = compute(drawn(plain.init, KEY, BATCH))
  difference, expected, mismatch, none = map(float, made)
  assert mismatch == pytest.approx(expected, rel=1e-5)
  assert difference == pytest.approx(expected / 2, rel=1e-5)
  assert none == 0


def test_the_discriminator_of_an_acgan_does_not_get_the_class():
  objective = acgan()

  @jax.jit
  def compute(players):
    logits = [objective.discriminate(players, b) for b in (BATCH, OTHER)]
    return logits, objective.classify(players, BATCH)

  logits, classes = compute(drawn(objective.init, KEY, BATCH))
  np.testing.assert_array_equal(*logits)
  assert classes.shape == (12, 3)


def test_both_players_of_an_acgan_descend_the_error_of_the_class():
  objective, plain = acgan(class_weight=1.0), acgan(class_weight=0.0)

  @jax.jit
  def compute(players):
    pairs = []
    for name in ('disc_loss', 'gen_loss'):
      with_class, aux = getattr(objective, name)(
        players, BATCH, key=KEY, step=0
      )
      without, _ = getattr(plain, name)(players, BATCH, key=KEY, step=0)
      pairs.append((with_class - without, aux.metrics['class_loss']))
    return pairs

  for difference, cost in compute(drawn(objective.init, KEY, BATCH)):
    assert float(difference) == pytest.approx(float(cost), rel=1e-4)


def test_a_code_has_noise_one_category_and_numbers():
  codes = np.asarray(jax.jit(lambda key: infogan().draw(key, 3000))(KEY))
  assert codes.shape == (3000, 4 + 3 + 2)
  category = codes[:, 4:7]
  np.testing.assert_array_equal(category.sum(1), 1)
  np.testing.assert_allclose(category.mean(0), 1 / 3, atol=0.03)
  numbers = codes[:, 7:]
  assert np.abs(numbers).max() <= 1
  np.testing.assert_allclose(numbers.var(0), 1 / 3, atol=0.02)


def test_information_is_log_k_where_the_code_is_read_without_error():
  objective = infogan()

  @jax.jit
  def compute():
    codes = objective.draw(KEY, 64)
    sure = jnp.concatenate([50 * codes[:, 4:7], codes[:, 7:]], axis=-1)
    return [
      objective.information_loss(codes, x) for x in (sure, jnp.zeros_like(sure))
    ]

  (cost, metrics), (blind, of_blind) = compute()
  assert float(metrics['category_information']) == pytest.approx(np.log(3))
  assert float(metrics['continuous_error']) == 0
  information = float(of_blind['category_information'])
  assert information == pytest.approx(0, abs=1e-5)
  assert float(blind) > float(cost)


def test_varied_images_differ_by_their_codes_alone():
  objective = infogan()
  category = np.array([0, 1, 0], np.int32)
  numbers = np.array([[0, 0], [0, 0], [1, 0]], np.float32)

  @jax.jit
  def compute(players):
    return [
      objective.sample_codes(players, category[:n], numbers[:n], key=KEY)
      for n in (3, 1)
    ]

  images, again = compute(drawn(objective.init, KEY, BATCH))
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

  source = array_source(
    'toy', 'train', {'image': image, 'label': labels}, ('a', 'b', 'c')
  )
  task = Task(Permuted(), lambda split: source, Preprocess('unit'))
  assert dict(Matching(task).run({}, KEY))['error'] == 0
  source.arrays['label'][:30] = 0  # a tenth, of which two thirds are wrong now
  assert dict(Matching(task).run({}, KEY))['error'] == pytest.approx(1 / 15)
