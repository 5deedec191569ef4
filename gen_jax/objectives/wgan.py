"""The Wasserstein GAN (Arjovsky et al. 2017)."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.losses.adversarial import wasserstein
from gen_jax.objectives.game import Game
from gen_jax.registry.fields import Size, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class WGAN(Game):
  """Players `gen` and `critic`, whose scores differ by a distance.

  The critic ascends E_p[f(x)] - E_z[f(G(z))] (eq. 3), and the generator
  descends it after each `n_critic` steps. Where f is K-Lipschitz its optimum is
  K times the earth mover's distance between data and images. Clipped weights
  keep f Lipschitz (algorithm 1). As in the authors' program they are clipped
  before each update of the critic, so that all of its gradients, the first one
  included, are taken at clipped weights. The generator's update uses the critic
  as its own step left it, beyond the bound by at most that step.

  The metric `distance` is the critic's estimate, in the units of K times the
  data's.

  Attributes:
    critic: images [B, H, W, C pack], train -> scores [B].
    n_critic: updates of the critic for one of the generator.
    clip_weights: c, the critic's weights are clipped to [-c, c]; 0 for no
      clipping.
  """

  critic: nn.Module
  n_critic: Size = 5
  clip_weights: Weight = 0.0

  judge: ClassVar[str] = 'critic'

  def updates(self) -> tuple[Update, ...]:
    return (
      Update(wrt=('critic',), loss=self.critic_loss, project=self.clip),
      Update(wrt=('gen',), loss=self.gen_loss, every=self.n_critic),
    )

  def clip(self, params: Any) -> Any:
    """Returns the critic's parameters within the bound."""
    bound = self.clip_weights
    if not bound:
      return params
    return jax.tree.map(lambda w: jnp.clip(w, -bound, bound), params)

  def critic_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    key_score, key_penalty = jax.random.split(key)
    fake, _, real_scores, fake_scores, state = self.score_both(
      players, batch, key_score
    )
    loss = jnp.mean(wasserstein.real(real_scores))
    loss += jnp.mean(wasserstein.fake(fake_scores))
    metrics = {
      'distance': jnp.mean(real_scores) - jnp.mean(fake_scores),
      'real_scores': jnp.mean(real_scores),
      'fake_scores': jnp.mean(fake_scores),
    }
    penalty, more = self.penalty(players, batch, fake, key_penalty)
    return loss + penalty, Aux({**metrics, **more}, state)

  def penalty(
    self, players: Players, batch: Batch, fake: jax.Array, key: jax.Array
  ) -> tuple[jax.Array | float, dict[str, jax.Array]]:
    """Of the critic, with its metrics; here none."""
    del players, batch, fake, key
    return 0.0, {}

  def gen_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    key_gen, key_score = jax.random.split(key)
    images, _, state = self.generate(players, batch, key_gen)
    scores, _ = self.score(players, images, batch, key_score)
    return jnp.mean(wasserstein.gen(scores)), Aux({}, {'gen': state})
