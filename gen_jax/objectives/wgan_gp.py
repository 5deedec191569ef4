"""The Wasserstein GAN with a gradient penalty (Gulrajani et al. 2017)."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Batch, Players
from gen_jax.losses import penalties
from gen_jax.losses.augmentation import augment
from gen_jax.objectives.game import check_slope
from gen_jax.objectives.wgan import WGAN
from gen_jax.registry.fields import Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class WGANGP(WGAN):
  """A WGAN whose critic is drawn to gradients of norm 1 (eq. 3).

  To the critic's loss comes `weight` E[(|grad f(x)| - 1)^2], x on the lines
  between data and images. It is a price and not a bound: at a distance d the
  best slope is about 1 + d / (2 weight), and `distance` larger by so much.

  Attributes:
    weight: lambda.
    one_sided: only slopes above 1 cost.
  """

  weight: Weight = 10.0
  one_sided: bool = False

  def init(self, key: jax.Array, batch: Batch) -> Players:
    players = super().init(key, batch)
    check_slope(players, self.judge)
    return players

  def penalty(
    self, players: Players, batch: Batch, fake: jax.Array, key: jax.Array
  ):
    key_mix, key_score = jax.random.split(key)
    # Between what the critic sees of both: it is there that its slope counts.
    seen = (batch['image'], fake)
    if self.augment:
      key_mix, *keys = jax.random.split(key_mix, 3)
      seen = [
        augment(x, self.augment, k) for x, k in zip(seen, keys, strict=True)
      ]
    real, fake = (self.judged(x, batch) for x in seen)
    images = penalties.interpolates(key_mix, real, fake)

    def score(x):
      return self.rate(players, x, batch, key_score)[0]

    penalty = jnp.mean(
      penalties.gradient_penalty(score, images, one_sided=self.one_sided)
    )
    return self.weight * penalty, {'penalty': penalty}
