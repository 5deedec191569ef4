"""DCGAN and WGAN-GP of `configs`, and their twins."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bench import peer
from bench.harness import Row
from bench.peer import torch


def rows() -> list[Row]:
  """Returns the rows of this module."""
  # Networks of two levels, as those of the other row, and the paper's updates.
  sizes = {
    'batch_size': 128,
    'objective.latents': dict(name='latents.Normal', size=100),
    'objective.disc_steps': 5,
    'objective.gen.channels': (256, 128),
    'objective.gen.kernel': 5,
    'objective.disc.channels': (64, 128),
    'objective.disc.kernel': 5,
  }
  return [
    Row('dcgan', 'configs/dcgan.py:small', DCGAN, target=0.9),
    Row('wgan_gp', 'configs/wgan_gp.py', WGANGP, target=1.05, fields=sizes),
  ]


class _Noise(NamedTuple):
  """The random values of a loss.

  Attributes:
    latents: of the generator, [B, Z].
    masks: of dropout, by its calls, [B, C, H, W], of mean 1; None where PyTorch
      samples its own.
    mix: where on the lines between data and images, [B, 1, 1, 1].
  """

  latents: Any
  masks: Any
  mix: Any


class _AdversarialTwin:
  """Both players, as ours for rotated images; see `peer.rotated`."""

  negative_slopes = (
    0.0,
    0.2,
  )  # of the rectifiers below 0, of generator and discriminator
  dropout = 0.0

  def __init__(self, objective: Any, batch_size: int):
    self._objective, self._batch_size = objective, batch_size
    latents = jnp.zeros((2, objective.latents.size))
    key = jax.random.key(0)
    made, _ = jax.eval_shape(objective.gen.init_with_output, key, latents)
    self._shape = made.shape[1:]
    self._recorded = {}
    self.players = {'gen': self.make_gen(), 'disc': self.make_disc()}
    for module in self.players.values():  # as the twin of the VAE
      module.to(memory_format=torch.channels_last)

  # The networks.

  def generator(self, first, layers, *, by_unit, bias, eps, momentum):
    """Of a first map (H, W, C), then (channels, stride) of each layer."""
    nn, (*others, last) = torch.nn, layers
    self._map = first
    options = dict(eps=eps, momentum=momentum)
    norms = [
      nn.BatchNorm1d(int(np.prod(first)), **options)
      if by_unit
      else nn.BatchNorm2d(first[2], **options)
    ]
    norms += [nn.BatchNorm2d(width, **options) for width, _ in others]
    transposed, depth = [], first[2]
    for width, stride in layers:
      transposed.append(
        nn.ConvTranspose2d(
          depth,
          width,
          5,
          stride,
          padding=2,
          output_padding=stride - 1,
          bias=bias and (width, stride) == last,
        )
      )
      depth = width
    return nn.ModuleDict(
      {
        'map': nn.Linear(
          self._objective.latents.size, int(np.prod(first)), bias=False
        ),
        'norms': nn.ModuleList(norms),
        'transposed': nn.ModuleList(transposed),
      }
    )

  def convolutions(self, channels):
    """A discriminator of convolutions of stride 2."""
    nn, (height, width, depth) = torch.nn, self._shape
    convs = []
    for features in channels:
      convs.append(nn.Conv2d(depth, features, 5, 2, 2))
      height, width, depth = height // 2, width // 2, features
    self._last = height, width
    return nn.ModuleDict(
      {
        'convs': nn.ModuleList(convs),
        'logit': nn.Linear(height * width * depth, 1),
      }
    )

  def generate(self, latents):
    model, leaky = self.players['gen'], torch.nn.functional.leaky_relu
    first, *others = model['norms']
    x = model['map'](latents)
    by_unit = isinstance(first, torch.nn.BatchNorm1d)
    x = first(x) if by_unit else x
    x = x.view(-1, *self._map).permute(0, 3, 1, 2)
    x = leaky(x if by_unit else first(x), self.negative_slopes[0])
    for layer, norm in zip(model['transposed'], [*others, None], strict=True):
      x = layer(x)
      x = (
        torch.tanh(x)
        if norm is None
        else leaky(norm(x), self.negative_slopes[0])
      )
    return x.float()

  def discriminate(self, x, masks=None):
    model, functional = self.players['disc'], torch.nn.functional
    for layer in model['convs']:
      x = functional.leaky_relu(layer(x), self.negative_slopes[1])
      if masks:
        x = x * next(masks)
      elif self.dropout:
        x = functional.dropout(x, self.dropout)
    return model['logit'](x.permute(0, 2, 3, 1).flatten(1))[:, 0].float()

  def layout(self, player: str, params: Any) -> dict[str, np.ndarray]:
    """Returns our parameters under the names of the module."""
    arrays, size = {}, self._map[:2]
    if player == 'disc':
      logit = dict(params['Dense_0'])
      logit['kernel'] = peer.rotate_flat(logit['kernel'], self._last, 0)
      arrays |= peer.dense('logit', logit)
      for i in range(len(self.players[player]['convs'])):
        layer = peer.rotated(params[f'Conv_{i}'])
        arrays |= peer.conv(f'convs.{i}', layer)
      return arrays
    kernel = peer.rotate_flat(params['Dense_0']['kernel'], size, 1)
    arrays |= peer.dense('map', {'kernel': kernel})
    for i, norm in enumerate(self.players[player]['norms']):
      layer = params[f'Normalized_{i}']['BatchNorm_0']
      if isinstance(norm, torch.nn.BatchNorm1d):
        layer = {k: peer.rotate_flat(x, size, 0) for k, x in layer.items()}
      arrays |= peer.norm(f'norms.{i}', layer)
    for i in range(len(self.players[player]['transposed'])):
      layer = peer.rotated(params[f'ConvTranspose_{i}'])
      arrays |= peer.conv_transpose(f'transposed.{i}', layer)
    return arrays

  # The data and the noise.

  def prepare(self, data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data set as the twin keeps it."""
    images = peer.rotate(data['image'], 1).transpose(0, 3, 1, 2)
    return {'image': peer.tensor(images)}

  def sample_noise(self, update: str) -> Any:
    """Samples the noise of an update's loss."""
    latents = torch.randn(self._batch_size, self._objective.latents.size)
    mix = torch.rand(self._batch_size, 1, 1, 1)
    return _Noise(latents, None, mix)

  def noise(self, update: str, key: jax.Array) -> Any:
    """Returns the noise that our loss samples with a key."""
    if update not in self._recorded:
      self._recorded[update] = jax.jit(_recorder(self._objective, update))
    batch = {'image': jnp.zeros((self._batch_size, *self._shape))}
    latents, masks = self._recorded[update](batch, key)
    masks = [
      peer.tensor(peer.rotate(np.asarray(x, np.float32), 1)).permute(0, 3, 1, 2)
      for x in masks
    ]
    masks = iter(masks) if masks else None
    return _Noise(peer.tensor(latents), masks, self.mix(key))

  def mix(self, key: jax.Array) -> Any:
    """Returns where on the lines between data and images points lie."""
    return None

  # The losses.

  def loss(self, update: str, batch: Mapping[str, Any], noise: Any) -> Any:
    """Returns the loss of an update."""
    if update == 'gen':
      images = self.generate(noise.latents)
      return self.gen_loss(self.discriminate(images, noise.masks))
    real = batch['image'].to(torch.float32) / 127.5 - 1
    with torch.no_grad():
      fake = self.generate(noise.latents)
    return self.disc_loss(real, fake, noise)


class DCGAN(_AdversarialTwin):
  """The networks of TensorFlow's tutorial."""

  negative_slopes = (0.3, 0.3)
  dropout = 0.3

  def make_gen(self) -> Any:
    """Returns the generator."""
    layers = ((128, 1), (64, 2), (1, 2))
    return self.generator(
      (7, 7, 256), layers, by_unit=True, bias=False, eps=1e-3, momentum=0.01
    )

  def make_disc(self) -> Any:
    """Returns the discriminator."""
    return self.convolutions((64, 128))

  def gen_loss(self, logits: Any) -> Any:
    """Returns the loss of the generator."""
    return torch.nn.functional.softplus(-logits).mean()

  def disc_loss(self, real: Any, fake: Any, noise: Any) -> Any:
    """Returns the loss of the discriminator."""
    softplus = torch.nn.functional.softplus
    real = self.discriminate(real, noise.masks)
    fake = self.discriminate(fake, noise.masks)
    return softplus(-real).mean() + softplus(fake).mean()


class WGANGP(_AdversarialTwin):
  """DCGAN's networks, the critic without normalization."""

  def make_gen(self) -> Any:
    """Returns the generator."""
    gen = self._objective.gen
    height, width, depth = gen.shape
    first, *others = gen.channels
    scale = 2 ** len(gen.channels)
    layers = [(c, 2) for c in (*others, depth)]
    return self.generator(
      (height // scale, width // scale, first),
      layers,
      by_unit=False,
      bias=True,
      eps=1e-5,
      momentum=0.1,
    )

  def make_disc(self) -> Any:
    """Returns the discriminator."""
    return self.convolutions(self._objective.disc.channels)

  def mix(self, key: jax.Array) -> Any:
    """Returns where on the lines between data and images points lie."""
    # As `objectives/gan.py` and `regularizers.GradientPenalty` split it.
    _, key_penalty = jax.random.split(key)
    key_mix, _ = jax.random.split(key_penalty)
    return peer.tensor(jax.random.uniform(key_mix, (self._batch_size, 1, 1, 1)))

  def gen_loss(self, logits: Any) -> Any:
    """Returns the loss of the generator."""
    return -logits.mean()

  def disc_loss(self, real: Any, fake: Any, noise: Any) -> Any:
    """Returns the loss of the discriminator."""
    distance = self.discriminate(real).mean() - self.discriminate(fake).mean()
    points = noise.mix * real + (1 - noise.mix) * fake
    points.requires_grad_()
    scores = self.discriminate(points).sum()
    gradients = torch.autograd.grad(scores, points, create_graph=True)[0]
    excess = gradients.flatten(1).norm(dim=1) - 1
    return (
      self._objective.regularizers[0].weight * excess.square().mean() - distance
    )


def _recorder(objective, name: str):
  """Makes `(batch, key) -> latents, masks`: what our loss samples with the key.

  Its networks are recorded, so that nothing needs to be known here of how
  the loss and Flax share the key out.
  """
  updates = {update.name: update for update in objective.updates()}

  def run_recorded(batch, key):
    latents, masks = [], []

    def record(call, args, kwargs, context):
      if isinstance(context.module, type(objective.gen)):
        latents.append(args[0])
      if isinstance(context.module, nn.Dropout):
        masks.append(call(jnp.ones_like(args[0]), **kwargs))
        return args[0] * masks[-1]
      return call(*args, **kwargs)

    players = objective.init(key, batch)
    with nn.intercept_methods(record):
      updates[name].loss(players, batch, key=key, step=0)
    return latents[-1], masks

  return run_recorded
