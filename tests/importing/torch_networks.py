"""Networks of other programs in PyTorch, with the names of their arrays.

They are written anew from what these programs compute, for tests: small ones
with random weights, whose outputs are to be those of the imported ones. Where a
function takes `s`, it is a state dict of `foreign.py`.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


def randomize(module, seed=0):
  """Draws weights of deviation 1 / sqrt(fan-in), and small biases."""
  generator = torch.Generator().manual_seed(seed)
  with torch.no_grad():
    for name, x in module.state_dict().items():
      if not x.is_floating_point() or 'blur' in name:
        continue
      noise = torch.randn(x.shape, generator=generator)
      fan_in = x[0].numel() if x.ndim > 1 else 25
      if name.endswith('running_var'):
        x.copy_(1 + 0.3 * noise.abs())
      elif name.endswith('bn.weight'):
        x.copy_(1.3 + 0.1 * noise)
      else:
        x.copy_(noise / math.sqrt(fan_in))
  return module.eval()


# --------------------------------------- pytorch-CycleGAN-and-pix2pix, ResNets


class Residual(nn.Module):
  def __init__(self, width, dropout):
    super().__init__()
    half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3)]
    other = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3)]
    drop = [nn.Dropout(0.5)] if dropout else []
    norms = [nn.InstanceNorm2d(width), nn.ReLU(), nn.InstanceNorm2d(width)]
    self.conv_block = nn.Sequential(
      *half, norms[0], norms[1], *drop, *other, norms[2]
    )

  def forward(self, x):
    return x + self.conv_block(x)


class CycleGANGenerator(nn.Module):
  def __init__(self, inputs, out, width, blocks, dropout=False):
    super().__init__()

    def normalized(layer, channels):
      return [layer, nn.InstanceNorm2d(channels), nn.ReLU()]

    n = width
    layers = [nn.ReflectionPad2d(3)]
    layers += normalized(nn.Conv2d(inputs, n, 7), n)
    layers += normalized(nn.Conv2d(n, 2 * n, 3, 2, 1), 2 * n)
    layers += normalized(nn.Conv2d(2 * n, 4 * n, 3, 2, 1), 4 * n)
    layers += [Residual(4 * n, dropout) for _ in range(blocks)]
    for wide in (4 * n, 2 * n):
      up = nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, output_padding=1)
      layers += normalized(up, wide // 2)
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(n, out, 7), nn.Tanh()]
    self.model = nn.Sequential(*layers)

  def forward(self, x):
    return self.model(x)


# ------------------------------------------------------- pytorch-fid, Inception


class Normalized(nn.Module):
  def __init__(self, inputs, out, kernel, stride=1, padding=0):
    super().__init__()
    self.conv = nn.Conv2d(inputs, out, kernel, stride, padding, bias=False)
    self.bn = nn.BatchNorm2d(out, eps=1e-3)

  def forward(self, x):
    return F.relu(self.bn(self.conv(x)))


# Of each block its branches, of each branch its layers: name, channels, kernel
# and stride. `+` stands for a layer whose input is that of the one before.
def kernel_pad(kernel):
  return tuple(k // 2 for k in kernel)


BLOCKS = {
  'A': lambda n: [
    [('branch1x1', 64, (1, 1))],
    [('branch5x5_1', 48, (1, 1)), ('branch5x5_2', 64, (5, 5))],
    [
      ('branch3x3dbl_1', 64, (1, 1)),
      ('branch3x3dbl_2', 96, (3, 3)),
      ('branch3x3dbl_3', 96, (3, 3)),
    ],
    ['mean', ('branch_pool', n, (1, 1))],
  ],
  'B': lambda n: [
    [('branch3x3', 384, (3, 3), 2)],
    [
      ('branch3x3dbl_1', 64, (1, 1)),
      ('branch3x3dbl_2', 96, (3, 3)),
      ('branch3x3dbl_3', 96, (3, 3), 2),
    ],
    ['halve'],
  ],
  'C': lambda n: [
    [('branch1x1', 192, (1, 1))],
    [
      ('branch7x7_1', n, (1, 1)),
      ('branch7x7_2', n, (1, 7)),
      ('branch7x7_3', 192, (7, 1)),
    ],
    [
      ('branch7x7dbl_1', n, (1, 1)),
      ('branch7x7dbl_2', n, (7, 1)),
      ('branch7x7dbl_3', n, (1, 7)),
      ('branch7x7dbl_4', n, (7, 1)),
      ('branch7x7dbl_5', 192, (1, 7)),
    ],
    ['mean', ('branch_pool', 192, (1, 1))],
  ],
  'D': lambda n: [
    [('branch3x3_1', 192, (1, 1)), ('branch3x3_2', 320, (3, 3), 2)],
    [
      ('branch7x7x3_1', 192, (1, 1)),
      ('branch7x7x3_2', 192, (1, 7)),
      ('branch7x7x3_3', 192, (7, 1)),
      ('branch7x7x3_4', 192, (3, 3), 2),
    ],
    ['halve'],
  ],
  'E': lambda pool: [
    [('branch1x1', 320, (1, 1))],
    [
      ('branch3x3_1', 384, (1, 1)),
      [('branch3x3_2a', 384, (1, 3)), ('branch3x3_2b', 384, (3, 1))],
    ],
    [
      ('branch3x3dbl_1', 448, (1, 1)),
      ('branch3x3dbl_2', 384, (3, 3)),
      [('branch3x3dbl_3a', 384, (1, 3)), ('branch3x3dbl_3b', 384, (3, 1))],
    ],
    [pool, ('branch_pool', 192, (1, 1))],
  ],
}
POOLS = {
  'mean': lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
  'max': lambda x: F.max_pool2d(x, 3, 1, 1),
  'halve': lambda x: F.max_pool2d(x, 3, 2),
}


class Block(nn.Module):
  def __init__(self, inputs, branches):
    super().__init__()
    self.branches, self.width = branches, 0
    for branch in branches:
      width = inputs
      for step in branch:
        if isinstance(step, str):
          continue
        both = step if isinstance(step, list) else [step]
        for name, out, kernel, *stride in both:
          padding = 0 if stride else kernel_pad(kernel)
          layer = Normalized(width, out, kernel, *(stride or (1,)), padding)
          self.add_module(name, layer)
        width = sum(layer[1] for layer in both)
      self.width += width

  def forward(self, x):
    def run(y, step):
      if isinstance(step, str):
        return POOLS[step](y)
      both = step if isinstance(step, list) else [step]
      return torch.cat([getattr(self, s[0])(y) for s in both], 1)

    made = []
    for branch in self.branches:
      y = x
      for step in branch:
        y = run(y, step)
      made.append(y)
    return torch.cat(made, 1)


class Inception(nn.Module):
  """Images [B, 3, H, W] in [0, 1] -> features [B, 2048]; `fc` is not used."""

  def __init__(self, classes=1008):
    super().__init__()
    self.Conv2d_1a_3x3 = Normalized(3, 32, 3, 2)
    self.Conv2d_2a_3x3 = Normalized(32, 32, 3)
    self.Conv2d_2b_3x3 = Normalized(32, 64, 3, 1, 1)
    self.Conv2d_3b_1x1 = Normalized(64, 80, 1)
    self.Conv2d_4a_3x3 = Normalized(80, 192, 3)
    width, kinds = (
      192,
      'A:32 A:64 A:64 B C:128 C:160 C:160 C:192 D E:mean E:max',
    )
    names = '5b 5c 5d 6a 6b 6c 6d 6e 7a 7b 7c'
    self.names = [f'Mixed_{name}' for name in names.split()]
    for name, kind in zip(self.names, kinds.split(), strict=True):
      letter, _, more = kind.partition(':')
      more = int(more) if more.isdigit() else more
      block = Block(width, BLOCKS[letter](more))
      self.add_module(name, block)
      width = block.width
    self.fc = nn.Linear(width, classes)

  def forward(self, x):
    size = (299, 299)
    x = F.interpolate(x, size, mode='bilinear', align_corners=False)
    x = self.Conv2d_1a_3x3(2 * x - 1)
    x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(x))
    x = self.Conv2d_3b_1x1(POOLS['halve'](x))
    x = POOLS['halve'](self.Conv2d_4a_3x3(x))
    for name in self.names:
      x = getattr(self, name)(x)
    return x.mean((2, 3))


# ------------------------------------------------------------ StyleGAN, twice


def he(weight, gain=2**0.5):
  return weight * (gain / math.sqrt(weight[0].numel()))


def filtered(x, kernel):
  kernel = kernel.reshape(-1, 1, 3, 3).expand(x.shape[1], 1, 3, 3)
  return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def shifted(weight):
  weight = F.pad(weight, (1, 1, 1, 1))
  return (
    weight[..., 1:, 1:]
    + weight[..., :-1, 1:]
    + weight[..., 1:, :-1]
    + weight[..., :-1, :-1]
  )


def pixel_norm(x):
  return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def leaky(x):
  return F.leaky_relu(x, 0.2)


def run_lernapparat(s, z, noise):
  """Images of latents [B, Z] and two noise maps [B, 1, H, H] for each size."""
  x = pixel_norm(z)
  for n in range(sum(k.endswith('.weight') and 'g_mapping' in k for k in s)):
    name = f'g_mapping.dense{n}'
    weight = he(s[f'{name}.weight']) * 0.01
    x = leaky(F.linear(x, weight, s[f'{name}.bias'] * 0.01))
  w, noise, size = x, iter(noise), 4

  def finish(x, name):
    weight = s[f'{name}.top_epi.noise.weight'].view(1, -1, 1, 1)
    x = F.instance_norm(leaky(x + weight * next(noise)))
    style = f'{name}.style_mod.lin'
    y = F.linear(w, he(s[f'{style}.weight'], 1.0), s[f'{style}.bias'])
    scale, shift = y.view(len(w), 2, -1, 1, 1).unbind(1)
    return x * (scale + 1) + shift

  while (block := f'g_synthesis.blocks.{size}x{size}') + '.epi1' in {
    k.split('.epi1')[0] + '.epi1' for k in s
  }:
    if size == 4:
      x = s[f'{block}.const'] + s[f'{block}.bias'].view(1, -1, 1, 1)
      x = x.expand(len(w), -1, -1, -1)
    else:
      weight = he(s[f'{block}.conv0_up.weight'])
      if size >= 128:
        kernel = shifted(weight.permute(1, 0, 2, 3))
        x = F.conv_transpose2d(x, kernel, stride=2, padding=1)
      else:
        x = F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)
      x = filtered(x, s[f'{block}.conv0_up.intermediate.kernel'])
      x = x + s[f'{block}.conv0_up.bias'].view(1, -1, 1, 1)
    x = finish(x, f'{block}.epi1')
    conv = f'{block}.conv' if size == 4 else f'{block}.conv1'
    x = F.conv2d(x, he(s[f'{conv}.weight']), s[f'{conv}.bias'], padding=1)
    x = finish(x, f'{block}.epi2')
    size *= 2
  name = 'g_synthesis.torgb'
  return F.conv2d(x, he(s[f'{name}.weight'], 1.0), s[f'{name}.bias'])


def run_rosinality(s, z, noise, resolution):
  """Images of latents [B, Z] and a noise map [B, 1, H, H] for each size."""
  x = pixel_norm(z)
  for n in range(sum(k.startswith('style.') for k in s) // 2):
    name = f'style.{2 * n + 1}.linear'
    x = leaky(F.linear(x, he(s[f'{name}.weight_orig']), s[f'{name}.bias']))
  w, size, n = x, 4, 0

  def finish(x, block, k, noise):
    weight = s[f'{block}.noise{k}.weight_orig']
    x = leaky(x + weight * math.sqrt(2 / weight.numel()) * noise)
    style = f'{block}.adain{k}.style.linear'
    y = F.linear(w, he(s[f'{style}.weight_orig']), s[f'{style}.bias'])
    scale, shift = y[:, :, None, None].chunk(2, 1)
    return F.instance_norm(x) * scale + shift

  while size <= resolution:
    block = f'generator.progression.{n}'
    if size == 4:
      x = s[f'{block}.conv1.input'].expand(len(w), -1, -1, -1)
    elif size >= 128:
      weight = s[f'{block}.conv1.0.weight']
      factor = math.sqrt(2 / (weight.shape[0] * 9))
      kernel, bias = shifted(weight * factor) / 4, s[f'{block}.conv1.0.bias']
      x = F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
      x = filtered(x, s[f'{block}.conv1.1.weight'])
    else:
      name = f'{block}.conv1.1.conv'
      weight, bias = he(s[f'{name}.weight_orig']), s[f'{name}.bias']
      x = F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1)
      x = filtered(x, s[f'{block}.conv1.2.weight'])
    x = finish(x, block, 1, noise[n])
    name = f'{block}.conv2.conv'
    weight, bias = he(s[f'{name}.weight_orig']), s[f'{name}.bias']
    x = finish(F.conv2d(x, weight, bias, padding=1), block, 2, noise[n])
    last, size, n = f'generator.to_rgb.{n}.conv', size * 2, n + 1
  return F.conv2d(x, he(s[f'{last}.weight_orig']), s[f'{last}.bias'])
