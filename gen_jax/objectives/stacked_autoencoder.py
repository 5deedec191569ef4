"""The stacked autoencoder: greedy layers, then all at once, then a classifier.

Two objectives with the same players, so that each stage starts from what those
before it learned.

References:
  Bengio et al., 2007, Greedy Layer-Wise Training of Deep Networks.
  Hinton and Salakhutdinov, 2006, Reducing the Dimensionality of Data with
  Neural Networks.
  Vincent et al., 2010, Stacked Denoising Autoencoders.
"""

import dataclasses
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.errors import InputError, nearest
from gen_jax.losses.classification import softmax_cross_entropy
from gen_jax.losses.corruption import CORRUPTIONS
from gen_jax.losses.reconstruction import RECONSTRUCTIONS, l2
from gen_jax.models.autoencoder import DenseDecoder, DenseEncoder
from gen_jax.objectives.autoencoder import ACTIVATIONS
from gen_jax.objectives.parts.labels import check_labeled
from gen_jax.objectives.parts.shapes import check_images
from gen_jax.registry.fields import (
  Count,
  Dtype,
  Shape,
  SomeSizes,
  Weight,
  one_of,
)


@dataclasses.dataclass(frozen=True)
class Stack:
  """Players `layer_0`, ..., `layer_{k-1}` and `classifier`.

  A layer encodes the latents of the layer below and decodes its own back to
  them. The lowest layer encodes images, and the classifier takes the latents of
  the highest layer.

  Attributes:
    shape: of an image, (H, W, C).
    widths: numbers of latents, from the lowest layer to the highest.
    classes: outputs of the classifier.
    hidden_activation: of the latents of every layer but the highest.
    latent_activation: of the latents of the highest layer.
    dtype: of the computation; parameters and outputs are float32.
  """

  shape: tuple[int, int, int]
  widths: tuple[int, ...]
  classes: int
  hidden_activation: str
  latent_activation: str
  dtype: Dtype = None

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""
    x, players = batch['image'][:1], {}
    check_images(jnp.zeros((1, *self.shape)), x, 'objective.shape')
    for index in range(len(self.widths)):
      key_encoder, key_decoder = jax.random.split(
        jax.random.fold_in(key, index)
      )
      encoder, decoder = self._networks(index)
      latents, down = encoder.init_with_output(key_encoder, x)
      up = decoder.init(key_decoder, latents)
      params = {'encoder': down['params'], 'decoder': up['params']}
      players[f'layer_{index}'] = {'params': params}
      x = latents
    key_classifier = jax.random.fold_in(key, len(self.widths))
    classifier = self._classifier.init(key_classifier, x)
    return {**players, 'classifier': {'params': classifier['params']}}

  def encode(
    self, players: Players, x: jax.Array, start: int, stop: int
  ) -> jax.Array:
    """Maps the input of layer `start` to the latents of layer `stop` - 1."""
    for index in range(start, stop):
      encoder, _ = self._networks(index)
      params = players[f'layer_{index}']['params']['encoder']
      last = index == len(self.widths) - 1
      name = self.latent_activation if last else self.hidden_activation
      x = ACTIVATIONS[name](encoder.apply({'params': params}, x))
    return x

  def decode(
    self, players: Players, x: jax.Array, start: int, stop: int
  ) -> jax.Array:
    """Maps latents of layer `start` - 1 back to the input of layer `stop`.

    For `stop` 0 it is the output for images, which `reconstruction` interprets.
    """
    for index in reversed(range(stop, start)):
      _, decoder = self._networks(index)
      params = players[f'layer_{index}']['params']['decoder']
      x = decoder.apply({'params': params}, x)
      x = ACTIVATIONS[self.hidden_activation](x) if index else x
    return x

  def classify(self, players: Players, latents: jax.Array) -> jax.Array:
    """Returns the logits of the classes, [B, K], of the highest latents."""
    params = players['classifier']['params']
    return self._classifier.apply({'params': params}, latents)

  def _networks(self, index):
    below = (self.widths[index - 1],) if index else self.shape
    common = dict(hidden=(), dtype=self.dtype)
    encoder = DenseEncoder(features=self.widths[index], **common)
    return encoder, DenseDecoder(shape=below, **common)

  @property
  def _classifier(self):
    return DenseEncoder(features=self.classes, hidden=(), dtype=self.dtype)


def corrupt(
  x: jax.Array, corruption: str, level: float, key: jax.Array
) -> jax.Array:
  """Corrupts images [B, H, W, C], or latents [B, Z] as pixels in a row."""
  if x.ndim == 4:
    return CORRUPTIONS[corruption](x, level, key)
  return CORRUPTIONS[corruption](x[:, :, None, None], level, key)[:, :, 0, 0]


@dataclasses.dataclass(frozen=True)
class StackedAutoencoder:
  """Layers `first` to `depth` - 1 learn together to remove a corruption.

  One layer at a time is greedy pretraining (Bengio et al. 2007). All layers
  together are one deep autoencoder, the unrolled stack of Hinton and
  Salakhutdinov 2006, figure 1.

  Attributes:
    shape: of an image, (H, W, C).
    widths: numbers of latents, from the lowest layer to the highest.
    classes: outputs of the classifier, which does not learn here.
    first: the lowest layer that learns; the layers below stay as they are.
    depth: the number of layers in use; 0 for all.
    reconstruction: of images; 'l2', 'l1' or 'cross_entropy' (of logits).
    hidden_activation: of all latents but the highest; 'relu', 'sigmoid', ...
    latent_activation: of the highest latents.
    corruption: of the input of the lowest layer that learns; 'gaussian',
      'masking', 'salt_and_pepper' or, for images, 'deformation'.
    level: of the corruption, as in `losses/corruption.py`.
    dtype: of the computation; None for that of `config.precision`.
  """

  shape: Shape
  widths: SomeSizes
  classes: Count = 10
  first: Count = 0
  depth: Count = 0
  reconstruction: Annotated[str, one_of(RECONSTRUCTIONS)] = 'cross_entropy'
  hidden_activation: Annotated[str, one_of(ACTIVATIONS)] = 'relu'
  latent_activation: Annotated[str, one_of(ACTIVATIONS)] = 'linear'
  corruption: Annotated[str, one_of(CORRUPTIONS)] = 'masking'
  level: Weight = 0.0
  dtype: Dtype = None

  pixels: ClassVar[str] = 'unit'

  def __post_init__(self) -> None:
    if self.depth > len(self.widths):
      raise InputError(
        f'objective.depth={self.depth}: there are {len(self.widths)} layers.'
      )
    if self.first >= self._depth:
      raise InputError(
        f'objective.first={self.first}: the layers in use are 0 to '
        f'{self._depth - 1}.'
      )
    if self.first and self.corruption == 'deformation':
      raise InputError(
        f'objective.corruption={self.corruption!r} is for images: layer '
        f'{self.first} gets latents.' + nearest('masking', CORRUPTIONS)
      )

  @property
  def stack(self) -> Stack:
    """Returns the layers."""
    return Stack(
      self.shape,
      self.widths,
      self.classes,
      self.hidden_activation,
      self.latent_activation,
      self.dtype,
    )

  @property
  def _depth(self):
    return self.depth or len(self.widths)

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""
    return self.stack.init(key, batch)

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""
    names = tuple(f'layer_{i}' for i in range(self.first, self._depth))
    return (Update(wrt=names, loss=self.loss, name='autoencoder'),)

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns mean_b L(h_b, g(f(q(h_b)))), h the input of layer `first`.

    q is the corruption and L the reconstruction error, summed over pixels or
    units (Vincent et al. 2010, section 3.2 and figure 3).
    """
    del step
    clean = self.stack.encode(players, batch['image'], 0, self.first)
    inputs = corrupt(clean, self.corruption, self.level, key)
    latents = self.stack.encode(players, inputs, self.first, self._depth)
    output = self.stack.decode(players, latents, self._depth, self.first)
    error = jnp.mean(self._error(clean, output))
    return error, Aux({'reconstruction': error})

  def _error(self, x, output):
    """Returns the reconstruction error of images or latents, [B]."""
    if x.ndim < 4:
      return l2(x, output)
    return RECONSTRUCTIONS[self.reconstruction].error(x, output)

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    return {
      'encode': self.encode,
      'decode': self.decode,
      'reconstruct': self.reconstruct,
      'anomaly_scores': self.anomaly_scores,
    }

  def encode(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the latents of the highest layer in use, [B, Z]."""
    return self.stack.encode(players, batch['image'], 0, self._depth)

  def decode(self, players: Players, latents: jax.Array) -> jax.Array:
    """Returns the images of latents [N, Z] of the highest layer in use."""
    output = self.stack.decode(players, latents, self._depth, 0)
    return RECONSTRUCTIONS[self.reconstruction].image(output)

  def reconstruct(
    self, players: Players, batch: Batch, *, key: jax.Array | None = None
  ) -> jax.Array:
    """Returns the images of a batch after encoding and decoding them."""
    del key
    return self.decode(players, self.encode(players, batch))

  def anomaly_scores(
    self, players: Players, batch: Batch, *, key: jax.Array | None = None
  ) -> dict[str, jax.Array]:
    """Returns the reconstruction error of each image, {'error': [B]}."""
    del key
    latents = self.encode(players, batch)
    output = self.stack.decode(players, latents, self._depth, 0)
    return {'error': self._error(batch['image'], output)}


@dataclasses.dataclass(frozen=True)
class StackedClassifier:
  """All encoders learn the classes, with a linear softmax on the latents.

  The decoders stay as they are. Without stages before it, this is a network
  that starts from scratch.

  Attributes:
    shape: of an image, (H, W, C).
    widths: numbers of latents, from the lowest layer to the highest.
    classes: outputs of the classifier.
    hidden_activation: of all latents but the highest; 'relu', 'sigmoid', ...
    latent_activation: of the highest latents.
    corruption: of images in training, of `losses/corruption.py`.
    level: of the corruption.
    dtype: of the computation; None for that of `config.precision`.
  """

  shape: Shape
  widths: SomeSizes
  classes: Count = 10
  hidden_activation: Annotated[str, one_of(ACTIVATIONS)] = 'relu'
  latent_activation: Annotated[str, one_of(ACTIVATIONS)] = 'linear'
  corruption: Annotated[str, one_of(CORRUPTIONS)] = 'masking'
  level: Weight = 0.0
  dtype: Dtype = None

  pixels: ClassVar[str] = 'unit'

  @property
  def stack(self) -> Stack:
    """Returns the layers."""
    return Stack(
      self.shape,
      self.widths,
      self.classes,
      self.hidden_activation,
      self.latent_activation,
      self.dtype,
    )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""
    check_labeled(batch, self)
    return self.stack.init(key, batch)

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""
    names = tuple(f'layer_{i}' for i in range(len(self.widths)))
    return (Update((*names, 'classifier'), self.loss, name='classifier'),)

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns mean_b -log softmax(W f(q(x_b)) + b)[y_b], in nats."""
    del step
    images = corrupt(batch['image'], self.corruption, self.level, key)
    logits = self.classify(players, {**batch, 'image': images})
    loss = jnp.mean(softmax_cross_entropy(logits, batch['label']))
    wrong = jnp.argmax(logits, axis=-1) != batch['label']
    return loss, Aux({'error': jnp.mean(wrong.astype(jnp.float32))})

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    return {'encode': self.encode, 'classify': self.classify}

  def encode(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the latents of the highest layer, [B, Z]."""
    return self.stack.encode(players, batch['image'], 0, len(self.widths))

  def classify(self, players: Players, batch: Batch) -> jax.Array:
    """Returns class logits, [B, K]."""
    return self.stack.classify(players, self.encode(players, batch))
