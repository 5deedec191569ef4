r"""Compresses your own images to quantized latents in one small file.

python -m gen_jax compress --workdir=runs/vae --input=FOLDER --out=images.gjc
python -m gen_jax decompress --workdir=runs/vae --input=images.gjc --out=FOLDER/

Each latent becomes one of 2^bits levels between the least and the largest
latent of these images: in its dimension or, for so few images that the ranges
would take more room than the levels, in all dimensions. The levels are coded
without loss. The file has all that the same model needs to decode it, with the
names of the images. What is printed counts the whole file.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import annotated_types
import numpy as np

from gen_jax.commands import cli, on_images
from gen_jax.evaluation import compressor, own_images
from gen_jax.registry.fields import Size
from gen_jax.storage import compressed, outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(on_images.Conditioned):
  """The arguments."""

  out: Annotated[str, f'file to write ({compressed.SUFFIX})']
  bits: Annotated[
    Size,
    annotated_types.Le(compressed.MOST_BITS),
    f'of a quantized latent, 1 to {compressed.MOST_BITS}',
  ] = 8


def main(argv: Sequence[str] | None = None) -> int:
  """Compresses a folder of images to one file."""
  return cli.main(compress, Arguments, __doc__, argv)


def compress(args: Arguments) -> None:
  """Compresses every image below a folder, and prints rate and distortion.

  Raises:
    InputError: an argument cannot be used, or some images failed; the others
      are in the file.
  """
  out = outputs.parse(args.out, (compressed.SUFFIX,))
  opened = on_images.open_all(args, 'encode')
  task, players = opened.task, opened.players
  encode, _ = (own_images.capability(task, k) for k in ('encode', 'decode'))
  paths, latents, failures = own_images.collect(
    opened.images.each(lambda given: encode(players, given.batch))
  )
  line = f'{out}: no images'
  if paths:
    names = [opened.listed.name(path) for path in paths]
    content = compressor.compress(
      players, np.asarray(latents), names, args.bits
    )
    written = compressed.encode(content)
    with outputs.writing(out), outputs.replaced(out.path) as partial:
      partial.write_bytes(written)
    decibels = compressor.psnr_of(
      dataclasses.replace(opened.images, paths=paths),
      compressor.decompressed(task, players, content, args.batch_size),
    )
    height, width, _ = task.fields['image'][0]
    size = len(written) / len(paths)
    line = (
      f'{out}: {len(paths)} images, {len(written)} bytes, {size:.1f} bytes per '
      f'image, {8 * size / (height * width):.4f} bits per pixel, PSNR '
      f'{decibels:.2f} dB of {height}x{width} pixels, step {opened.step}'
    )
  on_images.finish(opened.listed, failures, 'compressed', line)
