"""A judge whose slope costs."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.distributed import parallel
from gen_jax.losses.penalties import OF_DEVIATION, PENALTIES
from gen_jax.registry.fields import Size, Weight, one_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Penalized(abc.ABC):
  """What an objective with a `disc_loss` needs for a penalty.

  It keeps a judge that wins from growing ever steeper, so that the two come to
  rest.

  Attributes:
    penalty: of the judge's slope, 'r1', 'r2', 'dragan' or 'dragan_uniform' (see
      gen_jax/losses/penalties.py), or '' for none.
    penalty_weight: its factor; R1 and R2 hold a half, so that this is their
      gamma.
    penalty_every: in every so many steps alone, as an update of its own with
      so many times the weight (Karras et al. 2020, section 3.1: 16). They also
      correct the optimizer for the additional updates; that is
      `lazy_rescale=True` in the optimizer of the discriminator.
  """

  penalty: one_of(('', *PENALTIES)) = ''
  penalty_weight: Weight = 10.0
  penalty_every: Size = 1

  def disc_updates(self, disc: str) -> tuple[Update, ...]:
    """The updates of the judge, the player `disc`."""
    update = Update(wrt=(disc,), loss=self.disc_loss)
    if not self.penalty:
      return (update,)
    if self.penalty in OF_DEVIATION:
      update = dataclasses.replace(
        update,
        whole_batch=f'objective.penalty={self.penalty!r} uses the standard '
        'deviation of the batch',
      )
    if self.penalty_every == 1:
      return (dataclasses.replace(update, loss=self.penalized_loss),)
    lazy = dataclasses.replace(
      update, loss=self.penalty_loss, every=self.penalty_every, name='penalty'
    )
    return update, lazy

  def penalized_loss(self, players: Players, batch: Batch, *, key, step):
    """`disc_loss` and `penalty_loss`."""
    key_game, key_penalty = jax.random.split(key)
    total, aux = self.disc_loss(players, batch, key=key_game, step=step)
    cost, more = self.penalty_loss(players, batch, key=key_penalty, step=step)
    return total + cost, Aux({**aux.metrics, **more.metrics}, aux.state)

  def penalty_loss(self, players: Players, batch: Batch, *, key, step):
    """The judge's penalty, on the image: what else it sees does not vary."""
    del step
    key_seen, key_point = jax.random.split(key)
    score, real, fake = self.judge_and_images(players, batch, key_seen)
    penalty = jnp.mean(
      PENALTIES[self.penalty](
        score, real, fake, key_point, parallel.deviation(real)
      )
    )
    factor = self.penalty_weight * self.penalty_every
    return factor * penalty, Aux({'penalty': penalty})

  @abc.abstractmethod
  def disc_loss(self, players: Players, batch: Batch, *, key, step):
    """The judge's loss, without a penalty."""

  @abc.abstractmethod
  def judge_and_images(
    self, players: Players, batch: Batch, key: jax.Array
  ) -> tuple[Callable[[jax.Array], jax.Array], Any, Any]:
    """The judge as a function of images, those of the data, and new ones."""
