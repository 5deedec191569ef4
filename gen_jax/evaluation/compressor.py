"""Images as quantized latents: both directions, and the loss between them."""

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.evaluation import own_images
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics import compression
from gen_jax.evaluation.metrics.denoising import psnr
from gen_jax.storage import weights
from gen_jax.storage.compressed import Compressed, Header
from gen_jax.storage.image_stream import ImageStream

_RANGE_BITS = 64  # of two numbers of float32


def compress(
  players: Players, latents: np.ndarray, names: Sequence[str], bits: int
) -> Compressed:
  """Returns quantized latents, with ranges that are those of the latents.

  Args:
    players: trained.
    latents: of the images, [N, Z].
    names: of the images, relative.
    bits: of a level.
  """
  count, size = latents.shape
  # One range for all dimensions if theirs would be more bits than the levels.
  shared = _RANGE_BITS > bits * count
  sample = latents.reshape(-1, 1) if shared else latents
  fitted = compression.fit(sample, bits, outside=0)
  low, width = (x.astype(np.float32) for x in (fitted.low, fitted.width))
  # The levels are those of the range that is stored.
  levels = compression.Quantizer(low, width, bits).quantize(latents)
  header = Header(
    model=weights.digest(players),
    size=size,
    bits=bits,
    ranges=len(low),
    names=tuple(names),
  )
  return Compressed(header, low, width, levels)


def check_model(
  task: Task, players: Players, header: Header, path: pathlib.Path
) -> None:
  """Raises InputError unless a file was written with this model."""
  own_images.capability(task, 'decode')
  digest = weights.digest(players)
  if header.model != digest or header.size != task.latent_size(players):
    raise InputError(
      f'--input={path}: it was compressed with the model {header.model!r}, and '
      f'--workdir is {digest!r}. Give the run, or the published file, and the '
      '--step that compressed it.'
    )


def decompressed(
  task: Task, players: Players, content: Compressed, batch_size: int
) -> ImageStream:
  """Returns the images of quantized latents, with their names."""
  quantizer = compression.Quantizer(
    content.low, content.width, content.header.bits
  )
  latents = quantizer.restore(content.levels)
  names = content.header.names
  return own_images.decoded(task, players, latents, names, batch_size)


def psnr_of(given: own_images.OwnImages, stream: ImageStream) -> float:
  """Returns the mean PSNR of images to the files that they stand for, in dB.

  The files are read again, so that never all images are in memory.

  Args:
    given: the files.
    stream: an image for each of them.
  """
  made: Any = itertools.chain.from_iterable(stream.parts)
  decibels = [
    psnr(*(x[None] / np.float32(255) for x in (result.value, image)))
    for result, image in zip(
      given.each(lambda given: given.images), made, strict=True
    )
    if not result.failure
  ]
  return float(np.mean(decibels))
