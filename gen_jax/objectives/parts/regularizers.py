"""Regularizers of a discriminator: penalties on its gradient or its output.

They work on images. Whatever else the discriminator's input has, such as labels
or the other images of a pack, belongs to the function that scores the images.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, Protocol, Self

import jax
import jax.numpy as jnp

from gen_jax.distributed import collectives
from gen_jax.losses import penalties
from gen_jax.losses.augmentation import augment
from gen_jax.registry.fields import Size, Weight
from gen_jax.registry.part import Part


@dataclasses.dataclass(frozen=True)
class Scorer:
  """A discriminator as a function of images.

  Attributes:
    logits: `(images [B, H, W, C], key) -> logits [B / pack]`, in training and
      without augmentation.
    real: images of the data, [B, H, W, C].
    fake: `key -> generated images [B, H, W, C]`.
    augment: names of the augmentations of the images in training.
    pack: images that share a logit.
  """

  logits: Callable[[jax.Array, jax.Array], jax.Array]
  real: jax.Array
  fake: Callable[[jax.Array], jax.Array]
  augment: tuple[str, ...] = ()
  pack: int = 1

  def with_fake(self, images: jax.Array) -> Self:
    """Returns the scorer with these generated images for any key."""
    return dataclasses.replace(self, fake=lambda key: images)

  def augmented(self, key: jax.Array) -> penalties.ScoreFn:
    """Returns the function from images to their logits with augmentation."""

    def score(images):
      seen, key_score = augmented(images, self.augment, key)
      return self.logits(seen, key_score)

    return score


def augmented(
  images: jax.Array, names: tuple[str, ...], key: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Returns augmented images, and a key for the discriminator."""
  if not names:
    return images, key
  key, key_augment = jax.random.split(key)
  return augment(images, names, key_augment), key


class Regularizer(Part, Protocol):
  """A term of the discriminator's loss beside the adversarial one.

  Attributes:
    whole_batch: why the term needs the whole batch, as in `core.Update`; ''
      where it does not.
    of_gradient: whether it needs one score for each example.
  """

  whole_batch: ClassVar[str] = ''
  of_gradient: ClassVar[bool] = True

  @property
  def weight(self) -> float:
    """Returns the factor of the term."""
    ...

  @property
  def every(self) -> int:
    """Returns the steps between two evaluations.

    With 1 the term is added to the loss of the discriminator. With more it is
    an update of its own with `every` times the weight; optimizers with
    `lazy_rescale` correct their decays for the additional updates (Karras et
    al. 2020, appendix B).
    """
    ...

  @property
  def key(self) -> str:
    """Returns the name of its metrics, in a config that of its group."""
    ...

  @abc.abstractmethod
  def penalty(self, scorer: Scorer, key: jax.Array) -> jax.Array:
    """Returns the term without its weight, [B / pack]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class R1(Regularizer):
  """1/2 |grad D(x)|^2 for images x of the data.

  References:
    Mescheder et al. 2018, eq. 9, where the weight is gamma = 10.
  """

  weight: Weight = 10.0
  every: Size = 1
  key: str = 'r1'

  def penalty(self, scorer: Scorer, key: jax.Array) -> jax.Array:
    """Returns the term without its weight, [B / pack]."""
    key_score = _keys(key)[1]
    return penalties.zero_centered(scorer.augmented(key_score), scorer.real)


@dataclasses.dataclass(frozen=True, kw_only=True)
class R2(Regularizer):
  """1/2 |grad D(x)|^2 for generated images x.

  References:
    Mescheder et al. 2018, eq. 10, where the weight is gamma = 10.
  """

  weight: Weight = 10.0
  every: Size = 1
  key: str = 'r2'

  def penalty(self, scorer: Scorer, key: jax.Array) -> jax.Array:
    """Returns the term without its weight, [B / pack]."""
    key_gen, key_score, _ = _keys(key)
    fake = scorer.fake(key_gen)
    return penalties.zero_centered(scorer.augmented(key_score), fake)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dragan(Regularizer):
  """(|grad D(x)| - 1)^2 near the images of the data.

  Attributes:
    uniform: take the points of the authors' program instead of the paper's;
      see `penalties.dragan_points`.

  References:
    Kodali et al. 2017, section 2.3.
  """

  weight: Weight = 10.0
  every: Size = 1
  uniform: bool = False
  key: str = 'dragan'

  whole_batch: ClassVar[str] = (
    'regularizers.Dragan uses the standard deviation of the batch'
  )

  def penalty(self, scorer: Scorer, key: jax.Array) -> jax.Array:
    """Returns the term without its weight, [B / pack]."""
    _, key_score, key_point = _keys(key)
    points = penalties.dragan_points(
      key_point, scorer.real, collectives.std(scorer.real), self.uniform
    )
    return penalties.gradient_penalty(scorer.augmented(key_score), points)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientPenalty(Regularizer):
  """(|grad D(x)| - target)^2 on lines between real and generated images.

  The lines are between augmented images, because there the gradient of the
  discriminator matters. Packs have one line each.

  Attributes:
    target: the norm without a penalty.
    one_sided: only larger norms have a penalty.

  References:
    Gulrajani et al. 2017, eq. 3.
  """

  weight: Weight = 10.0
  every: Size = 1
  target: Weight = 1.0
  one_sided: bool = False
  key: str = 'gradient_penalty'

  def penalty(self, scorer: Scorer, key: jax.Array) -> jax.Array:
    """Returns the term without its weight, [B / pack]."""
    key_mix, key_score = jax.random.split(key)
    real, fake = scorer.real, scorer.fake(jax.random.fold_in(key, 2))
    if scorer.augment:
      key_mix, key_real, key_fake = jax.random.split(key_mix, 3)
      real = augment(real, scorer.augment, key_real)
      fake = augment(fake, scorer.augment, key_fake)
    points = penalties.interpolates(key_mix, real, fake, scorer.pack)

    def score(images):
      return scorer.logits(images, key_score)

    return penalties.gradient_penalty(
      score, points, self.target, self.one_sided
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drift(Regularizer):
  """D(x)^2 for images x of the data, which keeps the logits near 0.

  References:
    Karras et al. 2017, appendix A.1.
  """

  weight: Weight = 1e-3
  every: Size = 1
  key: str = 'drift'

  of_gradient: ClassVar[bool] = False

  def penalty(self, scorer: Scorer, key: jax.Array) -> jax.Array:
    """Returns the term without its weight, [B / pack]."""
    return jnp.square(scorer.augmented(key)(scorer.real))


def _keys(key):
  """Returns the keys of generated images, of their scores, and of points."""
  key_seen, key_point = jax.random.split(key)
  return *jax.random.split(key_seen), key_point
