"""Images as a few bits, by quantized latents."""

import dataclasses

import jax
import numpy as np

from gen_jax.core import Players
from gen_jax.errors import InputError
from gen_jax.evaluation.context import (
  Results,
  Task,
  evaluator,
  filled,
  stratified_rows,
)
from gen_jax.evaluation.metrics.denoising import psnr
from gen_jax.registry.fields import Count, Fraction, Size, SomeSizes
from gen_jax.storage import plot
from gen_jax.storage.images import grid, to_uint8


@dataclasses.dataclass(frozen=True)
class Quantizer:
  """2^bits equal intervals a dimension, each standing for its center.

  Attributes:
    low, width: of the first interval of each dimension, [Z].
    bits: a dimension.
    log2_probability: of each level in each dimension, [Z, 2^bits]; None where
      nothing is known of it.
  """

  low: np.ndarray
  width: np.ndarray
  bits: Size
  log2_probability: np.ndarray | None = None

  def quantize(self, latents: np.ndarray) -> np.ndarray:
    """Returns levels of latents [N, Z], int [N, Z]; the outer are unbounded."""
    levels = np.floor((latents - self.low) / self.width)
    return np.clip(levels, 0, 2**self.bits - 1).astype(np.int64)

  def restore(self, levels: np.ndarray) -> np.ndarray:
    """Returns the centers of the levels, float32 [N, Z]."""
    return (self.low + (levels + 0.5) * self.width).astype(np.float32)

  def code_bits(self, levels: np.ndarray) -> float:
    """Returns the mean bits of a row of levels in an ideal code."""
    assert self.log2_probability is not None
    dimensions = np.arange(levels.shape[1])
    return float(-self.log2_probability[dimensions, levels].sum(1).mean())


def fit(latents: np.ndarray, bits: int, outside: float) -> Quantizer:
  """Fits the intervals and the probabilities of a quantizer.

  The probabilities are (n + 1/2) / (N + 2^bits / 2), of Krichevsky and Trofimov
  1981, so that a level that no training latent has can be coded as well.

  Args:
    latents: of training images, [N, Z].
    bits: a dimension.
    outside: the fraction of the latents beyond the intervals, half of it on
      each side.
  """
  latents = latents.astype(np.float64)
  low, high = np.quantile(latents, [outside / 2, 1 - outside / 2], axis=0)
  # A dimension that never changes has no width.
  width = np.maximum((high - low) / 2**bits, np.finfo(np.float32).tiny)
  quantizer = Quantizer(low, width, bits)
  levels = quantizer.quantize(latents)
  counts = np.stack([np.bincount(x, minlength=2**bits) for x in levels.T])
  probability = (counts + 0.5) / (len(latents) + 2**bits / 2)
  return dataclasses.replace(quantizer, log2_probability=np.log2(probability))


@evaluator('encode', 'decode', train=2)
class Compression:
  """Size and error of images whose latents are quantized, and PCA's.

  Each dimension is cut into equal intervals between two quantiles of its
  training latents. `raw_bits` is bits times dimensions. `code_bits` is what an
  ideal coder needs for the test latents when it knows the histogram of each
  dimension over the training latents, their cross-entropy. Both are in bits per
  image. PSNR is the mean over images, in dB, and the errors are of pixels in
  [0, 1]. PCA has as many components, fitted and quantized in the same way; it
  is left out when there are more latents than pixels.

  The first picture shows, from the first row to the last, images, their
  reconstructions, and those from fewer and fewer bits. The second shows PSNR
  against `code_bits`.

  Attributes:
    bits: a dimension, each tried.
    outside: the fraction of training latents beyond the intervals.
    train: training images from which intervals and histograms come.
    num: images of the split; 0 for all.
    shown: images of the picture.
  """

  task: Task
  split: str = 'test'
  bits: SomeSizes = (8, 4, 2)
  outside: Fraction = 0.002
  train: Count = 10_000
  num: Count = 0
  shown: Size = 16
  batch_size: Size = 500

  def __post_init__(self) -> None:
    if not self.bits or any(not 1 <= b <= 12 for b in self.bits):
      raise InputError(
        f'compression.Compression: bits={self.bits}: expected 1 to 12 each.'
      )
    if not 0 <= self.outside < 1:
      raise InputError(
        f'compression.Compression: outside={self.outside}: expected a fraction '
        'in [0, 1).'
      )

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    sets = (('train', self.train), (self.split, self.num))
    (train, _, seen), (latents, _, images) = (
      self.task.latents(players, split, num, self.batch_size, key)
      for split, num in sets
    )
    images = self.task.unit(images)
    decode = _in_batches(
      lambda x: self.task.predict('decode')(players, x), self.batch_size
    )
    shown = stratified_rows(len(images), self.shown)
    curves, rows = {}, [images[shown]]
    curves['model'] = yield from self._measure(
      '', train, latents, images, decode, rows, shown
    )
    if latents.shape[1] < images[0].size:
      from sklearn.decomposition import PCA

      seen = self.task.unit(seen).reshape(len(seen), -1)
      pca = PCA(min(latents.shape[1], *seen.shape), random_state=0).fit(seen)
      curves['PCA'] = yield from self._measure(
        'pca_',
        pca.transform(seen),
        pca.transform(images.reshape(len(images), -1)),
        images,
        lambda x: pca.inverse_transform(x).reshape(-1, *images.shape[1:]),
        [],
        shown,
      )
    yield 'images', grid(to_uint8(np.concatenate(rows), 'unit'), len(rows[0]))
    yield 'psnr_by_code_bits', self._chart(curves)

  def _measure(self, prefix, train, latents, images, decode, rows, shown):
    """Yields the numbers; returns (bits, code bits, PSNR) of each quantizer."""

    def errors(latents):
      out = np.clip(decode(latents), 0, 1)
      if len(rows):
        rows.append(out[shown])
      mse = float(np.square(out - images).mean(dtype=np.float64))
      return mse, float(psnr(images, out).mean())

    mse, decibels = errors(latents)
    yield f'{prefix}mse', mse
    yield f'{prefix}psnr', decibels
    points = []
    for bits in self.bits:
      quantizer = fit(train, bits, self.outside)
      levels = quantizer.quantize(latents)
      mse, decibels = errors(quantizer.restore(levels))
      code_bits = quantizer.code_bits(levels)
      yield f'{prefix}raw_bits_{bits}bit', bits * latents.shape[1]
      yield f'{prefix}code_bits_{bits}bit', code_bits
      yield f'{prefix}mse_{bits}bit', mse
      yield f'{prefix}psnr_{bits}bit', decibels
      points.append((bits, code_bits, decibels))
    return points

  def _chart(self, curves):
    figure, axes = plot.chart(xlabel='bits per image', ylabel='PSNR (dB)')
    for name, points in curves.items():
      bits, lengths, decibels = zip(*points, strict=True)
      axes.plot(lengths, decibels, marker='o', label=name)
      for label, x, y in zip(bits, lengths, decibels, strict=True):
        axes.annotate(
          f'{label} bits', (x, y), xytext=(5, -12), textcoords='offset points'
        )
    axes.margins(x=0.1)  # room for the labels
    axes.legend()
    return plot.pixels(figure)


def _in_batches(decode, size):
  """Makes `decode` take any number of latents, in batches of one shape."""

  def run(latents):  # [N, Z]
    return np.concatenate(
      [np.asarray(decode(x))[:count] for x, count in filled(latents, size)]
    )

  return run
