"""Translation without pairs (Zhu et al. 2017)."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from gen_jax.losses.cycle import absolute
from gen_jax.models.layers.batches import join, split
from gen_jax.objectives.parts import adversarial, image_pool, translation
from gen_jax.objectives.parts.regularizers import Regularizer, Scorer
from gen_jax.registry.fields import Count, Weight, one_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleGAN:
  """Players `gen_ab`, `gen_ba`, `disc_a` and `disc_b`.

  The generators descend E[(D_b(G(a)) - 1)^2] + E[(D_a(F(b)) - 1)^2] +
  cycle_weight (E|F(G(a)) - a| + E|G(F(b)) - b|) + identity_weight (E|G(b) - b|
  + E|F(a) - a|), means over pixels and over patches (eq. 3 with the squares of
  section 4, and section 5.2). Then the discriminators descend half of
  E[(D(x) - 1)^2] + E[D(y)^2], where y are images that the generators made
  before they moved, or those of steps before: see parts/image_pool.py.

  Attributes:
    gen_ab: images of a, train -> images of b; see models/translation.py.
    gen_ba: images of b, train -> images of a. This network and the next ones
      are None beside generators that were trained elsewhere: a model without
      all four translates and is not trained.
    disc_a: images of a, train -> logits of patches [B, h, w].
    disc_b: images of b, train -> logits of patches.
    loss: a name in losses/adversarial.py.
    adversarial_weight: of the generators' adversarial terms; 2 takes back the
      half in `least_squares`.
    cycle_weight: lambda.
    identity_weight: of images that are of the target domain already and are to
      stay as they are, which keeps colors; 0 where the domains differ in
      channels.
    pool_size: images that the pool of a discriminator holds; 0 for none.
    regularizers: penalties on the mean logit of each discriminator.
  """

  gen_ab: nn.Module
  gen_ba: nn.Module | None = None
  disc_a: nn.Module | None = None
  disc_b: nn.Module | None = None
  loss: Annotated[str, one_of(ADVERSARIAL_LOSSES)] = 'least_squares'
  adversarial_weight: Weight = 2.0
  cycle_weight: Weight = 10.0
  identity_weight: Weight = 5.0
  pool_size: Count = 50
  regularizers: tuple[Regularizer, ...] = ()

  pixels: ClassVar[str] = 'symmetric'
  classes: ClassVar[int] = 0

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of the players, with empty pools."""
    key_gens, key_a, key_b = jax.random.split(key, 3)
    players = translation.init_both(self.gen_ab, self.gen_ba, key_gens, batch)
    if not self._trains:
      return players
    channels = [batch[k].shape[-1] for k in 'ab']
    if self.identity_weight and channels[0] != channels[1]:
      raise InputError(
        f'objective.identity_weight={self.identity_weight}: images of '
        f'{channels[0]} channels cannot stay as they are among those of '
        f'{channels[1]}: take 0.'
      )
    for domain, key_disc in (('a', key_a), ('b', key_b)):
      name, images = f'disc_{domain}', batch[domain]
      variables = translation.init_network(
        self._networks[name], name, key_disc, images
      )
      pool = image_pool.init(self.pool_size, images)
      players[name] = {**variables, 'image_pool': pool}
    return players

  def updates(self) -> tuple[Update, ...]:
    """Returns the update of the generators, then of the discriminators."""
    if not self._trains:
      return ()
    gen = Update(
      ('gen_ab', 'gen_ba'),
      self.gen_loss,
      name='gen',
      whole_batch='the pools store the images of whole batches',
    )
    inside = [r.whole_batch for r in self.regularizers if r.every == 1]
    disc = Update(
      ('disc_a', 'disc_b'),
      self.disc_loss,
      name='disc',
      whole_batch=next(filter(None, inside), ''),
      warnings=self._warnings,
    )
    lazy = (
      adversarial.lazy_updates(
        self.regularizers,
        functools.partial(self.scorer, domain),
        wrt=f'disc_{domain}',
      )
      for domain in 'ab'
    )
    return gen, disc, *itertools.chain(*lazy)

  def gen_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the loss of both generators, and the pools with new images."""
    del step
    loss, total = self._loss, jnp.zeros(())
    metrics, memory = {}, {}
    key_ab, key_ba, key_dropout = jax.random.split(key, 3)
    keys = iter(jax.random.split(key_dropout, 4))
    fakes = {}
    for source, target in ('ab', 'ba'):
      # In one call, for the networks see each image by itself.
      inputs = batch[source]
      if self.identity_weight:
        inputs = join([inputs, batch[target]])
      made = self._generate(players, source + target, inputs, next(keys))
      fakes[target] = made
      if self.identity_weight:
        fakes[target], kept = split(made, 2)
        error = jnp.mean(absolute(batch[target], kept))
        metrics[f'identity_{target}'] = error
        total += self.identity_weight * error
    for (source, target), key_pool in (('ab', key_ab), ('ba', key_ba)):
      fake, disc = fakes[target], f'disc_{target}'
      logits = self._discriminate(players, target, fake)
      real = logits  # unused
      if loss.paired:
        real = self._discriminate(players, target, batch[target])
      adversarial_loss = loss.gen_loss(logits, real)
      back = self._generate(players, target + source, fake, next(keys))
      cycle = jnp.mean(absolute(batch[source], back))
      total += self.adversarial_weight * adversarial_loss
      total += self.cycle_weight * cycle
      metrics[f'adversarial_{target}'] = adversarial_loss
      metrics[f'cycle_{source}'] = cycle
      pool = players[disc]['image_pool']
      pool = image_pool.exchange(pool, fake, key_pool)
      memory[disc] = {'image_pool': pool}
    return total, Aux(metrics, memory=memory)

  def disc_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the sum of the losses of both discriminators."""
    del step
    loss, total, metrics = self._loss, jnp.zeros(()), {}
    for domain, key_domain in zip('ab', jax.random.split(key), strict=True):
      scorer = self.scorer(domain, players, batch)
      images = join([scorer.real, scorer.fake(key)])
      logits = self._discriminate(players, domain, images)
      real, fake = split(logits, 2)
      total += loss.disc_loss(real, fake)
      penalty, found = adversarial.penalties(
        self.regularizers, scorer, key_domain
      )
      total += penalty
      found |= adversarial.logit_metrics(loss, real, fake)
      metrics |= {f'{name}_{domain}': value for name, value in found.items()}
    return total, Aux(metrics)

  def scorer(self, domain: str, players: Players, batch: Batch) -> Scorer:
    """Returns a discriminator as a function of images, for regularizers.

    Args:
      domain: 'a' or 'b'.
      players: all of them; generated images are those of the pool.
      batch: images of both domains.
    """
    fake = players[f'disc_{domain}']['image_pool']['output']

    def logits(images: jax.Array, key: jax.Array) -> jax.Array:
      del key
      found = self._discriminate(players, domain, images)
      return translation.mean_logit(found)

    return Scorer(logits, batch[domain], lambda key: collectives.own_part(fake))

  def predict_fns(self) -> Capabilities:
    """Returns the translations in the directions that have a generator."""
    fns = Capabilities(translate_ab=self.translate_ab)
    if self.gen_ba is not None:
      fns['translate_ba'] = self.translate_ba
    return fns

  def translate_ab(self, players: Players, batch: Batch) -> jax.Array:
    """Returns batch['a'], images of any size, as images of b."""
    return translation.translate(self.gen_ab, players['gen_ab'], batch['a'])

  def translate_ba(self, players: Players, batch: Batch) -> jax.Array:
    """Returns batch['b'], images of any size, as images of a."""
    return translation.translate(self.gen_ba, players['gen_ba'], batch['b'])

  @property
  def _loss(self) -> AdversarialLoss:
    return ADVERSARIAL_LOSSES[self.loss]

  @property
  def _trains(self) -> bool:
    """Whether all four networks are there."""
    return all(x is not None for x in self._networks.values())

  @property
  def _networks(self) -> Mapping[str, nn.Module]:
    """Returns the networks by player."""
    return {
      'gen_ab': self.gen_ab,
      'gen_ba': self.gen_ba,
      'disc_a': self.disc_a,
      'disc_b': self.disc_b,
    }

  def _generate(
    self, players: Players, direction: str, images: jax.Array, key: jax.Array
  ) -> jax.Array:
    name = f'gen_{direction}'
    network = self._networks[name]
    return translation.train_apply(network, players[name], images, key)

  def _discriminate(
    self, players: Players, domain: str, images: jax.Array
  ) -> jax.Array:
    name = f'disc_{domain}'
    variables = {'params': players[name]['params']}
    return self._networks[name].apply(variables, images, train=True)

  def _warnings(self, metrics: Mapping[str, float]) -> dict[str, str]:
    found = {}
    for domain in 'ab':
      found |= adversarial.warnings(metrics, suffix=f'_{domain}')
    return found
