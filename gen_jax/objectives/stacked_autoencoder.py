"""The stacked autoencoder: greedy layers, then all at once, then a classifier.

Bengio et al. 2007, "Greedy layer-wise training of deep networks"; Hinton and
Salakhutdinov 2006, who unroll the stack; Vincent et al. 2010, whose layers
remove noise. Three objectives with the same players, one for each kind of
stage, so that a stage starts from what those before it learned.
"""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.errors import InputError, nearest
from gen_jax.losses.classification import softmax_cross_entropy
from gen_jax.losses.corruption import CORRUPTIONS
from gen_jax.losses.reconstruction import RECONSTRUCTIONS, l2
from gen_jax.models.autoencoder import DenseDecoder, DenseEncoder
from gen_jax.objectives.autoencoder import ACTIVATIONS
from gen_jax.objectives.labels import check_labeled
from gen_jax.objectives.shapes import check_images
from gen_jax.registry.fields import Count, Shape, SomeSizes, Weight, one_of


@dataclasses.dataclass(frozen=True)
class _Stack:
  """Players `layer_0`, ..., `layer_{k-1}` and `classifier`.

  A layer encodes the code of the layer below and decodes its own back to that;
  the lowest works on images, the classifier on the highest code.

  Attributes:
    shape: of an image, (H, W, C).
    widths: of the codes, from the lowest layer to the highest.
    classes: outputs of the classifier.
    reconstruction: of images; 'l2', 'l1' or 'cross_entropy' (of logits).
    hidden: activation of every code but the highest; 'relu', 'sigmoid', ...
    code: activation of the highest code.
    noise: 'gaussian', 'masking', 'salt_and_pepper' or, for images,
      'deformation': on what the layers that learn see in training.
    amount: of the noise, as in `losses/corruption.py`.
  """

  shape: Shape
  widths: SomeSizes
  classes: Count = 10
  reconstruction: one_of(RECONSTRUCTIONS) = 'cross_entropy'
  hidden: one_of(ACTIVATIONS) = 'relu'
  code: one_of(ACTIVATIONS) = 'linear'
  noise: one_of(CORRUPTIONS) = 'masking'
  amount: Weight = 0.0

  pixels = 'unit'

  @property
  def depth(self) -> int:
    """Layers of the stack that this stage works with."""
    return len(self.widths)

  def init(self, key: jax.Array, batch: Batch) -> Players:
    x, players = batch['image'][:1], {}
    check_images(jnp.zeros((1, *self.shape)), x, 'objective.shape')
    for index in range(len(self.widths)):
      key_encoder, key_decoder = jax.random.split(
        jax.random.fold_in(key, index)
      )
      encoder, decoder = self._networks(index)
      code, down = encoder.init_with_output(key_encoder, x)
      up = decoder.init(key_decoder, code)
      params = {'encoder': down['params'], 'decoder': up['params']}
      players[f'layer_{index}'] = {'params': params}
      x = code
    key_classifier = jax.random.fold_in(key, len(self.widths))
    classifier = self._classifier.init(key_classifier, x)
    return {**players, 'classifier': {'params': classifier['params']}}

  # A layer and its place in the stack.

  def _networks(self, index):
    below = (self.widths[index - 1],) if index else self.shape
    encoder = DenseEncoder(features=self.widths[index], hidden=())
    return encoder, DenseDecoder(shape=below, hidden=())

  @property
  def _classifier(self):
    return DenseEncoder(features=self.classes, hidden=())

  def _up(self, players, x, start, stop):
    """From what layer `start` sees to the code of layer `stop` - 1."""
    for index in range(start, stop):
      encoder, _ = self._networks(index)
      params = players[f'layer_{index}']['params']['encoder']
      last = index == len(self.widths) - 1
      activation = ACTIVATIONS[self.code if last else self.hidden]
      x = activation(encoder.apply({'params': params}, x))
    return x

  def _down(self, players, x, start, stop):
    """From the code of layer `start` - 1 to the one that layer `stop` sees.

    Down to `stop` 0 it is the output for images, of which `reconstruction`
    makes pixels.
    """
    for index in reversed(range(stop, start)):
      _, decoder = self._networks(index)
      params = players[f'layer_{index}']['params']['decoder']
      x = decoder.apply({'params': params}, x)
      x = ACTIVATIONS[self.hidden](x) if index else x
    return x

  def _corrupt(self, x, key):
    """Noise on images [B, H, W, C], or on codes [B, Z] as pixels in a row."""
    corruption = CORRUPTIONS[self.noise]
    if x.ndim == 4:
      return corruption(x, self.amount, key)
    return corruption(x[:, :, None, None], self.amount, key)[:, :, 0, 0]

  def _error(self, index, x, output):
    """Of what layer `index` sees, [B]."""
    if index:
      return l2(x, output)
    return RECONSTRUCTIONS[self.reconstruction].error(x, output)

  # What the trained stack can do.

  def encode(self, players: Players, batch: Batch) -> jax.Array:
    """Codes of the highest layer in use, [B, Z]."""
    return self._up(players, batch['image'], 0, self.depth)

  def decode(self, players: Players, codes: jax.Array) -> jax.Array:
    """Images of codes [B, Z], down through all layers."""
    output = self._down(players, codes, self.depth, 0)
    return RECONSTRUCTIONS[self.reconstruction].image(output)

  def reconstruct(self, players: Players, batch: Batch, *, key=None):
    """Images through the highest code in use, [B, H, W, C]."""
    del key
    return self.decode(players, self.encode(players, batch))

  def scores(self, players: Players, batch: Batch, *, key=None):
    """The reconstruction error of each image, {'error': [B]}."""
    del key
    output = self._down(players, self.encode(players, batch), self.depth, 0)
    return {'error': self._error(0, batch['image'], output)}


@dataclasses.dataclass(frozen=True)
class _Autoencoder(_Stack):
  """Layers `first` to `depth` - 1 learn together to remove noise."""

  @property
  def first(self) -> int:
    """The lowest layer that learns; those below are as they are."""
    return 0

  def updates(self) -> tuple[Update, ...]:
    names = tuple(f'layer_{i}' for i in range(self.first, self.depth))
    return (Update(wrt=names, loss=self.loss, name='autoencoder'),)

  def loss(self, players: Players, batch: Batch, *, key, step):
    """mean_b L(h_b, g(f(q(h_b)))), h the code below the layers that learn.

    q is the noise and L the reconstruction error, summed over pixels or units
    (Vincent et al. 2010, section 3.2 and figure 3).
    """
    del step
    clean = self._up(players, batch['image'], 0, self.first)
    seen = self._corrupt(clean, key)
    codes = self._up(players, seen, self.first, self.depth)
    output = self._down(players, codes, self.depth, self.first)
    error = jnp.mean(self._error(self.first, clean, output))
    return error, Aux({'reconstruction': error})

  def predict_fns(self):
    return {
      'encode': self.encode,
      'decode': self.decode,
      'reconstruct': self.reconstruct,
      'anomaly_scores': self.scores,
    }


@dataclasses.dataclass(frozen=True)
class GreedyLayer(_Autoencoder):
  """One layer learns, on the code of those below, which do not move.

  Attributes:
    index: of the layer that learns, from 0.
  """

  index: Count = 0

  def __post_init__(self):
    if not 0 <= self.index < len(self.widths):
      raise InputError(
        f'objective.index={self.index}: there are layers 0 to '
        f'{len(self.widths) - 1}.'
      )
    if self.index and self.noise == 'deformation':
      raise InputError(
        f'objective.noise={self.noise!r} is for images: layer {self.index} '
        'sees a code.' + nearest('masking', CORRUPTIONS)
      )

  @property
  def first(self) -> int:
    return self.index

  @property
  def depth(self) -> int:
    return self.index + 1


@dataclasses.dataclass(frozen=True)
class Unrolled(_Autoencoder):
  """All layers learn together, as one deep autoencoder.

  Hinton and Salakhutdinov 2006, figure 1: the encoders, then the decoders in
  the opposite order.
  """


@dataclasses.dataclass(frozen=True)
class Classifier(_Stack):
  """All encoders learn the classes, with a linear softmax on the highest code.

  The decoders stay as they are. Without stages before it, this is a network
  that starts from scratch.
  """

  def init(self, key: jax.Array, batch: Batch) -> Players:
    check_labeled(batch, self)
    return super().init(key, batch)

  def updates(self) -> tuple[Update, ...]:
    names = tuple(f'layer_{i}' for i in range(self.depth))
    return (Update((*names, 'classifier'), self.loss, name='classifier'),)

  def loss(self, players: Players, batch: Batch, *, key, step):
    """mean_b -log softmax(W f(q(x_b)) + b)[y_b], in nats."""
    del step
    seen = {**batch, 'image': self._corrupt(batch['image'], key)}
    logits = self.classify(players, seen)
    loss = jnp.mean(softmax_cross_entropy(logits, batch['label']))
    wrong = jnp.argmax(logits, axis=-1) != batch['label']
    return loss, Aux({'error': jnp.mean(wrong.astype(jnp.float32))})

  def predict_fns(self):
    return {'encode': self.encode, 'classify': self.classify}

  def classify(self, players: Players, batch: Batch) -> jax.Array:
    """Logits, [B, K]."""
    params = players['classifier']['params']
    codes = self.encode(players, batch)
    return self._classifier.apply({'params': params}, codes)
