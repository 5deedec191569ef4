"""Images after encoding and decoding, also of other sizes or with noise."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import matplotlib as mpl
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation import image_sizes, own_images
from gen_jax.evaluation.context import Task
from gen_jax.evaluation.metrics.denoising import psnr
from gen_jax.storage.images import to_uint8

# The difference of pixels in [0, 1] that has the brightest color of a map.
BRIGHTEST = 0.5


class Restored(NamedTuple):
  """An image after encoding and decoding.

  Attributes:
    image: uint8 [H, W, C].
    psnr: to the image that was read, in dB.
    noisy_psnr: of the image that was encoded, if noise was added.
  """

  image: Any
  psnr: Any
  noisy_psnr: Any = None


def restore(
  task: Task,
  players: Players,
  given: own_images.OwnImages,
  corrupt: bool = False,
) -> Iterator[own_images.Result]:
  """Yields each image after encoding and decoding, as `Restored`.

  Args:
    task: of the model.
    players: trained.
    given: the images.
    corrupt: adds the noise of the training first.
  """
  own_images.capability(task, 'reconstruct')
  sized = {task.fields['image'][0]: task}

  def compute(given: own_images.Given) -> Restored:
    shape = given.images.shape[1:]
    if shape not in sized:
      sized.clear()  # images come by size
      sized[shape] = image_sizes.at_size(task, shape)
    model, batch = sized[shape], given.batch
    key_corrupt, key = jax.random.split(given.key)
    clean, noisy_psnr = given.images / np.float32(255), None
    if corrupt:
      noisy = model.predict('corrupt')(players, batch, key=key_corrupt)
      batch = {**batch, 'image': noisy}
      noisy_psnr = psnr(clean, task.unit(noisy))
    made = np.asarray(model.predict('reconstruct')(players, batch, key=key))
    restored = to_uint8(made, task.objective.pixels)
    return Restored(restored, psnr(clean, restored / 255), noisy_psnr)

  return given.each(compute)


def error_maps(images: np.ndarray, restored: np.ndarray) -> np.ndarray:
  """Returns each image, its reconstruction and a map of their difference.

  The map is black where they agree. It is brightest where the mean difference
  of the channels is BRIGHTEST or more, for pixels in [0, 1].

  Args:
    images: uint8 [B, H, W, C].
    restored: uint8 [B, H, W, C].

  Returns:
    uint8 [B, H, 3 W, 3], side by side.
  """
  difference = np.abs(images.astype(np.float32) - restored).mean(axis=-1) / 255
  colors = mpl.colormaps['inferno'](np.minimum(difference / BRIGHTEST, 1))
  parts = [_rgb(images), _rgb(restored), np.uint8(colors[..., :3] * 255)]
  return np.concatenate(parts, axis=2)


def _rgb(images):
  """Returns gray, RGB or RGBA images as RGB, on white."""
  if images.shape[-1] < 4:
    return np.broadcast_to(images, (*images.shape[:-1], 3))
  alpha = images[..., 3:].astype(np.float32) / 255
  return np.uint8(images[..., :3] * alpha + 255 * (1 - alpha) + 0.5)
