"""What the adversarial family shares: a generator, a judge, their rounds."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Batch, Players
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.augmentation import AUGMENTATIONS, augment
from gen_jax.objectives.shapes import check_images
from gen_jax.registry.fields import Positive, Size, one_of, several_of

Loss = one_of([name for name in LOSSES if name != 'wasserstein'])
Augment = several_of(AUGMENTATIONS)


def _normal(game, key, shape):
  del game
  return jax.random.normal(key, shape)


def _uniform(game, key, shape):
  del game
  return jax.random.uniform(key, shape, minval=-1)


def _mixture(game, key, shape):
  key_which, key_normal = jax.random.split(key)
  which = jax.random.randint(key_which, shape[:1], 0, game.components)
  means = game.radius * jax.nn.one_hot(which, game.latent)
  return means + jax.random.normal(key_normal, shape)


PRIORS = {'normal': _normal, 'uniform': _uniform, 'mixture': _mixture}


class Round(NamedTuple):
  """What the judge looked at in one update, and what it said.

  Attributes:
    images: of the generator, [B, H, W, C].
    codes: of those, as the generator saw them, [B, Z].
    real: the judge's output for the data.
    fake: for the images.
    state: the judge's new collections, by its name.
  """

  images: jax.Array
  codes: jax.Array
  real: Any
  fake: Any
  state: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Game:
  """A generator, and a judge of what it makes.

  In a judge's loss the images of the data and of the generator are two batches,
  each normalized by its own statistics (Radford et al. 2015, section 3). The
  statistics and power iterations of a player move in its own update alone.

  Attributes:
    gen: codes [B, Z], train -> images [B, H, W, C].
    latent: Z, the size of a code.
    prior: of the codes, 'normal', N(0, 1); 'uniform' in [-1, 1]; or 'mixture',
      of N(radius e_k, 1) for the first `components` axes k, evenly, which
      spares the generator a tear between the modes of the data (Ben-Yosef and
      Weinshall 2018, the static GM-GAN: there the means are drawn, and fixed).
    components: of the mixture.
    radius: the distance of each of its means from 0.
    pack: images that the judge sees at a time, along their channels (PacGAN,
      Lin et al. 2018, section 3); it divides the batch.
    augment: what happens to all images that the judge sees in training, of
      'color', 'translation', 'cutout' and 'deformation', for small sets of
      data, or where a style should tell nothing; see
      gen_jax/losses/augmentation.py.
  """

  gen: nn.Module
  latent: Size = 100
  prior: one_of(PRIORS) = 'normal'
  components: Size = 32
  radius: Positive = 8.0
  pack: Size = 1
  augment: Augment = ()

  pixels: ClassVar[str] = 'symmetric'
  judge: ClassVar[str] = 'disc'  # the judge, as a player and as a field

  def __post_init__(self):
    if self.prior == 'mixture' and self.components > self.latent:
      raise InputError(
        f'objective.components={self.components}: expected at most '
        f'objective.latent={self.latent}, an axis for each.'
      )

  def check_batch(self, size: int, local: int) -> None:
    del size  # packs are of neighbors, which are on one device
    if local % self.pack:
      raise InputError(
        f'objective.pack={self.pack} does not divide a batch of {local}.'
      )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    key_gen, key_judge = jax.random.split(key)
    # Statistics of a batch need two examples, a judge at least one pack.
    count = max(self.pack, 2)
    batch = {k: jnp.resize(x, (count, *x.shape[1:])) for k, x in batch.items()}
    if self.augment and min(batch['image'].shape[1:3]) < 4:
      raise InputError(
        f'objective.augment={self.augment}: is for images, and the data are '
        f'{batch["image"].shape[1:]}.'
      )
    codes = self.asked(self.draw(key_gen, count), batch)
    gen = self.gen.init(key_gen, codes)
    made = jax.eval_shape(self.gen.apply, gen, codes)
    check_images(made, batch['image'], 'objective.gen.shape')
    seen = self.judged(batch['image'], batch)
    judge = getattr(self, self.judge).init(key_judge, seen)
    return {'gen': gen, self.judge: judge}

  # What losses are made of.

  def draw(self, key: jax.Array, num: int) -> jax.Array:
    """Codes from the prior, [num, Z]."""
    return PRIORS[self.prior](self, key, (num, self.latent))

  def generate(self, players: Players, batch: Batch, key: jax.Array):
    """As many images as the batch has, in training.

    Returns the images, their codes, and gen's new collections.
    """
    key_code, key_gen = jax.random.split(key)
    codes = self.asked(self.draw(key_code, len(batch['image'])), batch)
    images, state = apply(self.gen, players['gen'], codes, key_gen)
    return images, codes, state

  def score(
    self, players: Players, images: jax.Array, batch: Batch, key: jax.Array
  ):
    """Logits [B / pack] in training, and the judge's new collections."""
    if self.augment:
      key, key_augment = jax.random.split(key)
      images = augment(images, self.augment, key_augment)
    return self.rate(players, self.judged(images, batch), batch, key)

  def rate(self, players: Players, seen: jax.Array, batch: Batch, key: Any):
    """`score` of what the judge sees."""
    del batch
    judge = getattr(self, self.judge)
    return apply(judge, players[self.judge], seen, key)

  def score_both(
    self, players: Players, batch: Batch, key: jax.Array
  ) -> 'Round':
    """Scores the data, then new images."""
    key_gen, key_real, key_fake = jax.random.split(key, 3)
    images, codes, _ = self.generate(players, batch, key_gen)
    real, state = self.score(players, batch['image'], batch, key_real)
    players = {**players, self.judge: {**players[self.judge], **state}}
    fake, state = self.score(players, images, batch, key_fake)
    return Round(images, codes, real, fake, {self.judge: state})

  def asked(self, codes: jax.Array, batch: Batch) -> jax.Array:
    """What the generator sees, [B, Z]; here the codes alone."""
    del batch
    return codes

  def judged(self, images: jax.Array, batch: Batch) -> jax.Array:
    """What the judge sees of images; here they alone, packed."""
    del batch
    return self.packed(images)

  def packed(self, images: jax.Array) -> jax.Array:
    """[B, H, W, C] -> [B / pack, H, W, C pack], each with its neighbors."""
    if self.pack == 1:
      return images
    count, height, width, depth = images.shape
    self.check_batch(count, count)
    images = images.reshape(-1, self.pack, height, width, depth)
    images = jnp.moveaxis(images, 1, 3)  # [B / pack, H, W, pack, C]
    return images.reshape(-1, height, width, self.pack * depth)

  # What the trained model can do.

  def predict_fns(self):
    return {'sample': self.sample, 'discriminate': self.discriminate}

  def sample(self, players: Players, *, key, num: int) -> jax.Array:
    """Images of `num` codes from the prior, [num, H, W, C]."""
    return self.gen.apply(players['gen'], self.draw(key, num))

  def discriminate(self, players: Players, batch: Batch) -> jax.Array:
    """Logits of the images, [B], or [B / pack] of packs of neighbors."""
    images = self.judged(batch['image'], batch)
    return getattr(self, self.judge).apply(players[self.judge], images)


def apply(
  network: nn.Module, variables: Any, x: jax.Array, key: jax.Array
) -> tuple[jax.Array, dict[str, Any]]:
  """Applies a network in training; returns its output and new collections."""
  mutable = [name for name in variables if name != 'params']
  return network.apply(
    variables, x, train=True, mutable=mutable, rngs={'dropout': key}
  )


def check_label(loss: str, label: float) -> None:
  """Raises InputError when a loss knows no label."""
  if label != 1 and not LOSSES[loss].labels:
    raise InputError(f'objective.label={label}: {loss!r} has no labels.')


def check_slope(players: Players, judge: str) -> None:
  """Raises InputError when no penalty of the judge's slope is possible."""
  if 'batch_stats' in players[judge]:
    raise InputError(
      f'objective.{judge}: with batch normalization a score is not of one '
      "image, and its gradient no penalty of it: take normalize=''."
    )
