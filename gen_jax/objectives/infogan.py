"""InfoGAN: latent codes that can be read off the image (Chen et al. 2016)."""

import dataclasses
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from gen_jax.losses.augmentation import AUGMENTATIONS
from gen_jax.losses.classification import softmax_cross_entropy
from gen_jax.losses.densities import log_normal
from gen_jax.objectives.parts import adversarial
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
class InfoGAN:
  """An auxiliary head of the discriminator, Q, reads codes off the image.

  min_{G, Q} max_D V(D, G) - L_I(G, Q) (eq. 6) with
  L_I = E[log Q(c|G(z, c))] + H(c).
  The generator gets noise, one category of `categories` and `continuous` values
  that are uniform in [-1, 1]. Q is a Gaussian of variance 1 for the values, as
  is usual: their weight then says how precise they should be. As in the
  authors' program, both updates maximize L_I.

  Attributes:
    gen: noise, one-hot category and values [B, Z + categories + continuous],
      train -> images [B, H, W, C].
    disc: images, train -> logits [B] and Q's [B, categories + continuous].
    latents: the prior of the noise.
    categories: of the categorical code, c_1.
    continuous: the number of values, c_2, c_3, ...
    category_weight: lambda for the category.
    continuous_weight: lambda for the values.
    loss: one of `ADVERSARIAL_LOSSES`.
    real_label: of the data, less than 1 for one-sided label smoothing.
    disc_steps: updates of the discriminator for each of the generator.
    regularizers: penalties on the discriminator.
    augment: augmentations of all images that the discriminator gets.
  """

  gen: nn.Module
  disc: nn.Module
  latents: Latents = Normal()
  categories: Size = 10
  continuous: Count = 2
  category_weight: Weight = 1.0
  continuous_weight: Weight = 0.1
  loss: Annotated[str, one_of(ADVERSARIAL_LOSSES)] = 'non_saturating'
  real_label: Fraction = 1.0
  disc_steps: Size = 1
  regularizers: tuple[Regularizer, ...] = ()
  augment: tuple[Annotated[str, one_of(AUGMENTATIONS)], ...] = ()

  pixels: ClassVar[str] = 'symmetric'
  classes: ClassVar[int] = 0

  def __post_init__(self) -> None:
    adversarial.check_real_label(self.loss, self.real_label)

  @property
  def losses(self) -> AdversarialLoss:
    """Returns the losses that distinguish real from generated images."""
    return ADVERSARIAL_LOSSES[self.loss]

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of both players."""
    adversarial.check_images_can_be_augmented(self.augment, batch['image'])
    players = adversarial.init_players(
      self.gen,
      self.disc,
      lambda key, batch: self.draw(key, len(batch['image'])),
      lambda images, batch: images,
      batch,
      key,
    )
    adversarial.check_no_batch_norm(players, 'disc', self.regularizers)
    adversarial.check_auxiliary_head(
      self.disc,
      players['disc'],
      batch['image'],
      self.categories + self.continuous,
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
    """Returns -V - L_I, with the penalties of each step."""
    del step
    key, key_penalties = adversarial.split_key(key, self.regularizers)
    key_gen, key_real, key_fake = jax.random.split(key, 3)
    images, codes, _ = self.generate(players, batch, key_gen)
    (real, _), state = self.score(players, batch['image'], key_real)
    after_real = adversarial.with_state(players, 'disc', state)
    (fake, predicted), state = self.score(after_real, images, key_fake)

    total = self.losses.disc_loss(real, fake, self.real_label)
    information_loss, metrics = self.information_loss(codes, predicted)
    penalty, more = adversarial.penalties(
      self.regularizers,
      self.scorer(players, batch).with_fake(images),
      key_penalties,
    )
    metrics |= {
      **adversarial.logit_metrics(self.losses, real, fake),
      **more,
    }
    return total + information_loss + penalty, Aux(metrics, {'disc': state})

  def gen_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the generator's loss, less L_I."""
    del step
    key_gen, key_fake = jax.random.split(key)
    images, codes, state = self.generate(players, batch, key_gen)
    (fake, predicted), _ = self.score(players, images, key_fake)
    real = fake
    if self.losses.paired:
      key_real = jax.random.fold_in(key_fake, 2)
      (real, _), _ = self.score(players, batch['image'], key_real)
    total = self.losses.gen_loss(fake, real)
    information_loss, metrics = self.information_loss(codes, predicted)
    metrics['logits'] = jnp.mean(fake)
    return total + information_loss, Aux(metrics, {'gen': state})

  def information_loss(
    self, codes: jax.Array, predicted: jax.Array
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns -L_I but for the constant H(c), and its metrics.

    Args:
      codes: inputs of the generator, [B, Z + categories + continuous].
      predicted: Q's outputs, [B, categories + continuous].
    """
    start = self.latents.size + self.categories
    category = jnp.argmax(codes[:, self.latents.size : start], axis=-1)
    logits = predicted[:, : self.categories]
    mean = predicted[:, self.categories :]
    cross_entropy = jnp.mean(softmax_cross_entropy(logits, category))
    metrics = {
      # At most log(categories) nats.
      'category_information': jnp.log(self.categories) - cross_entropy,
    }
    loss = self.category_weight * cross_entropy
    if self.continuous:
      likelihood = jnp.sum(log_normal(codes[:, start:], mean), axis=-1)
      loss -= self.continuous_weight * jnp.mean(likelihood)
      errors = jnp.square(codes[:, start:] - mean)
      metrics['continuous_error'] = jnp.mean(errors)
    return loss, metrics

  # The players in training.

  def draw(self, key: jax.Array, num: int) -> jax.Array:
    """Draws noise, categories and values, [num, Z + codes]."""
    key_noise, key_category, key_values = jax.random.split(key, 3)
    noise = self.latents.sample(key_noise, num)
    category = jax.random.randint(key_category, (num,), 0, self.categories)
    shape = (num, self.continuous)
    values = jax.random.uniform(key_values, shape, minval=-1)
    return self.join(noise, category, values)

  def join(
    self, noise: jax.Array, category: jax.Array, values: jax.Array
  ) -> jax.Array:
    """Joins noise [B, Z], categories [B] and values [B, continuous]."""
    one_hot = jax.nn.one_hot(category, self.categories)
    return jnp.concatenate([noise, one_hot, values], axis=-1)

  def generate(
    self, players: Players, batch: Batch, key: jax.Array
  ) -> tuple[jax.Array, jax.Array, dict[str, Any]]:
    """Generates images; returns their inputs and gen's collections too."""
    key_latents, key_gen = jax.random.split(key)
    codes = self.draw(key_latents, len(batch['image']))
    images, state = adversarial.apply(self.gen, players['gen'], codes, key_gen)
    return images, codes, state

  def score(
    self, players: Players, images: jax.Array, key: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array], dict[str, Any]]:
    """Returns both heads' outputs, and the discriminator's collections."""
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
    """Returns sample, sample_codes, discriminate and classify."""
    return Capabilities(
      sample=self.sample,
      sample_codes=self.sample_codes,
      discriminate=self.discriminate,
      classify=self.classify,
    )

  def sample(self, players: Players, *, key: jax.Array, num: int) -> jax.Array:
    """Generates images, [num, H, W, C]."""
    return self.gen.apply(players['gen'], self.draw(key, num))

  def sample_codes(
    self,
    players: Players,
    categories: jax.Array,
    values: jax.Array,
    *,
    key: jax.Array,
  ) -> jax.Array:
    """Generates images of codes [N] and [N, continuous], all with one noise."""
    noise = self.latents.sample(key, 1)
    noise = jnp.broadcast_to(noise, (categories.shape[0], self.latents.size))
    codes = self.join(noise, categories, values)
    return self.gen.apply(players['gen'], codes)

  def discriminate(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the logits of the images, [B]."""
    return self.disc.apply(players['disc'], batch['image'])[0]

  def classify(self, players: Players, batch: Batch) -> jax.Array:
    """Returns logits of the categories, in an order of their own, [B, K]."""
    outputs = self.disc.apply(players['disc'], batch['image'])[1]
    return outputs[:, : self.categories]
