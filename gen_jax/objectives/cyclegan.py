"""Translation without pairs (Zhu et al. 2017)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.distributed import parallel
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.cycle import absolute, mean_rest
from gen_jax.objectives import pool
from gen_jax.objectives.game import Loss
from gen_jax.objectives.translation import Translation, make
from gen_jax.registry.fields import Count, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleGAN(Translation):
  """Players `gen_ab`, `gen_ba`, and judges of what they make.

  The generators descend E[(D_b(G(a)) - 1)^2] + E[(D_a(F(b)) - 1)^2] + cycle
  (E|F(G(a)) - a| + E|G(F(b)) - b|) + identity (E|G(b) - b| + E|F(a) - a|),
  means over pixels and over patches (eq. 3 with the squares of section 4, and
  section 5.2). Then the judges descend half of E[(D(x) - 1)^2] + E[D(shown)^2],
  where `shown` are images that the generators made before they moved, or those
  of steps before: see objectives/pool.py.

  Attributes:
    disc_a: images of a, train -> logits of patches [B, h, w].
    disc_b: of b.
    loss: as of `GAN`.
    adversarial: weight of the generators' adversarial terms; 2 takes back the
      half in `least_squares`.
    cycle: lambda, weight of the cycles.
    identity: weight of images that are of the target domain already and are to
      stay as they are, which keeps colors; 0 where the domains differ in
      channels.
    pool: images that a judge's pool holds; 0 for none.
  """

  disc_a: nn.Module
  disc_b: nn.Module
  loss: Loss = 'least_squares'
  adversarial: Weight = 2.0
  cycle: Weight = 10.0
  identity: Weight = 5.0
  pool: Count = 50

  def init(self, key: jax.Array, batch: Batch) -> Players:
    key_gens, *keys = jax.random.split(key, 3)
    players = super().init(key_gens, batch)
    channels = [batch[k].shape[-1] for k in 'ab']
    if self.identity and channels[0] != channels[1]:
      raise InputError(
        f'objective.identity={self.identity}: images of {channels[0]} channels '
        f'cannot stay as they are among those of {channels[1]}: take 0.'
      )
    for name, key_disc in zip('ab', keys, strict=True):
      player, images = f'disc_{name}', batch[name]
      variables = make(getattr(self, player), player, key_disc, images)
      players[player] = {**variables, 'pool': pool.empty(self.pool, images)}
    return players

  def updates(self) -> tuple[Update, ...]:
    return (
      Update(
        ('gen_ab', 'gen_ba'),
        self.gens_loss,
        name='gens',
        whole_batch='the pools store the images of whole batches',
      ),
      Update(('disc_a', 'disc_b'), self.discs_loss, name='discs'),
    )

  def gens_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    total, metrics, memory = 0.0, {}, {}
    fakes = {}
    for here, there in ('ab', 'ba'):
      # In one call, for the networks see each image by itself.
      seen = batch[here]
      if self.identity:
        seen = jnp.concatenate([seen, batch[there]])
      made = self.translate(players, f'gen_{here}{there}', seen)
      fakes[there] = made[: len(batch[here])]
      if self.identity:
        same = absolute(batch[there], made[len(batch[here]) :])
        metrics[f'identity_{there}'] = jnp.mean(same)
        total += self.identity * jnp.mean(same)
    for (here, there), key_pool in zip(
      ('ab', 'ba'), jax.random.split(key), strict=True
    ):
      fake, disc = fakes[there], f'disc_{there}'
      logits = self.judge(players, disc, fake)
      fooled = jnp.mean(mean_rest(LOSSES[self.loss].gen(logits)))
      back = self.translate(players, f'gen_{there}{here}', fake)
      cycle = jnp.mean(absolute(batch[here], back))
      total += self.adversarial * fooled + self.cycle * cycle
      metrics |= {f'fooled_{there}': fooled, f'cycle_{here}': cycle}
      after = pool.exchange(players[disc]['pool'], fake, key_pool)
      memory[disc] = {'pool': after}
    return total, Aux(metrics, memory=memory)

  def discs_loss(self, players: Players, batch: Batch, *, key, step):
    del key, step
    total, metrics, loss = 0.0, {}, LOSSES[self.loss]
    for name in 'ab':
      disc, real = f'disc_{name}', batch[name]
      shown = parallel.own_part(players[disc]['pool']['shown'])
      logits = self.judge(players, disc, jnp.concatenate([real, shown]))
      real, fake = logits[: len(real)], logits[len(real) :]
      total += jnp.mean(mean_rest(loss.real(real)))
      total += jnp.mean(mean_rest(loss.fake(fake)))
      metrics[f'real_accuracy_{name}'] = jnp.mean(real > loss.boundary)
      metrics[f'fake_accuracy_{name}'] = jnp.mean(fake <= loss.boundary)
    return total, Aux(metrics)

  def judge(self, players: Players, name: str, images: jax.Array) -> jax.Array:
    """Logits of patches, [B, h, w], in training."""
    variables = {'params': players[name]['params']}
    return getattr(self, name).apply(variables, images, train=True)
