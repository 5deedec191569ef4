"""The auxiliary classifier GAN (Odena et al. 2017)."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.classification import softmax_cross_entropy
from gen_jax.objectives.cgan import Conditional
from gen_jax.objectives.gan import TwoHeads
from gen_jax.registry.fields import Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class ACGAN(Conditional, TwoHeads):
  """The generator is told the class; the judge is not, and tells it.

  With L_S = E[log P(real|x)] + E[log P(fake|G(z, y))] and L_C = E[log P(y|x)] +
  E[log P(y|G(z, y))] (eq. 2 and 3), the judge maximizes L_S + L_C and the
  generator L_C - L_S, or its non-saturating form.

  Attributes:
    disc: images [B, H, W, C], train -> logits [B], logits of classes [B, K].
    weight: of L_C.
  """

  weight: Weight = 1.0

  @property
  def outputs(self) -> int:
    return self.classes

  def judged(self, images: jax.Array, batch: Batch) -> jax.Array:
    del batch
    return images

  def disc_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    _, _, real, fake, state = self.score_both(players, batch, key)
    (real, real_classes), (fake, fake_classes) = real, fake
    total, accuracy = self.tell_apart(real, fake)
    classes = [
      jnp.mean(softmax_cross_entropy(logits, batch['label']))
      for logits in (real_classes, fake_classes)
    ]
    right = jnp.argmax(real_classes, axis=-1) == batch['label']
    metrics = {
      **accuracy,
      'class_accuracy': jnp.mean(right),
      'class_loss': sum(classes),
    }
    return total + self.weight * sum(classes), Aux(metrics, state)

  def gen_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    key_gen, key_score = jax.random.split(key)
    images, _, state = self.generate(players, batch, key_gen)
    (logits, classes), _ = self.score(players, images, batch, key_score)
    fooled = jnp.mean(LOSSES[self.loss].gen(logits))
    told = jnp.mean(softmax_cross_entropy(classes, batch['label']))
    metrics = {'logits': jnp.mean(logits), 'class_loss': told}
    return fooled + self.weight * told, Aux(metrics, {'gen': state})
