"""A judge whose slope costs."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.distributed import collectives
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.penalties import OF_DEVIATION, PENALTIES
from gen_jax.objectives.game import Game, Loss, check_label, check_slope
from gen_jax.registry.fields import Fraction, Size, Weight, one_of


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
        score, real, fake, key_point, collectives.std(real)
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


# What counts as a judge that always wins, and as no gradient at all.
_SURE = 0.99
_FLAT = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class GAN(Penalized, Game):
  """Players `gen` and `disc`, which tells data from what `gen` makes.

  A step is of algorithm 1: the judge ascends E_p[log D(x)] + E_z[log(1 -
  D(G(z)))] (eq. 1), or descends another loss, and then the generator moves, on
  new codes, after each `disc_steps` steps.

  Attributes:
    disc: images [B, H, W, C pack], train -> logits [B].
    loss: 'minimax', 'non_saturating', 'least_squares' or 'hinge'; see
      gen_jax/losses/adversarial.py.
    label: of the data, less than 1 for one-sided smoothing.
    disc_steps: k in algorithm 1.
  """

  disc: nn.Module
  loss: Loss = 'non_saturating'
  label: Fraction = 1.0
  disc_steps: Size = 1

  def __post_init__(self):
    super().__post_init__()
    check_label(self.loss, self.label)

  def init(self, key: jax.Array, batch: Batch) -> Players:
    players = super().init(key, batch)
    if self.penalty:
      check_slope(players, self.judge)
    return players

  def updates(self) -> tuple[Update, ...]:
    gen = Update(wrt=('gen',), loss=self.gen_loss, every=self.disc_steps)
    return *self.disc_updates('disc'), gen

  def disc_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    _, _, real, fake, state = self.score_both(players, batch, key)
    total, accuracy = self.tell_apart(real, fake)
    means = {'real_logits': jnp.mean(real), 'fake_logits': jnp.mean(fake)}
    return total, Aux({**means, **accuracy}, state)

  def tell_apart(self, real: jax.Array, fake: jax.Array):
    """The judge's loss for its logits, and how often they are right."""
    loss = LOSSES[self.loss]
    labels = (self.label,) if loss.labels else ()
    total = jnp.mean(loss.real(real, *labels)) + jnp.mean(loss.fake(fake))
    return total, {
      'real_accuracy': jnp.mean(real > loss.boundary),
      'fake_accuracy': jnp.mean(fake <= loss.boundary),
    }

  def judge_and_images(self, players: Players, batch: Batch, key: jax.Array):
    key_gen, key_score = jax.random.split(key)
    fake, _, _ = self.generate(players, batch, key_gen)  # where it is used

    def score(images):
      return self.logits(self.score(players, images, batch, key_score)[0])

    return score, batch['image'], fake

  def logits(self, output: Any) -> jax.Array:
    """The logits among what the judge returns."""
    return output

  def gen_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    key_gen, key_score = jax.random.split(key)
    images, _, state = self.generate(players, batch, key_gen)
    logits, _ = self.score(players, images, batch, key_score)
    total = jnp.mean(LOSSES[self.loss].gen(logits))
    return total, Aux({'logits': jnp.mean(logits)}, {'gen': state})

  def warnings(self, metrics: Mapping[str, float]) -> dict[str, str]:
    """What goes wrong between the players, by name; see `monitor.Warnings`."""
    names = ('disc/real_accuracy', 'disc/fake_accuracy', 'gen/grad_norm')
    if not all(name in metrics for name in names):  # a log without an update
      return {}
    real, fake, slope = (metrics[name] for name in names)
    if min(real, fake) < _SURE:
      return {}
    seen = (
      f'the discriminator is right on {real:.1%} of the data and {fake:.1%} of '
      'the samples'
    )
    if slope < _FLAT:
      return {
        'vanishing_gradient': f'{seen}, and the gradient of the generator has '
        f'vanished (norm {slope:.1g}): a judge that is sure teaches nothing. '
        "Try objective.loss='non_saturating', objective.penalty='r1' or a "
        'smaller optim.disc.learning_rate.'
      }
    return {
      'no_convergence': f'{seen}, where 50% is the good end: it is far ahead '
      "of the generator. Try objective.penalty='r1', a smaller "
      'optim.disc.learning_rate, or, if the data are few, '
      "objective.augment=('color', 'translation', 'cutout')."
    }
