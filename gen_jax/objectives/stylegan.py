"""StyleGAN (Karras et al. 2018), with either of its losses."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Batch, Players
from gen_jax.objectives.penalized import GAN
from gen_jax.objectives.style import Style
from gen_jax.objectives.wgan_gp import WGANGP
from gen_jax.registry.fields import Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleGAN(Style, GAN):
  """With the non-saturating loss and, in the paper, R1 of gamma 10.

  For that `penalty='r1'` and `penalty_weight=10`; with `penalty_every=16` it is
  lazy (Karras et al. 2020, section 3.1).
  """


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleWGAN(Style, WGANGP):
  """With the Wasserstein loss and a gradient penalty.

  Attributes:
    drift: of E[f(x)^2] on the data, which keeps scores near 0 (Karras et al.
      2017, appendix A.1).
  """

  drift: Weight = 1e-3

  def penalty(
    self, players: Players, batch: Batch, fake: jax.Array, key: jax.Array
  ):
    cost, metrics = super().penalty(players, batch, fake, key)
    # The compiler sees that these scores are there already.
    scores, _ = self.score(players, batch['image'], batch, key)
    drift = jnp.mean(jnp.square(scores))
    return cost + self.drift * drift, {**metrics, 'drift': drift}
