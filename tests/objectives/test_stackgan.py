"""StackGAN and its text encoder: losses by hand, stages, and captions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawn import drawn
from jax.sharding import Mesh

from gen_jax.data.text import captions
from gen_jax.distributed import mesh
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES
from gen_jax.models import classifier, stackgan, text
from gen_jax.objectives.contrastive import Contrastive
from gen_jax.objectives.parts.regularizers import R1, R2
from gen_jax.objectives.stackgan import StageI, StageII, mismatched
from gen_jax.training.step import init_state, make_train_chunk, make_train_step

KEY = jax.random.key(0)
WORDS = 'red blue green heart star cat book sun'.split()
BATCH = {
  'image': np.random.default_rng(0)
  .uniform(-1, 1, (8, 8, 8, 3))
  .astype(np.float32),
  **captions.encode([[w, f'a {w}'] for w in WORDS], 3),
}
TEXT = text.Encoder(features=8, buckets=50, width=6, hidden=7)
GEN1 = stackgan.Generator(shape=(4, 4, 3), channels=(4, 4), condition=3)
GEN2 = stackgan.Refiner(
  shape=(8, 8, 3), down=(4, 4), blocks=1, up=(4, 4), condition=3
)


def init(objective, batch=BATCH):
  return drawn(objective.init, KEY, batch)


def traced(objective, batch=BATCH):
  """The shapes of its players."""
  return jax.eval_shape(lambda b: objective.init(KEY, b), batch)


def loss(method, players, batch=BATCH):
  return jax.jit(lambda p, b: method(p, b, key=KEY, step=0))(players, batch)


def discriminator(normalize='spectral'):
  return stackgan.Discriminator(channels=(4,), text=4, normalize=normalize)


def stage_1(normalize='spectral', **fields):
  return StageI(
    text=TEXT,
    gen1=GEN1,
    disc1=discriminator(normalize),
    latent_size=2,
    **fields,
  )


def stage_2(**fields):
  return StageII(
    text=TEXT,
    gen1=GEN1,
    gen2=GEN2,
    disc2=discriminator(),
    latent_size=2,
    **fields,
  )


def test_players_of_each_stage():
  first, second = map(traced, (stage_1(), stage_2()))
  assert set(first) == {'text', 'gen1', 'disc1'}
  assert set(second) == {'text', 'gen1', 'gen2', 'disc2'}
  shapes = [jax.tree.map(jnp.shape, x[k]) for x in (first, second) for k in
            ('text', 'gen1')]  # fmt: skip
  assert shapes[:2] == shapes[2:]
  assert [u.wrt for u in stage_1().updates()] == [('disc1',), ('gen1',)]
  assert [u.wrt for u in stage_2().updates()] == [('disc2',), ('gen2',)]


def test_wrong_captions_are_of_others():
  captions_ = jnp.asarray([[0], [1], [2], [2]])
  first = set()
  for seed in range(20):
    order, wrong = mismatched(captions_, jax.random.key(seed))
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert not np.any(order == np.arange(4))
    np.testing.assert_array_equal(wrong, captions_[order, 0] != captions_[:, 0])
    first.add(int(order[0]))
  assert first == {1, 2, 3}  # each other caption in its turn


def test_of_two_captions_the_other_is_wrong():
  for seed in range(8):
    order, _ = mismatched(jnp.asarray([[0], [1]]), jax.random.key(seed))
    assert order.tolist() == [1, 0]


def test_real_pairs_are_scored_as_if_there_were_no_mismatched_ones():
  objective = stage_1('batch')
  players = init(objective)
  texts = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
  images = BATCH['image'][:, :4, :4]

  @jax.jit
  def score(pairs):
    return objective.matching.score(players, images, pairs, KEY)[0][0]

  def real_logits(*others):
    return score(np.stack([texts, *others]))

  alone = real_logits()
  for others in (np.roll(texts, 1, axis=0), 100 * texts):
    np.testing.assert_allclose(real_logits(others), alone, atol=1e-5)


def test_the_loss_of_the_discriminator_by_hand():
  """The terms of algorithm 1 of Reed et al., with known logits."""

  class Known(nn.Module):
    @nn.compact
    def __call__(self, images, texts, train=False):
      brightness = jnp.mean(images, axis=(1, 2, 3))
      return brightness + 2 * jnp.mean(texts, axis=-1)

  fields = dict(text=TEXT, gen1=GEN1, disc1=Known(), latent_size=2)
  matching = {
    name: StageI(**fields, matching_aware_weight=0.3, loss=name).matching
    for name in ADVERSARIAL_LOSSES
  }

  @jax.jit  # one program for all losses
  def compute(players, batch):
    losses = {
      name: losses.disc_loss(players, batch, key=KEY, step=0)
      for name, losses in matching.items()
    }
    key_caption, key_wrong, key_gen = jax.random.split(KEY, 3)
    chosen = text.choose(batch['text'], key_caption)
    texts = TEXT.apply(players['text'], chosen)
    order, _ = mismatched(chosen, key_wrong)
    fake = matching['hinge'].generate(players, texts, key_gen).images

    def logits(images, texts):
      return images.mean((1, 2, 3)) + 2 * texts.mean(-1)

    images = batch['image'].reshape(8, 4, 2, 4, 2, 3).mean((2, 4))
    pairs = (images, texts), (images, texts[order]), (fake, texts)
    return losses, [logits(*pair) for pair in pairs]

  players = dict(init(stage_1()), disc1={})
  losses, (right, wrong, made) = compute(players, BATCH)
  for name, (total, aux) in losses.items():
    terms = ADVERSARIAL_LOSSES[name]
    if terms.paired:
      expected = 0.3 * terms.real(right - wrong).mean()
      expected += 0.7 * terms.real(right - made).mean()
    else:
      expected = terms.real(right).mean() + 0.3 * terms.fake(wrong).mean()
      expected += 0.7 * terms.fake(made).mean()
    assert float(total) == pytest.approx(float(expected), rel=1e-4, abs=1e-5)
    assert set(aux.state) == {'disc1'}
    if terms.threshold is not None:
      accuracy = float(np.mean(wrong <= terms.threshold))
      assert float(aux.metrics['mismatch_accuracy']) == pytest.approx(accuracy)


def test_the_divergence_of_the_condition_is_in_the_loss_of_the_generator():
  """The KL is that of SciPy's closed form, summed over the dimensions."""
  without, with_ = (stage_1(kl_weight=w).matching for w in (0.0, 0.5))
  players = init(stage_1())

  @jax.jit
  def compute(players, batch):
    a, aux = without.gen_loss(players, batch, key=KEY, step=0)
    b, _ = with_.gen_loss(players, batch, key=KEY, step=0)
    chosen = text.choose(batch['text'], jax.random.split(KEY)[0])
    return b - a, aux.metrics['kl'], TEXT.apply(players['text'], chosen)

  difference, kl, texts = compute(players, BATCH)
  assert float(difference) == pytest.approx(0.5 * float(kl), rel=1e-3)
  layer = players['gen1']['params']['ConditioningAugmentation_0']['Dense_0']
  x = np.asarray(texts @ layer['kernel'] + layer['bias'], np.float64)
  x = np.where(x > 0, x, 0.2 * x)
  mean, log_variance = np.split(x, 2, axis=1)
  exact = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1)
  assert float(kl) == pytest.approx(exact.mean(), rel=1e-3)


def test_stage_ii_starts_from_the_images_of_stage_i():
  objective = stage_2()

  @jax.jit
  def compute(players, batch):
    texts = objective.encode_text(players, batch)
    return (
      objective.generate_stage1(players, texts, key=KEY),
      objective.generate(players, texts, key=KEY),
      stage_1().generate(players, texts, key=KEY),
      objective.generate(players, texts[:3], key=KEY),
    )

  small, large, again, few = compute(init(objective), BATCH)
  assert small.shape == (8, 4, 4, 3) and large.shape == (8, 8, 8, 3)
  np.testing.assert_array_equal(small, again)
  # The image of a caption does not depend on the other captions.
  np.testing.assert_allclose(few, large[:3], atol=1e-5)


def test_bad_fields_and_data_are_named():
  with pytest.raises(InputError, match="'hinge' has no labels"):
    stage_1(loss='hinge', real_label=0.9)
  with pytest.raises(InputError, match='data.words'):
    traced(stage_1(), {'image': BATCH['image']})
  with pytest.raises(InputError, match='objective.gen1.shape=4: images of 6x6'):
    traced(stage_1(), {**BATCH, 'image': BATCH['image'][:, :6, :6]})


def run(objective, players, devices):
  names = [name for u in objective.updates() for name in u.wrt]
  sgd = dict.fromkeys(names, optax.sgd(0.05))
  form = mesh.Jit(Mesh(np.asarray(jax.devices()[:devices]), ('data',)))
  step = make_train_step(objective, sgd, key=KEY)
  chunk = form.compile(make_train_chunk(step, 2))
  state = form.replicate(init_state(players, sgd, {}))
  inputs = {k: np.stack([x, x[::-1]]) for k, x in BATCH.items()}
  state, _ = chunk(state, None, form.shard(inputs), np.int32(2))
  return jax.device_get(state.players)


@pytest.mark.slow('compiles for one device and for eight')
@pytest.mark.parametrize(
  'normalize', ['batch', pytest.param('spectral', marks=pytest.mark.long)]
)
def test_eight_devices_equal_one(normalize):
  objective = stage_1(normalize)
  players = init(objective)
  one, eight = (run(objective, players, n) for n in (1, 8))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    one,
    eight,
  )
  assert np.abs(
    one['gen1']['params']['Conv_0']['kernel']
    - players['gen1']['params']['Conv_0']['kernel']
  ).max() > 0  # fmt: skip
  # No update names the text encoder.
  jax.tree.map(np.testing.assert_array_equal, one['text'], players['text'])


def contrastive(**fields):
  image = classifier.ConvClassifier(
    classes=8, channels=(8,), features=32, dropout=0.0
  )
  return Contrastive(text=TEXT, image=image, **fields)


def test_pairs_are_learned():
  objective = contrastive(corruption='gaussian')
  batch = {**BATCH, 'image': (BATCH['image'] + 1) / 2}
  players = init(objective, batch)
  tx = dict.fromkeys(('text', 'image'), optax.adam(1e-2))
  step = jax.jit(make_train_step(objective, tx, key=KEY))
  state = init_state(players, tx, {})
  for _ in range(60):
    state, metrics = step(state, batch)
  assert float(metrics['match/loss']) < 1
  texts, images = jax.jit(
    lambda p, b: (objective.encode_text(p, b), objective.encode_image(p, b))
  )(state.players, batch)
  texts, images = np.asarray(texts), np.asarray(images)
  nearest = np.argmax(images @ texts.T, axis=1)
  assert np.mean(nearest == np.arange(8)) >= 0.75
  # Both have mean square 1.
  np.testing.assert_allclose(np.mean(images**2, -1), 1, rtol=1e-3)


def test_vectors_of_another_size_are_refused():
  image = classifier.ConvClassifier(classes=5, channels=(4,), features=6)
  with pytest.raises(InputError, match='of 5 numbers, and .* of 8'):
    traced(Contrastive(text=TEXT, image=image))


def test_vectors_of_a_file_take_the_place_of_words():
  vectors = np.random.default_rng(1).normal(size=(8, 2, 5)).astype(np.float32)
  batch = {'image': BATCH['image'], 'embedding': vectors}
  objective = StageI(
    text=text.PrecomputedEmbedding(),
    gen1=GEN1,
    disc1=discriminator(),
    latent_size=2,
  )
  players = init(objective, batch)
  assert players['text'] == {'params': {}}
  np.testing.assert_array_equal(
    objective.encode_text(players, batch), vectors[:, 0]
  )
  total, _ = loss(objective.matching.disc_loss, players, batch)
  assert np.isfinite(total)


def test_r1_is_an_update_of_its_own_or_a_part_of_the_loss():
  batch = {**BATCH, **captions.encode([[w] for w in WORDS], 3)}
  objective = stage_1('', regularizers=(R1(weight=7.0, every=4),))
  players = init(objective)
  disc, penalty, gen = objective.updates()
  assert [u.name for u in (disc, penalty, gen)] == ['disc1', 'disc1_r1', 'gen1']
  assert [u.wrt for u in (disc, penalty, gen)] == [*[('disc1',)] * 2, ('gen1',)]
  both = stage_1('', regularizers=(R1(weight=2.0), R2(weight=3.0)))

  @jax.jit
  def compute(players, batch):
    texts = objective.encode_text(players, batch)

    def logits(images):
      network = discriminator('')
      return network.apply(players['disc1'], images, texts[None])[0].sum()

    images = batch['image'].reshape(8, 4, 2, 4, 2, 3).mean((2, 4))
    key, _ = jax.random.split(KEY)
    plain, _ = disc.loss(players, batch, key=key, step=0)
    total, aux = both.updates()[0].loss(players, batch, key=KEY, step=0)
    return (
      jnp.mean(jnp.sum(jax.grad(logits)(images) ** 2, axis=(1, 2, 3))) / 2,
      *penalty.loss(players, batch, key=KEY, step=0),
      total - plain,
      aux.metrics,
    )

  expected, cost, aux, difference, metrics = compute(players, batch)
  assert expected > 0
  for found in (aux.metrics['penalty'], metrics['r1']):
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
  assert float(cost) == pytest.approx(4 * 7 * float(expected), rel=1e-4)
  assert float(difference) == pytest.approx(
    float(2 * metrics['r1'] + 3 * metrics['r2']), rel=1e-3
  )
  with pytest.raises(InputError, match="disc1.normalize.*take ''"):
    traced(stage_1('batch', regularizers=(R1(),)))


@pytest.mark.parametrize('make,stage', [(stage_1, 1), (stage_2, 2)])
def test_failures_are_reported_as_for_every_gan(make, stage):
  warnings = make().updates()[-1].warnings
  metrics = {
    f'disc{stage}/real_accuracy': 1.0,
    f'disc{stage}/fake_accuracy': 1.0,
    f'gen{stage}/grad_norm': 1.0,
  }
  (text,) = warnings(metrics).values()
  assert f'optim.disc{stage}.learning_rate' in text
  assert set(warnings({**metrics, f'gen{stage}/grad_norm': 1e-5})) == {
    'vanishing_gradient'
  }
  assert not warnings({**metrics, f'disc{stage}/fake_accuracy': 0.6})


def test_the_discriminator_gets_all_images_augmented():
  plain, moved = stage_1(''), stage_1('', augment=('translation',))

  @jax.jit
  def losses(players, batch):
    return [
      [u.loss(players, batch, key=KEY, step=0)[0] for u in objective.updates()]
      for objective in (plain, moved)
    ]

  for a, b in zip(*losses(init(moved), BATCH), strict=True):
    assert float(b) != pytest.approx(float(a))
