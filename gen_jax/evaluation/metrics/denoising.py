"""How much noise a denoiser removes."""

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator, stratified_rows
from gen_jax.registry.fields import Count, Size, SomeSizes


@evaluator('corrupt', 'reconstruct')
class Denoising:
  """PSNR (dB) and SSIM of denoised images, and those of the Wiener filter.

  The images have noise of the same kind as in training, and all are clipped to
  [0, 1]. PSNR is 10 log10(1 / MSE), the mean over images. The Wiener filter is
  the local one of SciPy. Its window is the best of those given for the same
  images, which favors it.

  Attributes:
    num: images of the split; 0 for all.
    windows: of the Wiener filter, in pixels.
    shown: images of the figure, each noisy, denoised and clean.
  """

  task: Task
  split: str = 'test'
  num: Count = 1000
  windows: SomeSizes = (3, 5, 7)
  shown: Size = 32
  batch_size: Size = 500

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    corrupt, reconstruct = map(self.task.predict, ('corrupt', 'reconstruct'))

    def compute(batch, index):
      key_batch = jax.random.fold_in(key, index)
      corrupted = corrupt(players, batch, key=key_batch)
      seen = {**batch, 'image': corrupted}
      restored = reconstruct(players, seen, key=key_batch)
      return batch['image'], corrupted, restored

    clean, noisy, denoised = self.task.each(
      compute, self.split, self.num, self.batch_size, key
    )
    filtered = [_wiener(noisy, window) for window in self.windows]
    best = max(filtered, key=lambda x: psnr(clean, x).mean())
    for name, images in (
      ('noisy', noisy),
      ('wiener', best),
      ('denoised', denoised),
    ):
      yield f'{name}_psnr', float(psnr(clean, images).mean())
      yield f'{name}_ssim', ssim(clean, images)
    shown = stratified_rows(len(clean), self.shown)
    columns = [x[shown] for x in (noisy, denoised, clean)]
    triples = np.concatenate(columns, axis=2)
    yield 'denoising', self.task.sheet(triples, 4)


def psnr(clean: np.ndarray, images: np.ndarray) -> np.ndarray:
  """Returns the peak signal-to-noise ratio of images in [0, 1], [B], in dB."""
  errors = np.square(clean - np.clip(images, 0, 1))
  mse = errors.reshape(len(errors), -1).mean(axis=1, dtype=np.float64)
  return -10 * np.log10(np.maximum(mse, 1e-12))


def _wiener(images, window):
  from scipy.signal import wiener

  with np.errstate(divide='ignore', invalid='ignore'):
    out = [
      [wiener(channel, window) for channel in np.moveaxis(image, -1, 0)]
      for image in images
    ]
  # Where a window is constant the filter divides 0 by 0; its mean is meant.
  out = np.moveaxis(np.asarray(out), 1, -1)
  return np.where(np.isfinite(out), out, images)


def ssim(clean: np.ndarray, images: np.ndarray) -> float:
  """Returns the mean structural similarity of images in [0, 1]."""
  from skimage.metrics import structural_similarity

  return float(
    np.mean(
      [
        structural_similarity(a, b, data_range=1.0, channel_axis=-1)
        for a, b in zip(clean, np.clip(images, 0, 1), strict=True)
      ]
    )
  )
