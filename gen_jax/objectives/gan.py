"""Generative adversarial networks, with any adversarial loss.

GAN (Goodfellow et al. 2014), DCGAN (Radford et al. 2015), WGAN (Arjovsky et al.
2017), WGAN-GP (Gulrajani et al. 2017) and the conditional GAN (Mirza and
Osindero 2014) differ in their networks, loss, regularizers and conditioning.
"""

import dataclasses
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from gen_jax.losses.augmentation import AUGMENTATIONS
from gen_jax.objectives.parts import adversarial
from gen_jax.objectives.parts.conditioning import Conditioning, Unconditional
from gen_jax.objectives.parts.labels import all_classes, check_labeled
from gen_jax.objectives.parts.latents import Latents, Normal
from gen_jax.objectives.parts.regularizers import (
  Regularizer,
  Scorer,
  augmented,
)
from gen_jax.registry.fields import (
  Fraction,
  Size,
  Weight,
  one_of,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GAN:
  """Players `gen` and `disc`, which distinguishes data from generated images.

  One step is an iteration of algorithm 1 of Goodfellow et al.: the
  discriminator descends its loss, and after each `disc_steps` of its updates
  the generator descends its own, on new latents. With the loss 'wasserstein'
  `disc` is the critic f of Arjovsky et al., and the metric
  `wasserstein_distance` is its estimate E[f(x)] - E[f(G(z))], in units of the
  critic's Lipschitz constant.

  The images of the data and of the generator are two batches for the
  discriminator, each normalized by its own statistics (Radford et al. 2015,
  section 3). Statistics of a player change in its own update alone.

  Attributes:
    gen: inputs [B, Z] (see `conditioning`), train -> images [B, H, W, C].
    disc: images [B / pack, H, W, C pack], train -> logits [B / pack].
    latents: the prior of the generator's latents.
    loss: one of `ADVERSARIAL_LOSSES`, see gen_jax/losses/adversarial.py.
    real_label: of the data, less than 1 for one-sided label smoothing.
    disc_steps: updates of the discriminator for each of the generator.
    regularizers: penalties on the discriminator.
    conditioning: how the networks get to know the class.
    matching_aware_weight: of a third term of the discriminator's loss, for real
      images with the class of another one (Reed et al. 2016, algorithm 1).
    clip_weights: c, the discriminator's weights are clipped to [-c, c] before
      each of its updates, as in the program of Arjovsky et al.; 0 for none.
    augment: augmentations of all images that the discriminator gets in
      training, see gen_jax/losses/augmentation.py.
    pack: images that the discriminator gets at a time, joined along their
      channels (PacGAN, Lin et al. 2018, section 3); it divides the batch.
  """

  gen: nn.Module
  disc: nn.Module
  latents: Latents = Normal()
  loss: Annotated[str, one_of(ADVERSARIAL_LOSSES)] = 'non_saturating'
  real_label: Fraction = 1.0
  disc_steps: Size = 1
  regularizers: tuple[Regularizer, ...] = ()
  conditioning: Conditioning = Unconditional()
  matching_aware_weight: Fraction = 0.0
  clip_weights: Weight = 0.0
  augment: tuple[Annotated[str, one_of(AUGMENTATIONS)], ...] = ()
  pack: Size = 1

  pixels: ClassVar[str] = 'symmetric'

  def __post_init__(self) -> None:
    adversarial.check_real_label(self.loss, self.real_label)
    if self.matching_aware_weight and not self.classes:
      raise InputError(
        f'objective.matching_aware_weight={self.matching_aware_weight}: needs '
        "labels, so set objective.conditioning.name='conditioning.OneHot'."
      )
    if self.pack != 1 and not self.conditioning.packs:
      raise InputError(
        f'objective.pack={self.pack}: with conditioning.'
        f'{type(self.conditioning).__name__} the discriminator gets one image '
        'at a time, so set it to 1.'
      )

  @property
  def classes(self) -> int:
    """Returns the number of classes that the networks know; 0 for none."""
    return self.conditioning.classes

  @property
  def losses(self) -> AdversarialLoss:
    """Returns the losses of both players."""
    return ADVERSARIAL_LOSSES[self.loss]

  @property
  def generator(self) -> nn.Module:
    """Returns the network of the player `gen`."""
    return self.conditioning.network(self.gen)

  @property
  def discriminator(self) -> nn.Module:
    """Returns the network of the player `disc`."""
    return self.conditioning.network(self.disc)

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of both players."""
    if self.classes:
      check_labeled(batch, self)
    adversarial.check_images_can_be_augmented(self.augment, batch['image'])
    players = adversarial.init_players(
      self.generator,
      self.discriminator,
      lambda key, batch: self.draw(key, batch, len(batch['image'])),
      self.discriminator_inputs,
      batch,
      key,
      self.pack,
    )
    adversarial.check_no_batch_norm(players, 'disc', self.regularizers)
    if self.conditioning.has_head:
      adversarial.check_auxiliary_head(
        self.disc, players['disc'], batch['image'], self.classes
      )
    return players

  def updates(self) -> tuple[Update, ...]:
    """Returns the discriminator's updates, then the generator's."""
    whole_batch = ''
    if self.matching_aware_weight:
      whole_batch = (
        'objective.matching_aware_weight pairs each image with the label of '
        'another one'
      )
    disc = adversarial.disc_updates(
      self.disc_loss,
      self.regularizers,
      self.scorer,
      project=self.clip,
      whole_batch=whole_batch,
      check_batch=lambda size, local: adversarial.check_pack(self.pack, local),
    )
    gen = Update(
      wrt=('gen',),
      loss=self.gen_loss,
      every=self.disc_steps,
      whole_batch=whole_batch,
      warnings=adversarial.warnings,
    )
    return *disc, gen

  # Losses.

  def disc_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the discriminator's loss, with the penalties of each step."""
    del step
    # A WGAN trains on the same latents with a penalty and without.
    key, key_penalties = adversarial.split_key(
      key, self.regularizers, always=self.loss == 'wasserstein'
    )
    key_wrong = key
    if self.classes:
      key, key_wrong = jax.random.split(key)
    key_gen, key_real, key_fake = jax.random.split(key, 3)
    images, _ = self.generate(players, batch, key_gen)
    real, state = self.score(players, batch['image'], batch, key_real)
    after_real = adversarial.with_state(players, 'disc', state)
    fake, state = self.score(after_real, images, batch, key_fake)

    total = self.losses.disc_loss(real, fake, self.real_label)
    metrics = adversarial.logit_metrics(self.losses, real, fake)
    if self.loss == 'wasserstein':
      distance = metrics['real_logits'] - metrics['fake_logits']
      metrics['wasserstein_distance'] = distance
    if self.matching_aware_weight:
      mismatch = self.mismatch_loss(players, batch, real, key_wrong)
      total += self.matching_aware_weight * mismatch
      metrics['mismatch_loss'] = mismatch
    penalty, more = adversarial.penalties(
      self.regularizers,
      self.scorer(players, batch).with_fake(images),
      key_penalties,
    )
    return total + penalty, Aux({**metrics, **more}, {'disc': state})

  def gen_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the generator's loss."""
    del step
    key_gen, key_fake = jax.random.split(key)
    images, state = self.generate(players, batch, key_gen)
    fake, _ = self.score(players, images, batch, key_fake)
    real = fake
    if self.losses.paired:
      key_real = jax.random.fold_in(key_fake, 2)
      real, _ = self.score(players, batch['image'], batch, key_real)
    total = self.losses.gen_loss(fake, real)
    return total, Aux({'logits': jnp.mean(fake)}, {'gen': state})

  def mismatch_loss(
    self, players: Players, batch: Batch, real: jax.Array, key: jax.Array
  ) -> jax.Array:
    """Returns the loss of real images with the labels of other images.

    Args:
      players: both.
      batch: real images and their labels.
      real: logits of these, [B / pack].
      key: for the discriminator.
    """
    # The labels of the neighbors in the batch, which is shuffled; where such a
    # label is right by chance the example does not count.
    labels = jnp.roll(collectives.gather(batch['label']), 1)
    labels = collectives.own_part(labels)
    wrong = (labels != batch['label']).astype(jnp.float32)
    mismatched = {**batch, 'label': labels}
    logits, _ = self.score(players, batch['image'], mismatched, key)
    wrong = jnp.mean(wrong.reshape(len(logits), -1), axis=-1)
    if self.losses.paired:
      return jnp.mean(wrong * self.losses.real(real - logits))
    return jnp.mean(wrong * self.losses.fake(logits))

  def clip(self, params: Any) -> Any:
    """Returns the discriminator's parameters within the bound."""
    bound = self.clip_weights
    if not bound:
      return params
    return jax.tree.map(lambda w: jnp.clip(w, -bound, bound), params)

  # The players in training.

  def draw(self, key: jax.Array, batch: Batch, num: int) -> jax.Array:
    """Draws inputs of the generator, [num, Z]."""
    latents = self.latents.sample(key, num)
    return self.conditioning.generator_inputs(latents, batch)

  def generate(
    self, players: Players, batch: Batch, key: jax.Array
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Generates as many images as the batch has, and gen's collections."""
    key_latents, key_gen = jax.random.split(key)
    inputs = self.draw(key_latents, batch, len(batch['image']))
    return adversarial.apply(self.generator, players['gen'], inputs, key_gen)

  def score(
    self, players: Players, images: jax.Array, batch: Batch, key: jax.Array
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns logits [B / pack] of augmented images, and disc's collections."""
    images, key = augmented(images, self.augment, key)
    return self.logits(players, images, batch, key)

  def logits(
    self, players: Players, images: jax.Array, batch: Batch, key: jax.Array
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns logits [B / pack] of images, and disc's collections."""
    inputs = self.discriminator_inputs(images, batch)
    outputs, state = adversarial.apply(
      self.discriminator, players['disc'], inputs, key
    )
    return self.conditioning.logits(outputs, batch), state

  def discriminator_inputs(self, images: jax.Array, batch: Batch) -> jax.Array:
    """Returns images with their classes, in packs, [B / pack, H, W, C']."""
    images = self.conditioning.discriminator_inputs(images, batch)
    return adversarial.packed(images, self.pack)

  def scorer(self, players: Players, batch: Batch) -> Scorer:
    """Returns the discriminator as a function of images, for regularizers.

    Args:
      players: both.
      batch: real images and their labels.
    """

    def logits(images: jax.Array, key: jax.Array) -> jax.Array:
      return self.logits(players, images, batch, key)[0]

    def fake(key: jax.Array) -> jax.Array:
      return self.generate(players, batch, key)[0]

    return Scorer(logits, batch['image'], fake, self.augment, self.pack)

  # Capabilities of the trained model.

  def predict_fns(self) -> Capabilities:
    """Returns sample, discriminate and, for conditional models, more."""
    fns = Capabilities(sample=self.sample, discriminate=self.discriminate)
    if self.classes:
      fns['sample_classes'] = self.sample_classes
    return fns

  def sample(self, players: Players, *, key: jax.Array, num: int) -> jax.Array:
    """Generates images, of all classes in turn, [num, H, W, C]."""
    labels = all_classes(num, max(self.classes, 1))
    return self.sample_classes(players, labels, key=key)

  def sample_classes(
    self, players: Players, labels: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Generates images of labels [N] or class weights [N, K], [N, H, W, C]."""
    inputs = self.draw(key, {'label': labels}, labels.shape[0])
    return self.generator.apply(players['gen'], inputs)

  def discriminate(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the logits of the images, [B / pack]."""
    inputs = self.discriminator_inputs(batch['image'], batch)
    outputs = self.discriminator.apply(players['disc'], inputs)
    return self.conditioning.logits(outputs, batch)
