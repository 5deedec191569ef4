"""The autoencoder (Hinton and Salakhutdinov 2006)."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.losses.reconstruction import RECONSTRUCTIONS, scaled_l2
from gen_jax.objectives.shapes import check_images
from gen_jax.registry.fields import one_of

ACTIVATIONS = {
  'linear': lambda x: x,
  'relu': nn.relu,
  'sigmoid': nn.sigmoid,
  'tanh': jnp.tanh,
}


@dataclasses.dataclass(frozen=True)
class Autoencoder:
  """One player, `model`: an encoder, a code, a decoder.

  Attributes:
    encoder: images [B, H, W, C] -> [B, Z].
    decoder: codes [B, Z] -> [B, H, W, C].
    reconstruction: 'l2', 'l1' or 'cross_entropy' (of logits).
    code: activation of the code: 'linear', 'relu', 'sigmoid' or 'tanh'.
  """

  encoder: nn.Module
  decoder: nn.Module
  reconstruction: one_of(RECONSTRUCTIONS) = 'l2'
  code: one_of(ACTIVATIONS) = 'linear'

  pixels = 'unit'

  # Training.

  def init(self, key: jax.Array, batch: Batch) -> Players:
    key_encoder, key_decoder = jax.random.split(key)
    images = batch['image'][:1]
    codes, encoder = self.encoder.init_with_output(key_encoder, images)
    output, decoder = self.decoder.init_with_output(key_decoder, codes)
    check_images(output, images, 'objective.decoder.shape')
    params = {'encoder': encoder['params'], 'decoder': decoder['params']}
    return {'model': {'params': params}}

  def updates(self) -> tuple[Update, ...]:
    return (Update(wrt=('model',), loss=self.loss),)

  def loss(self, players: Players, batch: Batch, *, key, step):
    del step
    seen = {**batch, 'image': self.corrupt(batch['image'], key)}
    codes = self.encode(players, seen)
    error = jnp.mean(self._error(batch, self._output(players, codes)))
    penalty, metrics = self.penalty(codes)
    return error + penalty, Aux({'reconstruction': error, **metrics})

  def corrupt(self, images: jax.Array, key: jax.Array) -> jax.Array:
    """What the encoder sees in training; here the images themselves."""
    del key
    return images

  def penalty(self, codes: jax.Array) -> tuple[jax.Array | float, dict]:
    """Of the codes [B, Z], with its metrics; here none."""
    del codes
    return 0.0, {}

  # What the trained model can do.

  def predict_fns(self):
    return {
      'reconstruct': self.reconstruct,
      'encode': self.encode,
      'decode': self.decode,
      'anomaly_scores': self.scores,
    }

  def encode(self, players: Players, batch: Batch) -> jax.Array:
    """Codes, [B, Z]."""
    params = players['model']['params']['encoder']
    return ACTIVATIONS[self.code](
      self.encoder.apply({'params': params}, batch['image'])
    )

  def decode(self, players: Players, codes) -> jax.Array:
    """Images of codes [B, Z]."""
    image = RECONSTRUCTIONS[self.reconstruction].image
    return image(self._output(players, codes))

  def reconstruct(self, players: Players, batch: Batch, *, key=None):
    """Images through the code, [B, H, W, C]."""
    del key
    return self.decode(players, self.encode(players, batch))

  def scores(self, players: Players, batch: Batch, *, key=None):
    """The reconstruction error of each image, and `scaled_l2`, [B]."""
    del key
    output = self._output(players, self.encode(players, batch))
    image = RECONSTRUCTIONS[self.reconstruction].image(output)
    return {
      'error': self._error(batch, output),
      'scaled_error': scaled_l2(batch['image'], image),
    }

  def _output(self, players, codes):
    params = players['model']['params']['decoder']
    return self.decoder.apply({'params': params}, codes)

  def _error(self, batch, output):
    error = RECONSTRUCTIONS[self.reconstruction].error
    return error(batch['image'], output)
