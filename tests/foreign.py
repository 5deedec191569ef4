"""Arrays with the names and shapes of other programs, and random values."""

import numpy as np


def values(shapes):
  """Returns random arrays; filters are [1, 2, 1] / 4 along both axes."""
  rng, made = np.random.default_rng(1), {}
  for name, shape in shapes.items():
    x = rng.normal(size=shape)
    if len(shape) == 1:
      x *= 0.2
    if 'g_mapping' in name:
      x *= 100  # a learning rate of a hundredth
    if 'rgb' in name:
      x *= 0.1
    if shape[1:] == (1, 3, 3):
      x = np.broadcast_to(np.outer([1, 2, 1], [1, 2, 1]) / 16, shape)
    made[name] = np.ascontiguousarray(x, np.float32)
  return made


def cyclegan(inputs=3, out=3, width=2, blocks=1):
  """A generator of pytorch-CycleGAN-and-pix2pix."""
  n, shapes = width, {}

  def layer(name, *shape):
    shapes[f'{name}.weight'] = shape
    turned = shape[0] == 2 * shape[1] and int(name.split('.')[1]) > 7
    shapes[f'{name}.bias'] = (shape[1] if turned else shape[0],)

  layer('model.1', n, inputs, 7, 7)
  layer('model.4', 2 * n, n, 3, 3)
  layer('model.7', 4 * n, 2 * n, 3, 3)
  for k in range(blocks):
    layer(f'model.{10 + k}.conv_block.1', 4 * n, 4 * n, 3, 3)
    layer(f'model.{10 + k}.conv_block.5', 4 * n, 4 * n, 3, 3)
  layer(f'model.{10 + blocks}', 4 * n, 2 * n, 3, 3)
  layer(f'model.{13 + blocks}', 2 * n, n, 3, 3)
  layer(f'model.{17 + blocks}', out, n, 7, 7)
  return values(shapes)


def lernapparat(widths, w, depth):
  """The generator of this program; `widths` are channels by size."""
  shapes = {}
  for n in range(depth):
    shapes |= {f'g_mapping.dense{n}.weight': (w, w)}
    shapes |= {f'g_mapping.dense{n}.bias': (w,)}
  before = None
  for size, c in widths.items():
    block = f'g_synthesis.blocks.{size}x{size}'
    if size == 4:
      shapes |= {f'{block}.const': (1, c, 4, 4), f'{block}.bias': (c,)}
    else:
      shapes[f'{block}.conv0_up.weight'] = (c, before, 3, 3)
      shapes[f'{block}.conv0_up.bias'] = (c,)
      shapes[f'{block}.conv0_up.intermediate.kernel'] = (1, 1, 3, 3)
    conv = f'{block}.conv' if size == 4 else f'{block}.conv1'
    shapes |= {f'{conv}.weight': (c, c, 3, 3), f'{conv}.bias': (c,)}
    for n in (1, 2):
      shapes[f'{block}.epi{n}.top_epi.noise.weight'] = (c,)
      shapes[f'{block}.epi{n}.style_mod.lin.weight'] = (2 * c, w)
      shapes[f'{block}.epi{n}.style_mod.lin.bias'] = (2 * c,)
    before = c
  shapes['g_synthesis.torgb.weight'] = (3, before, 1, 1)
  shapes['g_synthesis.torgb.bias'] = (3,)
  return values(shapes)


def rosinality(widths, w, depth):
  """The generator of this program; `widths` are channels by size."""
  shapes = {}
  for n in range(depth):
    shapes[f'style.{2 * n + 1}.linear.weight_orig'] = (w, w)
    shapes[f'style.{2 * n + 1}.linear.bias'] = (w,)
  before = None
  for n, (size, c) in enumerate(widths.items()):
    block = f'generator.progression.{n}'
    place = 1 if size >= 128 else 2
    if size == 4:
      shapes[f'{block}.conv1.input'] = (1, c, 4, 4)
    elif size >= 128:
      shapes[f'{block}.conv1.0.weight'] = (before, c, 3, 3)
      shapes[f'{block}.conv1.0.bias'] = (c,)
    else:
      shapes[f'{block}.conv1.1.conv.weight_orig'] = (c, before, 3, 3)
      shapes[f'{block}.conv1.1.conv.bias'] = (c,)
    if size > 4:
      shapes[f'{block}.conv1.{place}.weight'] = (c, 1, 3, 3)
      shapes[f'{block}.conv1.{place}.weight_flip'] = (c, 1, 3, 3)
    shapes[f'{block}.conv2.conv.weight_orig'] = (c, c, 3, 3)
    shapes[f'{block}.conv2.conv.bias'] = (c,)
    for k in (1, 2):
      shapes[f'{block}.noise{k}.weight_orig'] = (1, c, 1, 1)
      shapes[f'{block}.adain{k}.style.linear.weight_orig'] = (2 * c, w)
      shapes[f'{block}.adain{k}.style.linear.bias'] = (2 * c,)
    shapes[f'generator.to_rgb.{n}.conv.weight_orig'] = (3, c, 1, 1)
    shapes[f'generator.to_rgb.{n}.conv.bias'] = (3,)
    before = c
  return values(shapes)
