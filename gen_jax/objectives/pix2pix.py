"""Translation learned from pairs, with a discriminator (Isola et al. 2017)."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES
from gen_jax.losses.cycle import absolute
from gen_jax.models.layers.batches import join, split
from gen_jax.objectives.parts import adversarial, translation
from gen_jax.objectives.parts.regularizers import Regularizer, Scorer
from gen_jax.registry.fields import Weight, one_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pix2Pix:
  """Players `gen` and `disc`, which sees an image beside its translation.

  With x of the source domain and y of the target, the discriminator ascends
  half of E[log D(x, y)] + E[log(1 - D(x, G(x)))], means over patches (eq. 1 and
  section 3.3). Then the generator descends -E[log D(x, G(x))] + l1_weight
  E|y - G(x)|, a mean over pixels (eq. 4). Its noise is dropout, drawn anew in
  each update.

  Attributes:
    gen: images of the source, train -> images of the target; see
      models/translation.py.
    disc: source and target beside each other [B, H, W, C + K], train -> logits
      of patches [B, h, w].
    direction: 'ab', from a to b, or 'ba'.
    loss: a name in losses/adversarial.py; 'non_saturating' in the paper.
    adversarial_weight: of the generator's adversarial term; with 0 the
      discriminator is not trained.
    l1_weight: lambda.
    dropout_at_test: whether a trained model's dropout stays on, as in the
      paper; its draw is fixed.
    regularizers: penalties on the discriminator's mean logit as a function of
      the target image.
  """

  gen: nn.Module
  disc: nn.Module
  direction: Literal['ab', 'ba'] = 'ab'
  loss: Annotated[str, one_of(ADVERSARIAL_LOSSES)] = 'non_saturating'
  adversarial_weight: Weight = 1.0
  l1_weight: Weight = 100.0
  dropout_at_test: bool = False
  regularizers: tuple[Regularizer, ...] = ()

  pixels: ClassVar[str] = 'symmetric'
  classes: ClassVar[int] = 0

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of both players."""
    key_gen, key_disc = jax.random.split(key)
    gen = translation.init_generator(
      self.gen, 'gen', key_gen, batch, self.direction
    )
    source, target = self._domains(batch)
    pairs = jnp.concatenate([source, target], axis=-1)
    disc = translation.init_network(self.disc, 'disc', key_disc, pairs)
    return {'gen': gen, 'disc': disc}

  def updates(self) -> tuple[Update, ...]:
    """Returns the update of the discriminator, then that of the generator."""
    gen = Update(('gen',), self.gen_loss, warnings=adversarial.warnings)
    if not self.adversarial_weight:
      return (gen,)
    disc = adversarial.disc_updates(
      self.disc_loss, self.regularizers, self.scorer
    )
    return *disc, gen

  def disc_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns half of the loss of real and generated pairs."""
    del step
    key, key_penalties = adversarial.split_key(key, self.regularizers)
    loss = ADVERSARIAL_LOSSES[self.loss]
    source, target = self._domains(batch)
    made = translation.train_apply(self.gen, players['gen'], source, key)
    logits = self._discriminate(
      players,
      join([source, source]),
      join([target, made]),
    )
    real, fake = split(logits, 2)
    total = loss.disc_loss(real, fake) / 2
    penalty, metrics = adversarial.penalties(
      self.regularizers,
      self.scorer(players, batch).with_fake(made),
      key_penalties,
    )
    metrics |= adversarial.logit_metrics(loss, real, fake)
    return total + penalty, Aux(metrics)

  def gen_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the weighted sum of the adversarial term and the error."""
    del step
    source, target = self._domains(batch)
    made = translation.train_apply(self.gen, players['gen'], source, key)
    error = jnp.mean(absolute(target, made))
    total, metrics = self.l1_weight * error, {'l1': error}
    if self.adversarial_weight:
      loss = ADVERSARIAL_LOSSES[self.loss]
      logits = self._discriminate(players, source, made)
      real = logits  # unused
      if loss.paired:
        real = self._discriminate(players, source, target)
      term = loss.gen_loss(logits, real)
      total += self.adversarial_weight * term
      metrics |= {'adversarial': term, 'logits': jnp.mean(logits)}
    return total, Aux(metrics)

  def scorer(self, players: Players, batch: Batch) -> Scorer:
    """Returns the discriminator as a function of targets, for regularizers.

    Args:
      players: both.
      batch: pairs.
    """
    source, target = self._domains(batch)

    def logits(targets: jax.Array, key: jax.Array) -> jax.Array:
      del key
      found = self._discriminate(players, source, targets)
      return translation.mean_logit(found)

    def fake(key: jax.Array) -> jax.Array:
      return translation.train_apply(self.gen, players['gen'], source, key)

    return Scorer(logits, target, fake)

  def predict_fns(self) -> Capabilities:
    """Returns the translation in the direction that is trained."""
    if self.direction == 'ab':
      return {'translate_ab': self.translate}
    return {'translate_ba': self.translate}

  def translate(self, players: Players, batch: Batch) -> jax.Array:
    """Returns translations of the source images, which may have any size."""
    images = batch[self.direction[0]]
    key = jax.random.key(0) if self.dropout_at_test else None
    return translation.translate(self.gen, players['gen'], images, key)

  def _domains(self, batch: Batch) -> tuple[jax.Array, jax.Array]:
    source, target = (batch[k] for k in self.direction)
    return source, target

  def _discriminate(
    self, players: Players, source: jax.Array, target: jax.Array
  ) -> jax.Array:
    pairs = jnp.concatenate([source, target], axis=-1)
    return self.disc.apply(players['disc'], pairs, train=True)
