"""CycleGAN of `configs/cyclegan.py` with the networks of the paper."""

import random
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
    Row(
      f'cyclegan_{batch}',
      'configs/cyclegan.py:emoji64',
      CycleGAN,
      target=target,
      fields={
        'batch_size': batch,
        **{f'objective.{p}.channels': 64 for p in _PLAYERS},
        **{f'objective.{p}.blocks': 9 for p in _PLAYERS[:2]},
        'ema': {},  # PyTorch's side has none
      },
    )
    for batch, target in ((1, 1.05), (4, 0.9))
  ]


_PLAYERS = ('gen_ab', 'gen_ba', 'disc_a', 'disc_b')


class CycleGAN:
  """Both pairs of players of `gen_jax.objectives.cyclegan`, with least squares.

  A generator sees what it is to translate and what is to stay as it is in one
  call, and a discriminator both kinds of images, as ours do.

  In PyTorch's common layout, not channels_last: of one image in channels_last,
  the gradient of x + instance_norm(x) is wrong, as finite
  differences show, and neither layout is faster here.
  """

  # In two steps 3e-7 of the weights becomes 2e-3 of the discriminators' losses,
  # ours against ours; of four images by the pure forms 1.2e-2 were seen, by
  # oneDNN's 1.5e-2.
  tolerance = 3e-2

  def __init__(self, objective: Any, batch_size: int):
    del batch_size
    self._objective = objective
    self._pools = {'a': [], 'b': []}
    self._output = {}
    self.players = {}
    for name in _PLAYERS:
      is_gen = name.startswith('gen')
      make = _generator if is_gen else _discriminator
      self.players[name] = make(getattr(objective, name))

  def prepare(self, data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data set as the twin keeps it."""
    return {
      k: peer.tensor(np.asarray(x).transpose(0, 3, 1, 2))
      for k, x in data.items()
    }

  def sample_noise(self, update: str) -> Any:
    """Samples the noise of an update's loss."""
    return None

  def noise(self, update: str, key: jax.Array) -> Any:
    """Returns the noise that our loss samples with a key."""
    # Of the choices of the pool, which is not full yet in the comparison.
    return None

  def loss(self, update: str, batch: Mapping[str, Any], noise: Any) -> Any:
    """Returns the loss of an update."""
    images = {k: x.to(torch.float32) / 127.5 - 1 for k, x in batch.items()}
    loss = {'gen': self._gen_loss, 'disc': self._disc_loss}[update]
    return loss(images)

  def _gen_loss(self, images):
    objective, total, fakes = self._objective, 0.0, {}
    for here, there in ('ab', 'ba'):
      seen = torch.cat([images[here], images[there]])
      made, same = self._translate(here + there, seen).chunk(2)
      fakes[there] = made
      total += objective.identity_weight * (same - images[there]).abs().mean()
    for here, there in ('ab', 'ba'):
      fake = fakes[there]
      logits = self._discriminate(there, fake)
      adversarial = (logits - 1).square().mean() / 2
      total += objective.adversarial_weight * adversarial
      back = self._translate(there + here, fake)
      cycle = (back - images[here]).abs().mean()
      total += objective.cycle_weight * cycle
      self._output[there] = self._exchange(there, fake.detach())
    return total

  def _disc_loss(self, images):
    total = 0.0
    for name in 'ab':
      both = torch.cat([images[name], self._output[name]])
      real, fake = self._discriminate(name, both).chunk(2)
      total += ((real - 1).square().mean() + fake.square().mean()) / 2
    return total

  def _exchange(self, name, images):
    stored, output = self._pools[name], []
    for image in images:
      if len(stored) < self._objective.pool_size:
        stored.append(image)
      elif random.random() < 0.5:
        place = random.randrange(len(stored))
        stored[place], image = image, stored[place]
      output.append(image)
    return torch.stack(output)

  def _translate(self, direction, x):
    functional = torch.nn.functional
    model = self.players[f'gen_{direction}']

    def reflect(x, pad):
      return functional.pad(x, (pad,) * 4, mode='reflect')

    def hidden(layer, x):
      return torch.relu(functional.instance_norm(layer(x)))

    x = hidden(model['first'], reflect(x, 3))
    for layer in model['down']:
      x = hidden(layer, x)
    for block in model['blocks']:
      y = hidden(block[0], reflect(x, 1))
      x = x + functional.instance_norm(block[1](reflect(y, 1)))
    for layer in model['up']:
      x = hidden(layer, x)
    return torch.tanh(model['last'](reflect(x, 3)).float())

  def _discriminate(self, name, x):
    functional, layers = torch.nn.functional, self.players[f'disc_{name}']
    for index, layer in enumerate(layers[:-1]):
      x = layer(x)
      x = functional.instance_norm(x) if index else x
      x = functional.leaky_relu(x, 0.2)
    return layers[-1](x).float()

  def layout(self, player: str, params: Any) -> dict[str, np.ndarray]:
    """Returns our parameters under the names of the module."""
    arrays = {}
    if player.startswith('disc'):
      for index in range(len(params)):
        arrays |= peer.conv(str(index), params[f'Conv_{index}'])
      return arrays
    network = getattr(self._objective, player)
    arrays |= peer.conv('first', params['Conv_0'])
    for level in range(network.levels):
      arrays |= peer.conv(f'down.{level}', params[f'Conv_{level + 1}'])
      up = params[f'ConvTranspose_{level}']
      arrays |= peer.conv_transpose(f'up.{level}', up)
    for block in range(network.blocks):
      for index in range(2):
        layer = params[f'_Block_{block}'][f'Conv_{index}']
        arrays |= peer.conv(f'blocks.{block}.{index}', layer)
    last = params[f'Conv_{network.levels + 1}']
    return arrays | peer.conv('last', last)


def _generator(network):
  nn, width = torch.nn, network.channels
  widths = [width * 2**level for level in range(network.levels + 1)]
  down = [
    nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:], strict=False)
  ]
  up = [
    nn.ConvTranspose2d(b, a, 3, 2, 1, output_padding=1)
    for a, b in zip(widths, widths[1:], strict=False)
  ]
  inner = widths[-1]
  blocks = [
    nn.ModuleList([nn.Conv2d(inner, inner, 3) for _ in range(2)])
    for _ in range(network.blocks)
  ]
  return nn.ModuleDict(
    {
      'first': nn.Conv2d(3, width, 7),
      'down': nn.ModuleList(down),
      'blocks': nn.ModuleList(blocks),
      'up': nn.ModuleList(up[::-1]),
      'last': nn.Conv2d(width, network.out, 7),
    }
  )


def _discriminator(network):
  widths = [3]
  widths += [
    network.channels * min(2**level, 8) for level in range(network.levels + 1)
  ]
  layers = [
    torch.nn.Conv2d(a, b, 4, 2 if level < network.levels else 1, 1)
    for level, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
  ]
  return torch.nn.ModuleList([*layers, torch.nn.Conv2d(widths[-1], 1, 4, 1, 1)])
