"""The variational autoencoders of `configs/vae.py`, and their twins."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from bench import peer
from bench.harness import Row
from bench.peer import torch


def rows() -> list[Row]:
  """Returns the rows of this module."""
  return [
    Row('vae_dense', 'configs/vae.py:dense', Dense, target=1.2),
    Row('vae_conv', 'configs/vae.py', Conv, target=0.85),
  ]


class _VAE:
  """The bound of `gen_jax.objectives.vae`, for binary pixels."""

  def __init__(self, objective: Any, batch_size: int):
    self._objective = objective
    self._noise_shape = (batch_size, objective.encoder.features // 2)
    self.players = {'model': self.make()}

  def sample_noise(self, update: str) -> Any:
    """Samples the noise of an update's loss."""
    return torch.randn(self._noise_shape)

  def noise(self, update: str, key: jax.Array) -> Any:
    """Returns the noise that our loss samples with a key."""
    noise = jax.random.normal(key, (1, *self._noise_shape))[0]
    return peer.tensor(noise)

  def loss(self, update: str, batch: Mapping[str, Any], noise: Any) -> Any:
    """Returns the loss of an update."""
    x = (batch['image'] >= 128).to(torch.float32)
    mean, log_variance = self.encode(x).chunk(2, dim=1)  # [B, Z]
    logits = self.decode(mean + torch.exp(log_variance / 2) * noise)
    reconstruction = torch.nn.functional.binary_cross_entropy_with_logits(
      logits, x, reduction='sum'
    )
    kl = (mean.square() + log_variance.exp() - log_variance - 1).sum() / 2
    return (reconstruction + kl) / len(x)


class Dense(_VAE):
  """Fully connected layers on flat images."""

  def make(self) -> Any:
    """Returns the networks."""
    encoder, decoder = self._objective.encoder, self._objective.decoder
    pixels, latents = int(np.prod(decoder.shape)), encoder.features // 2
    return torch.nn.ModuleDict(
      {
        'encoder': _mlp(pixels, *encoder.hidden, encoder.features),
        'decoder': _mlp(latents, *decoder.hidden, pixels),
      }
    )

  def prepare(self, data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data set as the twin keeps it."""
    images = np.asarray(data['image']).reshape(len(data['image']), -1)
    return {'image': peer.tensor(images)}

  def encode(self, x: Any) -> Any:
    """Returns mean and log-variance of images."""
    return self.players['model']['encoder'](x).float()

  def decode(self, latents: Any) -> Any:
    """Returns the logits of the pixels."""
    return self.players['model']['decoder'](latents).float()

  def layout(self, player: str, params: Any) -> dict[str, np.ndarray]:
    """Returns our parameters under the names of the module."""
    arrays = {}
    for part, layers in params.items():
      for i in range(len(layers)):  # a ReLU stands between two layers
        arrays |= peer.dense(f'{part}.{2 * i}', layers[f'Dense_{i}'])
    return arrays


class Conv(_VAE):
  """Convolutions of stride 2, and transposed ones.

  The twin is our network for rotated images; see `peer.rotated`.
  """

  def make(self) -> Any:
    """Returns the networks."""
    encoder, decoder = self._objective.encoder, self._objective.decoder
    nn, (height, width, depth) = torch.nn, decoder.shape

    def convs(kind, channels, kernel, **more):
      pairs = zip(channels, channels[1:], strict=False)
      pad = (kernel - 1) // 2
      layers = [kind(a, b, kernel, 2, pad, **more) for a, b in pairs]
      return nn.ModuleList(layers)

    scale = 2 ** len(encoder.channels)
    features = height * width // scale**2 * encoder.channels[-1]
    scale = 2 ** len(decoder.channels)
    self._map = (height // scale, width // scale, decoder.base)
    model = nn.ModuleDict(
      {
        'convs': convs(nn.Conv2d, (depth, *encoder.channels), encoder.kernel),
        'code': nn.Linear(features, encoder.features),
        'map': nn.Linear(encoder.features // 2, int(np.prod(self._map))),
        'transposed': convs(
          nn.ConvTranspose2d,
          (decoder.base, *decoder.channels),
          decoder.kernel,
          output_padding=decoder.kernel % 2,
        ),
        'pixels': nn.ConvTranspose2d(
          decoder.channels[-1],
          depth,
          decoder.kernel,
          padding=(decoder.kernel - 1) // 2,
        ),
      }
    )
    # Not slower than channels first in a trial, on a busy machine.
    return model.to(memory_format=torch.channels_last)

  def prepare(self, data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data set as the twin keeps it."""
    images = peer.rotate(data['image'], 1).transpose(0, 3, 1, 2)
    return {'image': peer.tensor(images)}

  def encode(self, x: Any) -> Any:
    """Returns mean and log-variance of images."""
    model = self.players['model']
    for layer in model['convs']:
      x = torch.relu(layer(x))
    return model['code'](x.permute(0, 2, 3, 1).flatten(1)).float()

  def decode(self, latents: Any) -> Any:
    """Returns the logits of the pixels."""
    model = self.players['model']
    x = torch.relu(model['map'](latents)).view(-1, *self._map)
    x = x.permute(0, 3, 1, 2)
    for layer in model['transposed']:
      x = torch.relu(layer(x))
    return model['pixels'](x).float()

  def layout(self, player: str, params: Any) -> dict[str, np.ndarray]:
    """Returns our parameters under the names of the module."""
    encoder, decoder = params['encoder'], params['decoder']
    arrays = {}
    for i in range(len(self._objective.encoder.channels)):
      arrays |= peer.conv(f'convs.{i}', peer.rotated(encoder[f'Conv_{i}']))
    code = dict(encoder['Dense_0'])
    scale = 2 ** len(self._objective.encoder.channels)
    height, width = (n // scale for n in self._objective.decoder.shape[:2])
    code['kernel'] = peer.rotate_flat(code['kernel'], (height, width), 0)
    arrays |= peer.dense('code', code)
    first = {
      k: peer.rotate_flat(x, self._map[:2], x.ndim - 1)
      for k, x in decoder['Dense_0'].items()
    }
    arrays |= peer.dense('map', first)
    count = len(self._objective.decoder.channels)
    for i in range(count + 1):
      name = f'transposed.{i}' if i < count else 'pixels'
      layer = peer.rotated(decoder[f'ConvTranspose_{i}'])
      arrays |= peer.conv_transpose(name, layer)
    return arrays


def _mlp(*widths):
  layers = []
  for a, b in zip(widths, widths[1:], strict=False):
    layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
  return torch.nn.Sequential(*layers[:-1])
