"""The autoencoder, also with sparse latents or corrupted inputs.

References:
  Hinton and Salakhutdinov, 2006, Reducing the Dimensionality of Data with
  Neural Networks.
  Ng, 2011, Sparse autoencoder.
  Vincent et al., 2008, Extracting and Composing Robust Features with Denoising
  Autoencoders.
"""

import dataclasses
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.errors import InputError
from gen_jax.losses.corruption import CORRUPTIONS
from gen_jax.losses.reconstruction import RECONSTRUCTIONS, scaled_l2
from gen_jax.objectives.parts.shapes import check_images
from gen_jax.objectives.parts.sparsity import Sparsity
from gen_jax.registry.fields import Weight, one_of

ACTIVATIONS = {
  'linear': lambda x: x,
  'relu': nn.relu,
  'sigmoid': nn.sigmoid,
  'tanh': jnp.tanh,
}


@dataclasses.dataclass(frozen=True)
class Autoencoder:
  """One player, `model`: an encoder f, latents, and a decoder g.

  Minimizes error(x, g(f(corrupted x))) + weight penalty(f(corrupted x)).

  Attributes:
    encoder: images [B, H, W, C] -> [B, Z].
    decoder: latents [B, Z] -> [B, H, W, C].
    reconstruction: 'l2', 'l1' or 'cross_entropy' (of logits).
    latent_activation: 'linear', 'relu', 'sigmoid' or 'tanh'.
    sparsity: a penalty on the latents; None for none.
    corruption: of the encoder's input in training, 'gaussian', 'masking',
      'salt_and_pepper' or 'deformation'; '' for none.
    level: standard deviation of the Gaussian, for pixels in [0, 1], the
      probability that a pixel is replaced, or the range of a deformation, in
      pixels.
  """

  encoder: nn.Module
  decoder: nn.Module
  reconstruction: Annotated[str, one_of(RECONSTRUCTIONS)] = 'l2'
  latent_activation: Annotated[str, one_of(ACTIVATIONS)] = 'linear'
  sparsity: Sparsity | None = None
  corruption: Annotated[str, one_of(('', *CORRUPTIONS))] = ''
  level: Weight = 0.5

  pixels: ClassVar[str] = 'unit'
  classes: ClassVar[int] = 0

  def __post_init__(self) -> None:
    if self.sparsity:
      known = self.sparsity.activations
      if self.latent_activation not in known:
        raise InputError(
          f'objective.latent_activation={self.latent_activation!r}: '
          f'sparsity.{type(self.sparsity).__name__} needs {" or ".join(known)}.'
        )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns every player's variables, for a batch of examples."""
    key_encoder, key_decoder = jax.random.split(key)
    images = batch['image'][:1]
    latents, encoder = self.encoder.init_with_output(key_encoder, images)
    output, decoder = self.decoder.init_with_output(key_decoder, latents)
    check_images(output, images, 'objective.decoder.shape')
    params = {'encoder': encoder['params'], 'decoder': decoder['params']}
    return {'model': {'params': params}}

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""
    why = self.sparsity.whole_batch if self.sparsity else ''
    return (Update(wrt=('model',), loss=self.loss, whole_batch=why),)

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the mean reconstruction error and the sparsity penalty."""
    del step
    inputs = batch
    if self.corruption:
      inputs = {**batch, 'image': self.corrupt(players, batch, key=key)}
    latents = self.encode(players, inputs)
    error = jnp.mean(self._error(batch, self._output(players, latents)))
    if not self.sparsity:
      return error, Aux({'reconstruction': error})
    penalty, activity = self.sparsity.penalty(latents)
    metrics = {
      'reconstruction': error,
      'sparsity': penalty,
      'activity': activity,
    }
    return error + self.sparsity.weight * penalty, Aux(metrics)

  def predict_fns(self) -> Capabilities:
    """Returns what the trained model can do."""
    fns: Capabilities = {
      'reconstruct': self.reconstruct,
      'encode': self.encode,
      'decode': self.decode,
      'anomaly_scores': self.anomaly_scores,
    }
    if self.corruption:
      fns['corrupt'] = self.corrupt
    return fns

  def encode(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the latents of a batch, [B, Z]."""
    params = players['model']['params']['encoder']
    return ACTIVATIONS[self.latent_activation](
      self.encoder.apply({'params': params}, batch['image'])
    )

  def decode(self, players: Players, latents: jax.Array) -> jax.Array:
    """Returns the images of latents [N, Z], [N, H, W, C]."""
    image = RECONSTRUCTIONS[self.reconstruction].image
    return image(self._output(players, latents))

  def corrupt(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> jax.Array:
    """Returns the images of a batch as corrupted in training, [B, H, W, C]."""
    del players
    return CORRUPTIONS[self.corruption](batch['image'], self.level, key)

  def reconstruct(
    self, players: Players, batch: Batch, *, key: jax.Array | None = None
  ) -> jax.Array:
    """Returns the images of a batch after encoding and decoding them."""
    del key
    return self.decode(players, self.encode(players, batch))

  def anomaly_scores(
    self, players: Players, batch: Batch, *, key: jax.Array | None = None
  ) -> dict[str, jax.Array]:
    """Returns each image's reconstruction error, also as `scaled_l2`, [B]."""
    del key
    output = self._output(players, self.encode(players, batch))
    image = RECONSTRUCTIONS[self.reconstruction].image(output)
    return {
      'error': self._error(batch, output),
      'scaled_error': scaled_l2(batch['image'], image),
    }

  def _output(self, players, latents):
    params = players['model']['params']['decoder']
    return self.decoder.apply({'params': params}, latents)

  def _error(self, batch, output):
    error = RECONSTRUCTIONS[self.reconstruction].error
    return error(batch['image'], output)
