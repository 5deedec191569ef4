"""The generator of StyleGAN of github.com/lernapparat/lernapparat, style_gan/.

With this program the parameters of the paper's authors are used in PyTorch, in
`karras2019stylegan-ffhq-1024x1024.for_g_all.pt`. It scales weights as we do.
"""

import re
from collections.abc import Iterator, Sequence

from gen_jax.errors import InputError
from gen_jax.importing import stylegan, tables
from gen_jax.importing.imported import Imported
from gen_jax.importing.tables import Row
from gen_jax.models.stylegan import Generator

_BLUR = re.compile(r'g_synthesis\.blocks\..*\.conv0_up\.intermediate\.kernel')
_MEAN = 'truncation.avg_latent'  # of w; in few files


def table(sizes: Sequence[int], depth: int) -> Iterator[Row]:
  """Yields the rows of a generator.

  Args:
    sizes: of its maps, 4, 8, ...
    depth: layers of the mapping network.
  """
  for n in range(depth):
    theirs, ours = f'g_mapping.dense{n}', f'mapping/dense_{n}'
    yield Row(f'{theirs}.weight', f'{ours}/kernel', 'oi->io')
    yield Row(f'{theirs}.bias', f'{ours}/bias', 'c->c')
  for size in sizes:
    theirs = f'g_synthesis.blocks.{size}x{size}'
    ours = f'synthesis/{size}x{size}'
    if size == 4:
      yield Row(f'{theirs}.const', f'{ours}_constant', '1chw->hwc')
      yield Row(f'{theirs}.bias', f'{ours}_0/bias', 'c->c')
    else:
      name, up = f'{theirs}.conv0_up', f'{ours}_up/kernel'
      # Their transposed convolution has the kernel of the convolution.
      change = tables.turned if size >= stylegan.FUSED else tables.same
      yield Row(f'{name}.weight', up, 'oihw->hwio', change)
      yield Row(f'{name}.bias', f'{ours}_0/bias', 'c->c')
    name = f'{theirs}.conv' if size == 4 else f'{theirs}.conv1'
    yield Row(f'{name}.weight', f'{ours}_conv/kernel', 'oihw->hwio')
    yield Row(f'{name}.bias', f'{ours}_1/bias', 'c->c')
    for n in (0, 1):
      layer, style = f'{theirs}.epi{n + 1}', f'{ours}_{n}/style'
      name = f'{layer}.style_mod.lin'
      yield Row(f'{layer}.top_epi.noise.weight', f'{ours}_{n}/noise', 'c->c')
      yield Row(f'{name}.weight', f'{style}/kernel', 'oi->io')
      yield Row(f'{name}.bias', f'{style}/bias', 'c->c')
  name, image = 'g_synthesis.torgb', f'synthesis/{size}x{size}_to_image'
  yield Row(f'{name}.weight', f'{image}/kernel', 'oihw->hwio')
  yield Row(f'{name}.bias', f'{image}/bias', 'c->c')


def load(files: dict[str, str], resolution: int | None) -> Imported:
  """Returns the generator of a file.

  Args:
    files: one, by its flag.
    resolution: of the images; None for that of the file, the only one.

  Raises:
    InputError: the file is not of this kind.
  """
  ((flag, path),) = files.items()
  where, arrays = f'{flag}={path}', tables.read(path, flag)
  name = 'g_synthesis.blocks.{0}x{0}.{1}.bias'.format
  widths = {4: tables.size(arrays, name(4, 'conv'), 0, where)}
  while name(size := 2 * max(widths), 'conv1') in arrays:
    widths[size] = tables.size(arrays, name(size, 'conv1'), 0, where)
  last = max(widths)
  if resolution not in (None, last):
    raise InputError(
      f'--resolution={resolution}: {path} makes images of {last} pixels alone.'
    )
  depth = tables.count(arrays, r'g_mapping\.dense\d+\.weight')
  image = tables.size(arrays, 'g_synthesis.torgb.bias', 0, where)
  width, latents = (
    tables.size(arrays, 'g_mapping.dense0.weight', n, where) for n in (0, 1)
  )
  network = Generator(
    shape=(last, last, image),
    width=width,
    depth=depth,
    lr_mul=0.01,
    epsilon=stylegan.EPSILON,
    **stylegan.channels(widths, where),
  )
  blurs = [name for name in arrays if _BLUR.fullmatch(name)]
  stylegan.check_blurs(blurs, arrays, where)
  w_avg = arrays.get(_MEAN)
  return stylegan.imported(
    network,
    latents,
    table(list(widths), depth),
    arrays,
    where,
    {*blurs, _MEAN}.__contains__,
    None if w_avg is None else w_avg.reshape(-1)[-width:],
  )
