"""A classifier of images, whose features compare sets of images."""

import dataclasses
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.losses.classification import softmax_cross_entropy
from gen_jax.losses.corruption import CORRUPTIONS
from gen_jax.objectives.parts.labels import check_labeled
from gen_jax.registry.fields import Weight, one_of


@dataclasses.dataclass(frozen=True)
class Classifier:
  """One player, `model`, which minimizes -log p(y|x), in nats.

  Attributes:
    network: (images [B, H, W, C], train) -> logits [B, K], features [B, F].
    corruption: of the images in training, of `losses/corruption.py`.
    level: of the corruption.
  """

  network: nn.Module
  corruption: Annotated[str, one_of(CORRUPTIONS)] = 'deformation'
  level: Weight = 0.0

  pixels: ClassVar[str] = 'unit'

  @property
  def classes(self) -> int:
    """Returns K, the number of classes."""
    return self.network.classes

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""
    check_labeled(batch, self)
    variables = self.network.init(key, batch['image'][:1])
    return {'model': {'params': variables['params']}}

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""
    return (Update(wrt=('model',), loss=self.loss),)

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the mean cross-entropy, in nats."""
    del step
    key_corruption, key_dropout = jax.random.split(key)
    corrupt = CORRUPTIONS[self.corruption]
    images = corrupt(batch['image'], self.level, key_corruption)
    logits, _ = self.network.apply(
      players['model'], images, train=True, rngs={'dropout': key_dropout}
    )
    loss = jnp.mean(softmax_cross_entropy(logits, batch['label']))
    wrong = jnp.argmax(logits, axis=-1) != batch['label']
    return loss, Aux({'error': jnp.mean(wrong)})

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    return {'classify': self.classify, 'features': self.features}

  def classify(self, players: Players, batch: Batch) -> jax.Array:
    """Returns class logits, [B, K]."""
    return self.network.apply(players['model'], batch['image'])[0]

  def features(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the inputs of the last linear layer, [B, F]."""
    return self.network.apply(players['model'], batch['image'])[1]
