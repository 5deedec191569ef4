"""Conditional generative adversarial networks (Mirza and Osindero 2014)."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.distributed import parallel
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import LOSSES
from gen_jax.models.layers.embedding import Embedded
from gen_jax.objectives.game import Game
from gen_jax.objectives.gan import GAN
from gen_jax.objectives.labels import check_labeled, one_hot
from gen_jax.registry.fields import Count, Fraction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditional(Game):
  """A game whose players see the class: G(z, y) and D(x, y).

  It stands one-hot behind the code, and as planes of 0 and 1 behind the image's
  channels. The first layer of a network makes an embedding of it: a product
  with a one-hot vector is the row of a table. For a smaller one put the network
  into an `embedding.Embedded`.

  Attributes:
    classes: K; a batch has 'label', int32 [B], in [0, K).
  """

  classes: Count = 10

  def __post_init__(self):
    super().__post_init__()
    for field in ('gen', self.judge):
      network = getattr(self, field)
      if not isinstance(network, Embedded):
        continue
      if network.classes != self.classes:
        raise InputError(
          f'objective.{field}.classes={network.classes}: '
          f'objective.classes is {self.classes}.'
        )
      if field == self.judge and self.pack != 1:
        raise InputError(
          f'objective.pack={self.pack}: in a pack the classes stand between '
          'the images, and Embedded finds one alone: take 1.'
        )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    check_labeled(batch, self)
    return super().init(key, batch)

  def asked(self, codes: jax.Array, batch: Batch) -> jax.Array:
    label = one_hot(batch['label'], self.classes)
    return jnp.concatenate([codes, label], axis=-1)

  def judged(self, images: jax.Array, batch: Batch) -> jax.Array:
    planes = one_hot(batch['label'], self.classes)[
      :, None, None
    ]  # [B, 1, 1, K]
    planes = jnp.broadcast_to(planes, (*images.shape[:3], self.classes))
    return self.packed(jnp.concatenate([images, planes], axis=-1))

  def predict_fns(self):
    return {**super().predict_fns(), 'sample_classes': self.sample_classes}

  def sample_classes(self, players: Players, labels, *, key) -> jax.Array:
    return self.sample(players, key=key, num=len(labels), labels=labels)

  def sample(self, players: Players, *, key, num: int, labels=None):
    """Images of codes from the prior, [num, H, W, C].

    Args:
      players: of which `gen` draws.
      key: of the codes.
      num: images.
      labels: classes [num], shares of classes [num, K], or all in turn.
    """
    if labels is None:
      labels = jnp.arange(num) % self.classes
    codes = self.asked(self.draw(key, num), {'label': labels})
    return self.gen.apply(players['gen'], codes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CGAN(Conditional, GAN):
  """The GAN of p(x|y): E[log D(x, y)] + E[log(1 - D(G(z, y), y))] (eq. 2).

  Attributes:
    mismatch: weight of a third term of the judge's loss, for images of the data
      with the class of another (Reed et al. 2016, algorithm 1).
  """

  mismatch: Fraction = 0.0

  def updates(self) -> tuple[Update, ...]:
    updates = super().updates()
    if not self.mismatch:
      return updates
    why = 'objective.mismatch pairs each image with the label of another one'
    return tuple(dataclasses.replace(u, whole_batch=why) for u in updates)

  def disc_loss(self, players: Players, batch: Batch, *, key, step):
    key_game, key_wrong = jax.random.split(key)
    total, aux = super().disc_loss(players, batch, key=key_game, step=step)
    if not self.mismatch:
      return total, aux
    # The labels of the neighbors in the batch, which is shuffled; where such a
    # label is right by chance the example does not count.
    labels = jnp.roll(parallel.gather(batch['label']), 1)
    labels = parallel.own_part(labels)
    wrong = (labels != batch['label']).astype(jnp.float32)
    seen = {**batch, 'label': labels}
    logits, _ = self.score(players, batch['image'], seen, key_wrong)
    wrong = jnp.mean(wrong.reshape(len(logits), -1), axis=-1)
    extra = jnp.mean(wrong * LOSSES[self.loss].fake(logits))
    metrics = {**aux.metrics, 'mismatch': extra}
    return total + self.mismatch * extra, Aux(metrics, aux.state)
