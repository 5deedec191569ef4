"""Captions and images, each told by the other (Zhang et al. 2020)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.losses.contrastive import symmetric
from gen_jax.losses.corruption import CORRUPTIONS
from gen_jax.models import text as text_models
from gen_jax.models.layers.resampling import downsample_to
from gen_jax.registry.fields import Count, Positive, Weight, one_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contrastive:
  """Players `text` and `image`, whose vectors agree for pairs alone.

  The logit of a caption and an image is the cosine of their vectors over the
  temperature; each is to tell its own partner from those of the others in the
  batch. Of an image's captions each step takes one at random.

  Attributes:
    text: a network of `models/text.py`, captions -> [B, E].
    image: (images [B, H, W, C], train) -> vectors [B, E] and features [B, F],
      such as `classifier.ConvClassifier` with E for its classes.
    temperature: of the logits.
    noise: on the images in training, of `losses/corruption.py`; of inverted
      images, so that what comes from outside is white.
    amount: of the noise.
    size: height to which images are averaged down; 0 for their own.
  """

  text: nn.Module
  image: nn.Module
  temperature: Positive = 0.1
  noise: one_of(CORRUPTIONS) = 'deformation'
  amount: Weight = 0.0
  size: Count = 0

  pixels = 'unit'

  def init(self, key: jax.Array, batch: Batch) -> Players:
    text_models.check_captioned(batch, self.text)
    key_text, key_image = jax.random.split(key)
    captions = text_models.first(batch[self.text.field])
    text = self.text.init(key_text, captions)
    image = self.image.init(key_image, self._seen(batch['image']))
    widths = [
      self.text.apply(text, captions).shape[-1],
      self.image.apply(image, self._seen(batch['image']))[0].shape[-1],
    ]
    if widths[0] != widths[1]:
      raise InputError(
        f'objective.image: its vectors are of {widths[1]}, and those of '
        f'objective.text of {widths[0]}.'
      )
    return {'text': {'params': {}, **text}, 'image': image}

  def updates(self) -> tuple[Update, ...]:
    return (
      Update(
        wrt=('text', 'image'),
        loss=self.loss,
        name='match',
        whole_batch='the negatives of a pair are the other pairs of the batch',
      ),
    )

  def loss(self, players: Players, batch: Batch, *, key, step):
    del step
    key_choice, key_text, key_noise, key_image = jax.random.split(key, 4)
    captions = text_models.choose(batch[self.text.field], key_choice)
    texts = self.text.apply(
      players['text'], captions, train=True, rngs={'dropout': key_text}
    )
    images = 1 - self._seen(batch['image'])
    images = 1 - CORRUPTIONS[self.noise](images, self.amount, key_noise)
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

  def predict_fns(self):
    return {
      'encode_text': self.read,
      'encode_image': self.look,
      'features': self.features,
    }

  def read(self, players: Players, batch: Batch) -> jax.Array:
    """Vectors of the first captions, [B, E], of mean square 1."""
    captions = text_models.first(batch[self.text.field])
    return text_models.unit(self.text.apply(players['text'], captions))

  def look(self, players: Players, batch: Batch) -> jax.Array:
    """Vectors of the images, [B, E], of mean square 1."""
    images = self._seen(batch['image'])
    return text_models.unit(self.image.apply(players['image'], images)[0])

  def features(self, players: Players, batch: Batch) -> jax.Array:
    """What the images' vectors are linear in, [B, F]."""
    images = self._seen(batch['image'])
    return self.image.apply(players['image'], images)[1]

  def _seen(self, images):
    return downsample_to(images, self.size, 'objective.size')
