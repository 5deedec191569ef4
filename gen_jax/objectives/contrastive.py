"""Vectors of captions and images that agree when they belong together.

References:
  Zhang et al., 2020, Contrastive Learning of Medical Visual Representations
  from Paired Images and Text.
"""

import dataclasses
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.losses.contrastive import symmetric
from gen_jax.losses.corruption import CORRUPTIONS
from gen_jax.models import text as text_models
from gen_jax.models.layers.resampling import downsample_to
from gen_jax.registry.fields import Count, Positive, Weight, one_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrastive:
  """Players `text` and `image`, whose vectors agree for pairs only.

  The logit of a caption and an image is the cosine of their vectors over the
  temperature. Each caption has to identify its image among those of the batch,
  and each image its caption. Each step draws one of an image's captions.

  Attributes:
    text: a network of `models/text.py`, captions -> [B, E].
    image: (images [B, H, W, C], train) -> vectors [B, E] and features [B, F],
      such as `classifier.ConvClassifier` with E for its classes.
    temperature: of the logits.
    corruption: of the images in training, of `losses/corruption.py`. The images
      are inverted for it, so that pixels from outside are white.
    level: of the corruption.
    size: height to which images are averaged down; 0 for their own.
  """

  text: nn.Module
  image: nn.Module
  temperature: Positive = 0.1
  corruption: Annotated[str, one_of(CORRUPTIONS)] = 'deformation'
  level: Weight = 0.0
  size: Count = 0

  pixels: ClassVar[str] = 'unit'
  classes: ClassVar[int] = 0

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""
    text_models.check_captioned(batch, self.text)
    key_text, key_image = jax.random.split(key)
    captions = text_models.first(batch[self.text.field])
    text = self.text.init(key_text, captions)
    image = self.image.init(key_image, self._resized(batch['image']))
    widths = [
      self.text.apply(text, captions).shape[-1],
      self.image.apply(image, self._resized(batch['image']))[0].shape[-1],
    ]
    if widths[0] != widths[1]:
      raise InputError(
        f'objective.image has vectors of {widths[1]} numbers, and '
        f'objective.text of {widths[0]}. Use the same size for both.'
      )
    return {'text': {'params': {}, **text}, 'image': image}

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""
    return (
      Update(
        wrt=('text', 'image'),
        loss=self.loss,
        name='match',
        whole_batch='the negatives of a pair are the other pairs of the batch',
      ),
    )

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the mean of both cross-entropies, in nats."""
    del step
    key_choice, key_text, key_corruption, key_image = jax.random.split(key, 4)
    captions = text_models.choose(batch[self.text.field], key_choice)
    texts = self.text.apply(
      players['text'], captions, train=True, rngs={'dropout': key_text}
    )
    images = 1 - self._resized(batch['image'])
    images = 1 - CORRUPTIONS[self.corruption](
      images, self.level, key_corruption
    )
    images, _ = self.image.apply(
      players['image'], images, train=True, rngs={'dropout': key_image}
    )
    # The pairs of all devices, each with all others as its negatives.
    images, texts, captions = (
      collectives.gather(x)
      for x in (text_models.unit(images), text_models.unit(texts), captions)
    )
    logits = images @ texts.T / (texts.shape[-1] * self.temperature)
    flat = captions.reshape(len(captions), -1)
    same = jnp.all(flat[:, None] == flat, axis=-1)  # [B, B]
    right = jnp.argmax(logits, axis=1) == jnp.arange(len(logits))
    metrics = {'accuracy': jnp.mean(right)}
    return jnp.mean(symmetric(logits, same)), Aux(metrics)

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    return {
      'encode_text': self.encode_text,
      'encode_image': self.encode_image,
      'features': self.features,
    }

  def encode_text(self, players: Players, batch: Batch) -> jax.Array:
    """Returns vectors of the first captions, [B, E], of mean square 1."""
    captions = text_models.first(batch[self.text.field])
    return text_models.unit(self.text.apply(players['text'], captions))

  def encode_image(self, players: Players, batch: Batch) -> jax.Array:
    """Returns vectors of the images, [B, E], of mean square 1."""
    images = self._resized(batch['image'])
    return text_models.unit(self.image.apply(players['image'], images)[0])

  def features(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the inputs of the last linear layer, [B, F]."""
    images = self._resized(batch['image'])
    return self.image.apply(players['image'], images)[1]

  def _resized(self, images):
    return downsample_to(images, self.size, 'objective.size')
