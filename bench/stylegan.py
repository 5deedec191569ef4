"""The grown networks of `configs/stylegan.py`, at 32 pixels, and their twin."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from bench import peer
from bench.harness import Row
from bench.peer import torch
from gen_jax.models import stylegan
from gen_jax.models.layers.batches import split
from gen_jax.models.progressive import NEGATIVE_SLOPE, resolutions

_GAIN = 2**0.5


def rows() -> list[Row]:
  """Returns the rows of this module."""
  # The last stage alone, with noise as in the paper, and R1 in every step.
  fields = {
    'stages': (),
    'batch_size': 32,
    'objective.gen.noise': True,
    'objective.augment': (),
    'objective.regularizers.r1.every': 1,
    # 64 channels at the last resolution too.
    'objective.gen.fmap_base': 1024,
    'objective.disc.fmap_base': 1024,
  }
  config = 'configs/stylegan.py'
  return [Row('stylegan', config, StyleGAN, 0.9, fields, perturbed)]


def perturbed(players: dict[str, Any]) -> dict[str, Any]:
  """Returns players whose constant, noise and biases vary over the pixels.

  Of the first map, all ones, an instance norm leaves but rounding errors.
  """
  rng, gen = np.random.default_rng(0), players['gen']
  synthesis = jax.tree.map(
    lambda x: x + 0.5 * rng.normal(size=x.shape).astype(x.dtype),
    gen['params']['synthesis'],
  )
  gen = {**gen, 'params': {**gen['params'], 'synthesis': synthesis}}
  return {**players, 'gen': gen}


class _Noise(NamedTuple):
  """The random values of a loss.

  Attributes:
    latents: two for each image, one after the other, [2B, Z].
    first: where the style is of the first, [B, layers, 1], of booleans.
    maps: of the layers, [B, 1, H, W] each.
  """

  latents: Any
  first: Any
  maps: Any


class StyleGAN:
  """Both players, their parameters by the names and scales of ours.

  Weights are scaled where they are used, and a change of size is one
  convolution of stride 2, as in our networks and the authors' program. Heads
  that no image passes through are left out, as our compiler leaves them out.
  """

  # Without momentum Adam's first step is as long by a gradient of rounding
  # errors as by any other.
  tolerance = 5e-3

  def __init__(self, objective: Any, batch_size: int):
    self._objective, self._batch_size = objective, batch_size
    size = objective.gen.shape[0]
    self._sizes = resolutions(size)
    self._group = min(objective.disc.group, batch_size)
    key = jax.random.key(0)
    batch = {'image': jnp.zeros((2, *objective.gen.shape))}
    made = jax.eval_shape(objective.init, key, batch)
    made = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), made)
    self._w_avg = torch.zeros(objective.gen.width)
    self._record = jax.jit(_recorder(objective), static_argnums=0)
    self.players = {}
    for name in ('gen', 'disc'):
      arrays = self.layout(name, made[name]['params'])
      module = self.players[name] = torch.nn.Module()
      for path, array in arrays.items():
        weight = _last(peer.tensor(array))
        module.register_parameter(path, torch.nn.Parameter(weight))

  # The parameters.

  def layout(self, player: str, params: Any) -> dict[str, np.ndarray]:
    """Returns our parameters under the names of the module."""
    del player
    arrays = {}
    for path, array in flatten_dict(params, sep='/').items():
      array = np.asarray(array)
      if path.endswith('_up/kernel'):  # see `peer.conv_transpose`
        array = peer.rotate(array, 0).transpose(2, 3, 0, 1)
      elif array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
      elif path.endswith('_constant'):
        array = array.transpose(2, 0, 1)
      elif array.ndim == 2:
        array = array.T
      arrays[path] = np.ascontiguousarray(array)
    return arrays

  # The generator.

  def map(self, latents: Any) -> Any:
    """Maps latents [N, Z] to w [N, W]."""
    gen = self._objective.gen
    params = dict(self.players['gen'].named_parameters())
    x = latents * torch.rsqrt(latents.square().mean(1, keepdim=True) + 1e-8)
    for index in range(gen.depth):
      name = f'mapping/dense_{index}'
      x = _rectify(_dense(x, params, name, _GAIN, gen.lr_mul))
    return x

  def synthesize(self, w_plus: Any, maps: Any) -> Any:
    """Generates images for w of each layer and noise maps."""
    params = dict(self.players['gen'].named_parameters())
    maps, layers = iter(maps), iter(w_plus.unbind(1))

    def finish(x, name):
      name = f'synthesis/{name}'
      depth = x.shape[1]
      noise = params[f'{name}/noise'].view(depth, 1, 1)
      bias = params[f'{name}/bias'].view(depth, 1, 1)
      x = _rectify(x + next(maps) * noise + bias)
      # By hand a tenth faster than `instance_norm`, in a trial.
      x = x - x.mean((2, 3), keepdim=True)
      x = x * torch.rsqrt(x.square().mean((2, 3), keepdim=True) + 1e-8)
      style = _dense(next(layers), params, f'{name}/style', 1.0)
      scale, shift = style[:, :, None, None].chunk(2, dim=1)
      return x * (scale + 1) + shift

    x = params['synthesis/4x4_constant']
    x = x.expand(len(w_plus), *x.shape)
    for size in self._sizes:
      name = f'{size}x{size}'
      if size > 4:
        weight = _fused_scale_kernel(params[f'synthesis/{name}_up/kernel'])
        weight = weight * (_GAIN / (9 * x.shape[1]) ** 0.5)
        x = _blur(torch.nn.functional.conv_transpose2d(x, weight, None, 2, 1))
      x = finish(x, f'{name}_0')
      x = _conv(x, params, f'synthesis/{name}_conv')
      x = finish(x, f'{name}_1')
    return _conv(x, params, f'synthesis/{name}_to_image', 1.0).float()

  def generate(self, noise: _Noise) -> Any:
    """Generates images, and returns the first w too."""
    pairs = self.map(noise.latents).unflatten(0, (-1, 2))
    first, second = pairs.unbind(1)
    w_plus = torch.where(noise.first, first[:, None], second[:, None])
    return self.synthesize(w_plus, noise.maps), first

  # The discriminator.

  def discriminate(self, images: Any) -> Any:
    """Returns the logits of images."""
    params = dict(self.players['disc'].named_parameters())
    size = self._sizes[-1]
    x = _rectify(_conv(images, params, f'{size}x{size}_from_image'))
    for size in reversed(self._sizes[1:]):
      name = f'{size}x{size}'
      x = _blur(_rectify(_conv(x, params, f'{name}_conv')))
      weight = _fused_scale_kernel(params[f'{name}_down/kernel'])
      weight = weight * (_GAIN / (9 * x.shape[1]) ** 0.5 / 4)
      bias = params[f'{name}_down/bias']
      x = _rectify(torch.nn.functional.conv2d(x, weight, bias, 2, 1))
    count, depth, height, width = x.shape
    y = x.reshape(self._group, -1, depth, height, width)
    y = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    y = y.repeat(self._group)[:, None, None, None]
    x = torch.cat([x, y.expand(count, 1, height, width)], dim=1)
    x = _rectify(_conv(x, params, '4x4_conv'))
    x = x.permute(0, 2, 3, 1).flatten(1)
    x = _rectify(_dense(x, params, 'dense', _GAIN))
    return _dense(x, params, 'logits', 1.0)[:, 0].float()

  # The data, the noise, the losses.

  def prepare(self, data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data set as the twin keeps it."""
    images = peer.tensor(np.asarray(data['image']).transpose(0, 3, 1, 2))
    return {'image': _last(images)}

  def sample_noise(self, update: str) -> Any:
    """Samples the noise of an update's loss."""
    del update
    count, layers = self._batch_size, self._objective.gen.layers
    until = torch.randint(1, layers, (count,))
    until[torch.rand(count) >= self._objective.style_mixing_prob] = layers
    first = torch.arange(layers) < until[:, None]
    sizes = np.repeat(self._sizes, 2).tolist()
    maps = [torch.randn(count, 1, size, size) for size in sizes]
    latents = torch.randn(2 * count, self._objective.latents.size)
    return _Noise(latents, first[..., None], maps)

  def noise(self, update: str, key: jax.Array) -> Any:
    """Returns the noise that our loss samples with a key."""
    shape = self._batch_size, *self._objective.gen.shape
    recorded = self._record(update, {'image': jnp.zeros(shape)}, key)
    latents, first, *maps = map(peer.tensor, recorded)
    return _Noise(latents, first, [x.permute(0, 3, 1, 2) for x in maps])

  def loss(self, update: str, batch: Mapping[str, Any], noise: Any) -> Any:
    """Returns the loss of an update."""
    softplus = torch.nn.functional.softplus
    if update == 'gen':
      images, w = self.generate(noise)
      mean = w.detach().float().mean(0)
      self._w_avg = mean.lerp(self._w_avg, self._objective.w_avg_beta)
      return softplus(-self.discriminate(images)).mean()
    real = batch['image'].to(torch.float32) / 127.5 - 1
    with torch.no_grad():
      fake, _ = self.generate(noise)
    scores = self.discriminate(real.requires_grad_())
    gradient = torch.autograd.grad(scores.sum(), real, create_graph=True)[0]
    penalty = gradient.square().sum((1, 2, 3)).mean() / 2
    total = softplus(-scores).mean() + softplus(self.discriminate(fake)).mean()
    (r1,) = self._objective.regularizers
    return total + r1.weight * penalty


def _last(x):
  """Channels last where there are some: faster than first, in a trial."""
  return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _dense(x, params, name, gain, rate=1.0):
  weight = params[f'{name}/kernel'] * (gain * rate / x.shape[1] ** 0.5)
  bias = params[f'{name}/bias'] * rate
  return torch.nn.functional.linear(x, weight, bias)


def _conv(x, params, name, gain=_GAIN):
  weight = params[f'{name}/kernel']
  scale = gain / weight[0].numel() ** 0.5
  bias = params.get(f'{name}/bias')
  pad = weight.shape[-1] // 2
  return torch.nn.functional.conv2d(x, weight * scale, bias, 1, pad)


def _fused_scale_kernel(weight):
  """The sum of the four shifts by a pixel, [..., k, k] -> [..., k+1, k+1]."""
  pad = torch.nn.functional.pad
  return (
    pad(weight, (1, 0, 1, 0))
    + pad(weight, (0, 1, 1, 0))
    + pad(weight, (1, 0, 0, 1))
    + pad(weight, (0, 1, 0, 1))
  )


def _blur(x):
  depth = x.shape[1]
  line = torch.tensor([0.25, 0.5, 0.25])
  kernel = torch.outer(line, line).expand(depth, 1, 3, 3)
  return torch.nn.functional.conv2d(x, kernel, padding=1, groups=depth)


def _rectify(x):
  return torch.nn.functional.leaky_relu(x, NEGATIVE_SLOPE)


def _recorder(objective):
  """Makes `(update, batch, key) -> latents, first, *maps`; see `_Noise`.

  Its networks are recorded, so that nothing needs to be known here of how
  the loss and Flax share the key out.
  """
  updates = {update.name: update for update in objective.updates()}

  def run_recorded(name, batch, key):
    recorded = []

    def record(call, args, kwargs, context):
      out = call(*args, **kwargs)
      module, called = context.module, context.method_name == '__call__'
      if called and isinstance(module, stylegan.Mapping):
        recorded.extend([args[0], out])
      if called and isinstance(module, stylegan.Synthesis):
        recorded.append(args[0])
      if called and isinstance(module, stylegan.Layer):
        recorded.append(args[1])
      return out

    players = objective.init(key, batch)
    with nn.intercept_methods(record):
      updates[name].loss(players, batch, key=key, step=0)
    layers = objective.gen.layers
    # The penalty would generate images again, which R1 does not use.
    latents, w, *maps, w_plus = recorded[: 3 + layers]
    first, second = split(w[:, None], 2)  # [B, 1, W]
    near = jnp.sum(jnp.abs(w_plus - first), -1, keepdims=True)
    far = jnp.sum(jnp.abs(w_plus - second), -1, keepdims=True)
    return latents, near <= far, *maps

  return run_recorded
