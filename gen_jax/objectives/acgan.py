"""The auxiliary classifier GAN (Odena et al. 2017)."""

import dataclasses
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from gen_jax.losses.augmentation import AUGMENTATIONS
from gen_jax.losses.classification import softmax_cross_entropy
from gen_jax.objectives.parts import adversarial
from gen_jax.objectives.parts.labels import all_classes, check_labeled, one_hot
from gen_jax.objectives.parts.latents import Latents, Normal
from gen_jax.objectives.parts.regularizers import (
  Regularizer,
  Scorer,
  augmented,
)
from gen_jax.registry.fields import (
  Count,
  Fraction,
  Size,
  Weight,
  one_of,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ACGAN:
  """The generator gets the class; the discriminator has to recognize it.

  With L_S = E[log P(real|x)] + E[log P(fake|G(z, y))] and L_C = E[log P(y|x)] +
  E[log P(y|G(z, y))] (eq. 2 and 3), the discriminator maximizes L_S + L_C and
  the generator L_C - L_S, or its non-saturating form.

  Attributes:
    gen: latents and one-hot classes [B, Z + K], train -> images [B, H, W, C].
    disc: images, train -> logits [B] and class logits [B, K].
    classes: K; a batch has 'label', int32 [B], in [0, K).
    class_weight: of L_C.
    latents: the prior of the generator's latents.
    loss: the form of L_S, one of `ADVERSARIAL_LOSSES`.
    real_label: of the data, less than 1 for one-sided label smoothing.
    disc_steps: updates of the discriminator for each of the generator.
    regularizers: penalties on the discriminator.
    augment: augmentations of all images that the discriminator gets.
  """

  gen: nn.Module
  disc: nn.Module
  classes: Count = 10
  class_weight: Weight = 1.0
  latents: Latents = Normal()
  loss: Annotated[str, one_of(ADVERSARIAL_LOSSES)] = 'non_saturating'
  real_label: Fraction = 1.0
  disc_steps: Size = 1
  regularizers: tuple[Regularizer, ...] = ()
  augment: tuple[Annotated[str, one_of(AUGMENTATIONS)], ...] = ()

  pixels: ClassVar[str] = 'symmetric'

  def __post_init__(self) -> None:
    adversarial.check_real_label(self.loss, self.real_label)

  @property
  def losses(self) -> AdversarialLoss:
    """Returns the losses that distinguish real from generated images."""
    return ADVERSARIAL_LOSSES[self.loss]

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of both players."""
    check_labeled(batch, self)
    adversarial.check_images_can_be_augmented(self.augment, batch['image'])
    players = adversarial.init_players(
      self.gen,
      self.disc,
      lambda key, batch: self.draw(key, batch['label']),
      lambda images, batch: images,
      batch,
      key,
    )
    adversarial.check_no_batch_norm(players, 'disc', self.regularizers)
    adversarial.check_auxiliary_head(
      self.disc, players['disc'], batch['image'], self.classes
    )
    return players

  def updates(self) -> tuple[Update, ...]:
    """Returns the discriminator's updates, then the generator's."""
    disc = adversarial.disc_updates(
      self.disc_loss,
      self.regularizers,
      self.scorer,
    )
    gen = Update(
      wrt=('gen',),
      loss=self.gen_loss,
      every=self.disc_steps,
      warnings=adversarial.warnings,
    )
    return *disc, gen

  # Losses.

  def disc_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns -L_S - class_weight L_C, with the penalties of each step."""
    del step
    key, key_penalties = adversarial.split_key(key, self.regularizers)
    key_gen, key_real, key_fake = jax.random.split(key, 3)
    images, _ = self.generate(players, batch, key_gen)
    (real, real_classes), state = self.score(players, batch['image'], key_real)
    after_real = adversarial.with_state(players, 'disc', state)
    (fake, fake_classes), state = self.score(after_real, images, key_fake)

    source_loss = self.losses.disc_loss(real, fake, self.real_label)
    label = batch['label']
    class_loss = jnp.mean(softmax_cross_entropy(real_classes, label))
    class_loss += jnp.mean(softmax_cross_entropy(fake_classes, label))
    penalty, more = adversarial.penalties(
      self.regularizers,
      self.scorer(players, batch).with_fake(images),
      key_penalties,
    )
    metrics = {
      **adversarial.logit_metrics(self.losses, real, fake),
      'class_accuracy': jnp.mean(jnp.argmax(real_classes, axis=-1) == label),
      'class_loss': class_loss,
      **more,
    }
    total = source_loss + self.class_weight * class_loss
    return total + penalty, Aux(metrics, {'disc': state})

  def gen_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the generator's form of L_S, less class_weight L_C."""
    del step
    key_gen, key_fake = jax.random.split(key)
    images, state = self.generate(players, batch, key_gen)
    (fake, classes), _ = self.score(players, images, key_fake)
    real = fake
    if self.losses.paired:
      key_real = jax.random.fold_in(key_fake, 2)
      (real, _), _ = self.score(players, batch['image'], key_real)
    source_loss = self.losses.gen_loss(fake, real)
    class_loss = jnp.mean(softmax_cross_entropy(classes, batch['label']))
    metrics = {'logits': jnp.mean(fake), 'class_loss': class_loss}
    total = source_loss + self.class_weight * class_loss
    return total, Aux(metrics, {'gen': state})

  # The players in training.

  def draw(self, key: jax.Array, labels: jax.Array) -> jax.Array:
    """Draws latents for labels [N] or weights [N, K], [N, Z + K]."""
    latents = self.latents.sample(key, labels.shape[0])
    return jnp.concatenate([latents, one_hot(labels, self.classes)], axis=-1)

  def generate(
    self, players: Players, batch: Batch, key: jax.Array
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Generates an image of each label, and gen's new collections."""
    key_latents, key_gen = jax.random.split(key)
    inputs = self.draw(key_latents, batch['label'])
    return adversarial.apply(self.gen, players['gen'], inputs, key_gen)

  def score(
    self, players: Players, images: jax.Array, key: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array], dict[str, Any]]:
    """Returns both heads' logits, and the discriminator's collections."""
    images, key = augmented(images, self.augment, key)
    return adversarial.apply(self.disc, players['disc'], images, key)

  def scorer(self, players: Players, batch: Batch) -> Scorer:
    """Returns the discriminator as a function of images, for regularizers.

    Args:
      players: both.
      batch: real images.
    """

    def logits(images: jax.Array, key: jax.Array) -> jax.Array:
      return adversarial.apply(self.disc, players['disc'], images, key)[0][0]

    def fake(key: jax.Array) -> jax.Array:
      return self.generate(players, batch, key)[0]

    return Scorer(logits, batch['image'], fake, self.augment)

  # Capabilities of the trained model.

  def predict_fns(self) -> Capabilities:
    """Returns sample, sample_classes, discriminate and classify."""
    return Capabilities(
      sample=self.sample,
      sample_classes=self.sample_classes,
      discriminate=self.discriminate,
      classify=self.classify,
    )

  def sample(self, players: Players, *, key: jax.Array, num: int) -> jax.Array:
    """Generates images of all classes in turn, [num, H, W, C]."""
    labels = all_classes(num, self.classes)
    return self.sample_classes(players, labels, key=key)

  def sample_classes(
    self, players: Players, labels: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Generates images of labels [N] or class weights [N, K], [N, H, W, C]."""
    return self.gen.apply(players['gen'], self.draw(key, labels))

  def discriminate(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the logits of the images, [B]."""
    return self.disc.apply(players['disc'], batch['image'])[0]

  def classify(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the class logits of the images, [B, K]."""
    return self.disc.apply(players['disc'], batch['image'])[1]
