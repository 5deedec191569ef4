"""A classifier of images: what the distances between sets of images see with.

It is trained to be a yardstick, not to be new.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.losses.classification import softmax_cross_entropy
from gen_jax.losses.corruption import CORRUPTIONS
from gen_jax.objectives.labels import check_labeled
from gen_jax.registry.fields import Weight, one_of


@dataclasses.dataclass(frozen=True)
class Classifier:
  """One player, `model`, which minimizes -log p(y|x), in nats.

  Attributes:
    network: (images [B, H, W, C], train) -> logits [B, K], features [B, F].
    noise: on the images in training, of `losses/corruption.py`.
    amount: of the noise.
  """

  network: nn.Module
  noise: one_of(CORRUPTIONS) = 'deformation'
  amount: Weight = 0.0

  pixels = 'unit'

  @property
  def classes(self) -> int:
    return self.network.classes

  def init(self, key: jax.Array, batch: Batch) -> Players:
    check_labeled(batch, self)
    variables = self.network.init(key, batch['image'][:1])
    return {'model': {'params': variables['params']}}

  def updates(self) -> tuple[Update, ...]:
    return (Update(wrt=('model',), loss=self.loss),)

  def loss(self, players: Players, batch: Batch, *, key, step):
    del step
    key_noise, key_dropout = jax.random.split(key)
    images = CORRUPTIONS[self.noise](batch['image'], self.amount, key_noise)
    logits, _ = self.network.apply(
      players['model'], images, train=True, rngs={'dropout': key_dropout}
    )
    loss = jnp.mean(softmax_cross_entropy(logits, batch['label']))
    wrong = jnp.argmax(logits, axis=-1) != batch['label']
    return loss, Aux({'error': jnp.mean(wrong)})

  def predict_fns(self):
    return {'classify': self.classify, 'features': self.features}

  def classify(self, players: Players, batch: Batch) -> jax.Array:
    """Logits, [B, K]."""
    return self.network.apply(players['model'], batch['image'])[0]

  def features(self, players: Players, batch: Batch) -> jax.Array:
    """What the logits are linear in, [B, F]."""
    return self.network.apply(players['model'], batch['image'])[1]
