"""Generative adversarial networks (Goodfellow et al. 2014)."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import LOSSES
from gen_jax.objectives.game import Game, Loss, check_label, check_slope
from gen_jax.objectives.penalized import Penalized
from gen_jax.registry.fields import Fraction, Size

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoHeads(GAN):
  """A GAN whose judge has a second head, which tells what else an image is.

  Attributes:
    disc: images [B, H, W, C], train -> logits [B], and of the head [B, K].
  """

  def __post_init__(self):
    super().__post_init__()
    if self.pack != 1:
      raise InputError(
        f'objective.pack={self.pack}: what the second head tells is of one '
        'image: take 1.'
      )

  @property
  @abc.abstractmethod
  def outputs(self) -> int:
    """K, the outputs of the second head."""

  def init(self, key: jax.Array, batch: Batch) -> Players:
    players = super().init(key, batch)
    made = jax.eval_shape(self.disc.apply, players['disc'], batch['image'])
    outputs = made[1].shape[-1] if isinstance(made, tuple) else 0
    if outputs != self.outputs:
      raise InputError(
        f'config.objective.disc.extra={outputs}: {type(self).__name__} needs '
        f'a second head with {self.outputs} outputs.'
      )
    return players

  def predict_fns(self):
    return {**super().predict_fns(), 'classify': self.classify}

  def logits(self, output: Any) -> jax.Array:
    return output[0]

  def discriminate(self, players: Players, batch: Batch) -> jax.Array:
    return super().discriminate(players, batch)[0]

  def classify(self, players: Players, batch: Batch) -> jax.Array:
    """The second head's logits, [B, K]."""
    return self.disc.apply(players['disc'], batch['image'])[1]
