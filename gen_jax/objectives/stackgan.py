"""StackGAN: a picture from a caption, in two stages (Zhang et al. 2016).

Each stage is a game of its own (eq. 3 to 6): the judge is shown images of the
data with their captions, the same images with wrong captions, and what the
generator drew of the right ones. A player of an earlier stage, the reader of
the captions among them, is named by no update of a later one, and so stays.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.distributed import collectives
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.augmentation import augment
from gen_jax.losses.divergences import kl_standard_normal
from gen_jax.models import text as text_models
from gen_jax.models.layers.resampling import downsample_to
from gen_jax.objectives.game import Augment, Loss, check_label, check_slope
from gen_jax.objectives.penalized import Penalized
from gen_jax.registry.fields import Fraction, Size, Weight


class Drawn(NamedTuple):
  """What a generator made of captions.

  Attributes:
    images: [B, H, W, C].
    kl: of each conditioning to N(0, 1), [B], in nats.
    state: the generator's new collections.
  """

  images: jax.Array
  kl: jax.Array
  state: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageI(Penalized):
  """Players `text`, `gen1` and `disc1`; a small picture from a caption.

  Attributes:
    text: a network of `models/text.py`, captions -> [B, E].
    gen1: `stackgan.Generator`.
    disc1: `stackgan.Discriminator`.
    latent: size of the code z.
    loss: of the game; see gen_jax/losses/adversarial.py.
    label: of the data, less than 1 for one-sided smoothing.
    mismatch: share of the real images with wrong captions in the judge's loss
      of what is no pair; the others are the generator's (Reed et al. 2016,
      algorithm 1).
    kl: weight of the conditioning's divergence, summed over its dimensions. The
      authors' program takes twice their mean: 1/64 of the sum for 128.
    augment: what happens to all images that the judge sees in training; see
      gen_jax/losses/augmentation.py.
  """

  text: nn.Module
  gen1: nn.Module
  disc1: nn.Module
  latent: Size = 100
  loss: Loss = 'non_saturating'
  label: Fraction = 1.0
  mismatch: Fraction = 0.5
  kl: Weight = 1 / 64
  augment: Augment = ()

  pixels: ClassVar[str] = 'symmetric'
  stage: ClassVar[str] = '1'

  def __post_init__(self):
    check_label(self.loss, self.label)

  @property
  def gen(self) -> str:
    """The generator that learns in this stage, as a player and as a field."""
    return f'gen{self.stage}'

  @property
  def disc(self) -> str:
    return f'disc{self.stage}'

  def init(self, key: jax.Array, batch: Batch) -> Players:
    text_models.check_captioned(batch, self.text)
    # Statistics of a batch need two examples.
    batch = {k: jnp.resize(x, (2, *x.shape[1:])) for k, x in batch.items()}
    keys = jax.random.split(key, 4)
    captions = text_models.first(batch[self.text.field])
    players = {'text': {'params': {}, **self.text.init(keys[0], captions)}}
    texts = self.read(players, batch)
    draws = self._draws(self.gen1.condition + self.latent, keys[1], 2)
    players['gen1'] = self.gen1.init(keys[1], texts, draws)
    players |= self._init_later(players, texts, keys[2])
    judge = getattr(self, self.disc)
    images = self._real(batch)
    players[self.disc] = judge.init(keys[3], images, texts[None])
    if self.penalty:
      check_slope(players, self.disc)
    return players

  def _init_later(self, players, texts, key) -> Players:
    """The generators of later stages."""
    del players, texts, key
    return {}

  def updates(self) -> tuple[Update, ...]:
    gen = Update(wrt=(self.gen,), loss=self.gen_loss)
    updates = *self.disc_updates(self.disc), gen
    if not self.mismatch:
      return updates
    why = 'objective.mismatch pairs each image with the caption of another one'
    return tuple(dataclasses.replace(u, whole_batch=why) for u in updates)

  # What losses are made of.

  def draw(self, players: Players, texts: jax.Array, key: jax.Array) -> Drawn:
    """Images of this stage for captions' vectors [B, E], in training."""
    draws = self._draws(self.gen1.condition + self.latent, key, len(texts))
    return _drawn(*_trained(self.gen1, players['gen1'], texts, draws))

  def score(
    self,
    players: Players,
    images: jax.Array,
    texts: jax.Array,
    key: jax.Array,
  ) -> tuple[jax.Array, Any]:
    """Logits [T, B] for captions [T, B, E], and the judge's collections."""
    images = augment(images, self.augment, key)
    judge = getattr(self, self.disc)
    return _trained(judge, players[self.disc], images, texts)

  def _real(self, batch):
    """The data's images, at the size of this stage."""
    size = getattr(self, self.gen).shape[0]
    return downsample_to(batch['image'], size, f'objective.{self.gen}.shape')

  def _draws(self, width, key, num):
    return jax.random.normal(key, (num, width))

  def _captions(self, players, batch, key):
    """One caption of each image, and their vectors [B, E]."""
    captions = text_models.choose(batch[self.text.field], key)
    return captions, self.text.apply(players['text'], captions)

  def disc_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    keys = jax.random.split(key, 5)
    key_choice, key_wrong, key_draw, key_real, key_fake = keys
    captions, texts = self._captions(players, batch, key_choice)
    order, wrong = mismatched(collectives.gather(captions), key_wrong)
    others = collectives.own_part(collectives.gather(texts)[order])
    wrong = collectives.own_part(wrong)
    pairs = jnp.stack([texts, others])  # [2, B, E]
    images = self._real(batch)
    (real, other), state = self.score(players, images, pairs, key_real)
    players = {**players, self.disc: {**players[self.disc], **state}}
    images = self.draw(players, texts, key_draw).images
    (fake,), state = self.score(players, images, texts[None], key_fake)

    loss = LOSSES[self.loss]
    labels = (self.label,) if loss.labels else ()
    wrong_pairs = jnp.mean(wrong * loss.fake(other))
    total = jnp.mean(loss.real(real, *labels))
    total += self.mismatch * wrong_pairs
    total += (1 - self.mismatch) * jnp.mean(loss.fake(fake))
    metrics = {
      'real_accuracy': jnp.mean(real > loss.boundary),
      'wrong_accuracy': jnp.mean(other <= loss.boundary),
      'fake_accuracy': jnp.mean(fake <= loss.boundary),
    }
    return total, Aux(metrics, {self.disc: state})

  def judge_and_images(self, players: Players, batch: Batch, key: jax.Array):
    key_choice, key_draw, key_score = jax.random.split(key, 3)
    _, texts = self._captions(players, batch, key_choice)
    fake = self.draw(players, texts, key_draw).images  # where it is used

    def score(images):
      return self.score(players, images, texts[None], key_score)[0][0]

    return score, self._real(batch), fake

  def gen_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    key_choice, key_draw, key_score = jax.random.split(key, 3)
    _, texts = self._captions(players, batch, key_choice)
    drawn = self.draw(players, texts, key_draw)
    (logits,), _ = self.score(players, drawn.images, texts[None], key_score)
    kl = jnp.mean(drawn.kl)
    total = jnp.mean(LOSSES[self.loss].gen(logits)) + self.kl * kl
    metrics = {'logits': jnp.mean(logits), 'kl': kl}
    return total, Aux(metrics, {self.gen: drawn.state})

  # What the trained model can do.

  def predict_fns(self):
    return {'encode_text': self.read, 'generate': self.illustrate}

  def read(self, players: Players, batch: Batch) -> jax.Array:
    """Vectors of the first captions, [B, E]."""
    captions = text_models.first(batch[self.text.field])
    return self.text.apply(players['text'], captions)

  def illustrate(
    self, players: Players, texts: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Images [B, H, W, C] for captions' vectors [B, E], by stage I."""
    draws = self._draws(self.gen1.condition + self.latent, key, len(texts))
    return self.gen1.apply(players['gen1'], texts, draws)[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageII(StageI):
  """Players `text`, `gen1`, `gen2` and `disc2`; the picture is drawn again.

  Attributes:
    disc1: none any more.
    gen2: `stackgan.Refiner`.
    disc2: `stackgan.Discriminator`.
  """

  disc1: nn.Module | None = None
  gen2: nn.Module
  disc2: nn.Module

  stage: ClassVar[str] = '2'

  def _init_later(self, players, texts, key):
    images = StageI.illustrate(self, players, texts, key=key)
    draws = self._draws(self.gen2.condition, key, len(texts))
    return {'gen2': self.gen2.init(key, images, texts, draws)}

  def draw(self, players: Players, texts: jax.Array, key: jax.Array) -> Drawn:
    key_sketch, key_draw = jax.random.split(key)
    images = self.sketch(players, texts, key=key_sketch)
    draws = self._draws(self.gen2.condition, key_draw, len(texts))
    return _drawn(*_trained(self.gen2, players['gen2'], images, texts, draws))

  def predict_fns(self):
    return {**super().predict_fns(), 'generate_stage1': self.sketch}

  def sketch(
    self, players: Players, texts: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Stage I's images, [B, h, w, C]."""
    return super().illustrate(players, texts, key=key)

  def illustrate(
    self, players: Players, texts: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Images [B, H, W, C] for captions' vectors [B, E], by both stages.

    With the same key, those of `sketch` drawn again.
    """
    images = self.sketch(players, texts, key=key)
    draws = self._draws(
      self.gen2.condition, jax.random.fold_in(key, 2), len(texts)
    )
    return self.gen2.apply(players['gen2'], images, texts, draws)[0]


def mismatched(
  captions: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Which caption of the batch each image is wrongly given.

  All are moved on by one number of places, drawn at random.

  Args:
    captions: of all devices, [B, ...], as they are read.
    key: of the draw; that of the first device counts.

  Returns:
    Rows, int [B], and [B], 1 where that caption differs from the image's own,
    0 where it happens to be the same.
  """
  count = len(captions)
  shift = collectives.broadcast_first(
    jax.random.randint(key, (), 1, max(count, 2))
  )
  order = (jnp.arange(count) + shift) % count
  flat = captions.reshape(count, -1)
  return order, jnp.any(flat != flat[order], axis=-1).astype(jnp.float32)


def _trained(network, variables, *inputs):
  """Applies a network in training; returns its output and new collections."""
  mutable = [name for name in variables if name != 'params']
  return network.apply(variables, *inputs, train=True, mutable=mutable)


def _drawn(made, state):
  images, mean, log_variance = made
  kl = jnp.sum(kl_standard_normal(mean, log_variance), axis=-1)
  return Drawn(images, kl, state)
