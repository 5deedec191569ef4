"""StackGAN: images from captions, in two stages (Zhang et al. 2016).

Stage I generates small images from captions, stage II large ones from these and
the captions. In each stage the discriminator gets real images with their
captions, real images with captions of others, and generated images with the
captions they were made for (eq. 3 to 6). The players of stage I and the text
encoder are not in any update of stage II, so they stay as they are.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.distributed import collectives
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from gen_jax.losses.augmentation import AUGMENTATIONS, augment
from gen_jax.losses.divergences import kl_standard_normal
from gen_jax.models import text as text_models
from gen_jax.models.layers.resampling import downsample_to
from gen_jax.objectives.parts import adversarial
from gen_jax.objectives.parts.regularizers import Regularizer, Scorer
from gen_jax.registry.fields import (
  Fraction,
  Size,
  Weight,
  one_of,
)


@dataclasses.dataclass(frozen=True)
class Generated:
  """Images of a generator in training.

  Attributes:
    images: [B, H, W, C].
    kl: divergence of each condition from N(0, 1), [B], in nats.
    state: the generator's new collections.
  """

  images: jax.Array
  kl: jax.Array
  state: dict[str, Any]


# Caption vectors [B, E] and a key to images, in training.
GenerateFn = Callable[[Players, jax.Array, jax.Array], Generated]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageI:
  """Players `text`, `gen1` and `disc1`: small images from captions.

  Attributes:
    text: a network of `models/text.py`, captions -> [B, E].
    gen1: `stackgan.Generator`.
    disc1: `stackgan.Discriminator`.
    latent_size: Z, the numbers in a latent z of N(0, 1).
    loss: one of `ADVERSARIAL_LOSSES`, see gen_jax/losses/adversarial.py.
    real_label: of the data, less than 1 for one-sided label smoothing.
    disc_steps: updates of the discriminator for each of the generator.
    regularizers: penalties on the discriminator.
    matching_aware_weight: of real images with wrong captions in the
      discriminator's loss; that of generated images is 1 less it (Reed et al.
      2016, algorithm 1).
    kl_weight: of the divergence of conditioning augmentation, which is summed
      over its dimensions. The authors' program takes twice their mean: 1/64 of
      the sum for 128 dimensions.
    augment: augmentations of all images that the discriminator gets in
      training, see gen_jax/losses/augmentation.py.
  """

  text: nn.Module
  gen1: nn.Module
  disc1: nn.Module
  latent_size: Size = 100
  loss: Annotated[str, one_of(ADVERSARIAL_LOSSES)] = 'non_saturating'
  real_label: Fraction = 1.0
  disc_steps: Size = 1
  regularizers: tuple[Regularizer, ...] = ()
  matching_aware_weight: Fraction = 0.5
  kl_weight: Weight = 1 / 64
  augment: tuple[Annotated[str, one_of(AUGMENTATIONS)], ...] = ()

  pixels: ClassVar[str] = 'symmetric'
  classes: ClassVar[int] = 0

  def __post_init__(self) -> None:
    adversarial.check_real_label(self.loss, self.real_label)

  @property
  def matching(self) -> 'MatchingAware':
    """Returns the losses of the stage."""
    return MatchingAware(
      generate=self.generate_small,
      gen='gen1',
      disc='disc1',
      network=self.disc1,
      size=self.gen1.shape[0],
      options=self,
    )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of the players."""
    keys = jax.random.split(key, 4)
    batch, players = _init_text(self.text, batch, keys[0])
    texts = self.encode_text(players, batch)
    draws = jax.random.normal(keys[1], (2, self._draws))
    players['gen1'] = self.gen1.init(keys[1], texts, draws)
    players['disc1'] = self.matching.init(keys[3], batch, texts)
    return players

  def updates(self) -> tuple[Update, ...]:
    """Returns the discriminator's updates, then the generator's."""
    return self.matching.updates()

  @property
  def _draws(self):
    """Random numbers of an image, for its condition and its latent."""
    return self.gen1.condition + self.latent_size

  def generate_small(
    self, players: Players, texts: jax.Array, key: jax.Array
  ) -> Generated:
    """Generates an image for each caption vector, in training."""
    draws = jax.random.normal(key, (texts.shape[0], self._draws))
    return _generated(self.gen1, players['gen1'], texts, draws)

  # Capabilities of the trained model.

  def predict_fns(self) -> Capabilities:
    """Returns encode_text and generate."""
    return Capabilities(encode_text=self.encode_text, generate=self.generate)

  def encode_text(self, players: Players, batch: Batch) -> jax.Array:
    """Returns vectors of the first captions, [B, E]."""
    captions = text_models.first(batch[self.text.field])
    return self.text.apply(players['text'], captions)

  def generate(
    self, players: Players, texts: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Generates an image for each caption vector, [N, H, W, C]."""
    draws = jax.random.normal(key, (texts.shape[0], self._draws))
    return self.gen1.apply(players['gen1'], texts, draws)[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageII:
  """Players `text`, `gen1`, `gen2` and `disc2`: large images from small ones.

  Attributes:
    text: as in stage I, where it was trained.
    gen1: as in stage I, where it was trained.
    gen2: `stackgan.Refiner`.
    disc2: `stackgan.Discriminator`.
    latent_size: as in stage I.
    loss: as in stage I, as are all fields below.
  """

  text: nn.Module
  gen1: nn.Module
  gen2: nn.Module
  disc2: nn.Module
  latent_size: Size = 100
  loss: Annotated[str, one_of(ADVERSARIAL_LOSSES)] = 'non_saturating'
  real_label: Fraction = 1.0
  disc_steps: Size = 1
  regularizers: tuple[Regularizer, ...] = ()
  matching_aware_weight: Fraction = 0.5
  kl_weight: Weight = 1 / 64
  augment: tuple[Annotated[str, one_of(AUGMENTATIONS)], ...] = ()

  pixels: ClassVar[str] = 'symmetric'
  classes: ClassVar[int] = 0

  def __post_init__(self) -> None:
    adversarial.check_real_label(self.loss, self.real_label)

  @property
  def matching(self) -> 'MatchingAware':
    """Returns the losses of the stage."""
    return MatchingAware(
      generate=self.generate_large,
      gen='gen2',
      disc='disc2',
      network=self.disc2,
      size=self.gen2.shape[0],
      options=self,
    )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of the players."""
    keys = jax.random.split(key, 4)
    batch, players = _init_text(self.text, batch, keys[0])
    texts = self.encode_text(players, batch)
    draws = jax.random.normal(keys[1], (2, self._draws))
    players['gen1'] = self.gen1.init(keys[1], texts, draws)
    images = self.generate_stage1(players, texts, key=keys[2])
    draws = jax.random.normal(keys[2], (2, self.gen2.condition))
    players['gen2'] = self.gen2.init(keys[2], images, texts, draws)
    players['disc2'] = self.matching.init(keys[3], batch, texts)
    return players

  def updates(self) -> tuple[Update, ...]:
    """Returns the discriminator's updates, then the generator's."""
    return self.matching.updates()

  @property
  def _draws(self):
    """Random numbers of a small image, for its condition and its latent."""
    return self.gen1.condition + self.latent_size

  def generate_large(
    self, players: Players, texts: jax.Array, key: jax.Array
  ) -> Generated:
    """Generates an image for each caption vector, in training."""
    key_small, key_large = jax.random.split(key)
    images = self.generate_stage1(players, texts, key=key_small)
    draws = jax.random.normal(key_large, (texts.shape[0], self.gen2.condition))
    return _generated(self.gen2, players['gen2'], images, texts, draws)

  # Capabilities of the trained model.

  def predict_fns(self) -> Capabilities:
    """Returns encode_text, generate and generate_stage1."""
    return Capabilities(
      encode_text=self.encode_text,
      generate=self.generate,
      generate_stage1=self.generate_stage1,
    )

  def encode_text(self, players: Players, batch: Batch) -> jax.Array:
    """Returns vectors of the first captions, [B, E]."""
    captions = text_models.first(batch[self.text.field])
    return self.text.apply(players['text'], captions)

  def generate_stage1(
    self, players: Players, texts: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Generates a small image for each caption vector, [N, h, w, C]."""
    draws = jax.random.normal(key, (texts.shape[0], self._draws))
    return self.gen1.apply(players['gen1'], texts, draws)[0]

  def generate(
    self, players: Players, texts: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Generates a large image for each caption vector, [N, H, W, C].

    They are made from the small images of the same key.
    """
    images = self.generate_stage1(players, texts, key=key)
    key = jax.random.fold_in(key, 2)
    draws = jax.random.normal(key, (texts.shape[0], self.gen2.condition))
    return self.gen2.apply(players['gen2'], images, texts, draws)[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatchingAware:
  """The losses of one stage, with a matching-aware discriminator.

  Attributes:
    generate: the generator in training, caption vectors to images.
    gen: the player that generates.
    disc: the player that distinguishes.
    network: of the player `disc`: images, caption vectors [T, B, E], train ->
      logits [T, B].
    size: height of the generator's images.
    options: the objective, for its fields from `loss` on.
  """

  generate: GenerateFn
  gen: str
  disc: str
  network: nn.Module
  size: int
  options: StageI | StageII

  @property
  def losses(self) -> AdversarialLoss:
    """Returns the losses of both players."""
    return ADVERSARIAL_LOSSES[self.options.loss]

  def init(self, key: jax.Array, batch: Batch, texts: jax.Array) -> Any:
    """Returns the variables of the discriminator."""
    images, options = self.real_images(batch), self.options
    adversarial.check_images_can_be_augmented(options.augment, images)
    variables = self.network.init(key, images, texts[None])
    adversarial.check_no_batch_norm(
      {self.disc: variables}, self.disc, options.regularizers
    )
    return variables

  def updates(self) -> tuple[Update, ...]:
    """Returns the discriminator's updates, then the generator's."""
    options, whole_batch = self.options, ''
    if options.matching_aware_weight:
      whole_batch = (
        'objective.matching_aware_weight pairs each image with the caption of '
        'another one'
      )
    main, *lazy = adversarial.disc_updates(
      self.disc_loss,
      options.regularizers,
      self.scorer,
      self.disc,
      whole_batch=whole_batch,
    )
    gen = Update(
      wrt=(self.gen,),
      loss=self.gen_loss,
      every=options.disc_steps,
      whole_batch=whole_batch,
      warnings=functools.partial(
        adversarial.warnings, gen=self.gen, disc=self.disc
      ),
    )
    captioned = (
      dataclasses.replace(u, loss=functools.partial(self.captioned, u.loss))
      for u in lazy
    )
    return main, *captioned, gen

  def disc_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the discriminator's loss, with the penalties of each step."""
    del step
    options, loss = self.options, self.losses
    weight = options.matching_aware_weight
    key, key_penalties = adversarial.split_key(key, options.regularizers)
    keys = jax.random.split(key, 5)
    key_caption, key_wrong, key_gen, key_real, key_fake = keys
    captions, texts = self.choose_captions(players, batch, key_caption)
    order, wrong = mismatched(collectives.gather(captions), key_wrong)
    others = collectives.own_part(collectives.gather(texts)[order])
    wrong = collectives.own_part(wrong)
    pairs = jnp.stack([texts, others])  # [2, B, E]
    images = self.real_images(batch)
    (real, other), state = self.score(players, images, pairs, key_real)
    players = adversarial.with_state(players, self.disc, state)
    images = self.generate(players, texts, key_gen).images
    (fake,), state = self.score(players, images, texts[None], key_fake)

    if loss.paired:
      total = weight * jnp.mean(wrong * loss.real(real - other))
      total += (1 - weight) * jnp.mean(loss.real(real - fake))
    else:
      labels = (options.real_label,) if loss.has_label else ()
      total = jnp.mean(loss.real(real, *labels))
      total += weight * jnp.mean(wrong * loss.fake(other))
      total += (1 - weight) * jnp.mean(loss.fake(fake))
    penalty, more = adversarial.penalties(
      options.regularizers,
      self.scorer(players, {**batch, 'caption': texts}).with_fake(images),
      key_penalties,
    )
    metrics = {
      **adversarial.logit_metrics(loss, real, fake),
      'mismatch_accuracy': adversarial.accuracies(loss, real, other)[
        'fake_accuracy'
      ],
      **more,
    }
    return total + penalty, Aux(metrics, {self.disc: state})

  def gen_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the generator's loss, with the divergence of its condition."""
    del step
    key_caption, key_gen, key_fake = jax.random.split(key, 3)
    _, texts = self.choose_captions(players, batch, key_caption)
    made = self.generate(players, texts, key_gen)
    (fake,), _ = self.score(players, made.images, texts[None], key_fake)
    real = fake
    if self.losses.paired:
      key_real = jax.random.fold_in(key_fake, 2)
      images = self.real_images(batch)
      (real,), _ = self.score(players, images, texts[None], key_real)
    kl = jnp.mean(made.kl)
    total = self.losses.gen_loss(fake, real) + self.options.kl_weight * kl
    metrics = {'logits': jnp.mean(fake), 'kl': kl}
    return total, Aux(metrics, {self.gen: made.state})

  def captioned(
    self,
    loss: Callable[..., tuple[jax.Array, Aux]],
    players: Players,
    batch: Batch,
    *,
    key: jax.Array,
    step: jax.Array,
  ) -> tuple[jax.Array, Aux]:
    """Returns a loss for `batch['caption']`, one vector for each image."""
    key, key_caption = jax.random.split(key)
    _, texts = self.choose_captions(players, batch, key_caption)
    return loss(players, {**batch, 'caption': texts}, key=key, step=step)

  # The players in training.

  def choose_captions(
    self, players: Players, batch: Batch, key: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Returns one caption of each image, and their vectors [B, E]."""
    text = self.options.text
    captions = text_models.choose(batch[text.field], key)
    return captions, text.apply(players['text'], captions)

  def real_images(self, batch: Batch) -> jax.Array:
    """Returns the images of the data, in the size of this stage."""
    field = f'objective.{self.gen}.shape'
    return downsample_to(batch['image'], self.size, field)

  def score(
    self, players: Players, images: jax.Array, texts: jax.Array, key: jax.Array
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Returns logits of augmented images, and the discriminator's collections.

    Args:
      players: all of them.
      images: [B, H, W, C].
      texts: caption vectors, [T, B, E]; the logits are [T, B].
      key: for the augmentation.
    """
    images = augment(images, self.options.augment, key)
    return _apply(self.network, players[self.disc], images, texts)

  def scorer(self, players: Players, batch: Batch) -> Scorer:
    """Returns the discriminator as a function of images, for regularizers.

    Args:
      players: all of them.
      batch: real images, and the vectors of a caption of each, 'caption'.
    """
    texts = batch['caption']

    def logits(images: jax.Array, key: jax.Array) -> jax.Array:
      del key
      network, variables = self.network, players[self.disc]
      return _apply(network, variables, images, texts[None])[0][0]

    def fake(key: jax.Array) -> jax.Array:
      return self.generate(players, texts, key).images

    return Scorer(logits, self.real_images(batch), fake, self.options.augment)


def mismatched(
  captions: jax.Array, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Chooses a wrong caption of the batch for each image.

  All captions are moved by the same random number of places.

  Args:
    captions: of all devices, [B, ...], as the text encoder gets them.
    key: of the random number; that of the first device counts.

  Returns:
    The rows of the captions, int [B], and [B] with 1 where that caption differs
    from the image's own, 0 where it happens to be the same.
  """
  count = len(captions)
  shift = collectives.broadcast_first(
    jax.random.randint(key, (), 1, max(count, 2))
  )
  order = (jnp.arange(count) + shift) % count
  flat = captions.reshape(count, -1)
  return order, jnp.any(flat != flat[order], axis=-1).astype(jnp.float32)


def _init_text(text, batch, key):
  """Returns two examples, and the text encoder as the only player."""
  text_models.check_captioned(batch, text)
  # Statistics of a batch need two examples.
  batch = {k: jnp.resize(x, (2, *x.shape[1:])) for k, x in batch.items()}
  captions = text_models.first(batch[text.field])
  return batch, {'text': {'params': {}, **text.init(key, captions)}}


def _apply(network, variables, *inputs):
  """Applies a network in training; returns its output and new collections."""
  mutable = [name for name in variables if name != 'params']
  return network.apply(variables, *inputs, train=True, mutable=mutable)


def _generated(network, variables, *inputs):
  """Applies a generator in training."""
  outputs, state = _apply(network, variables, *inputs)
  images, mean, log_variance = outputs
  kl = jnp.sum(kl_standard_normal(mean, log_variance), axis=-1)
  return Generated(images, kl, state)
