"""Figures of the effects of w and of noise (Karras et al. 2018)."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Results, Task, evaluator
from gen_jax.evaluation.figures.latent_figures import lerp
from gen_jax.registry.fields import Number, Size
from gen_jax.storage.images import grid, to_uint8

_NEEDS = ('sample_latents', 'map_latents', 'synthesize', 'w_avg')


def sample_w_plus(
  task: Task, players: Players, key: jax.Array, num: int, psi: float = 1.0
) -> tuple[jax.Array, jax.Array]:
  """Returns truncated w_plus, [num, layers, W], and the mean w, [W]."""
  sample_latents, map_latents, _, w_avg = map(task.predict, _NEEDS)
  w_plus = map_latents(players, sample_latents(players, key=key, num=num))
  mean = w_avg(players)
  return lerp(mean, w_plus, psi), mean


def synthesize(
  task: Task, players: Players, w_plus: jax.Array, key: jax.Array
) -> np.ndarray:
  """Returns images, uint8 [N, H, W, C], all with the same noise."""
  images = task.predict('synthesize')(players, w_plus, key=key)
  return to_uint8(images, task.objective.pixels)


@evaluator(*_NEEDS)
class Truncation:
  """One latent in each row, from its own w to the mean and beyond (figure 8).

  Attributes:
    psis: of the columns; 1 is for the w of the latent, 0 for the mean of all.
  """

  task: Task
  rows: Size = 4
  psis: tuple[Number, ...] = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    w_plus, mean = sample_w_plus(self.task, players, key, self.rows)
    columns = jnp.asarray(self.psis)[None, :, None, None]  # [1, T, 1, 1]
    w_plus = lerp(mean, w_plus[:, None], columns)
    images = synthesize(
      self.task, players, w_plus.reshape(-1, *w_plus.shape[2:]), key
    )
    yield 'truncation', grid(images, len(self.psis))


@evaluator(*_NEEDS)
class Mixing:
  """The w of one latent in some layers, of another in the rest (figure 3).

  There is a figure each for the coarse layers (4 and 8 pixels), the middle ones
  (16 and 32) and the fine ones. These layers have the w of the images at the
  top, the others the w of the images at the left. For images below 64 pixels
  the coarse layers are those of 4 pixels and the middle ones those of 8.

  Attributes:
    psi: truncation of all.
  """

  task: Task
  rows: Size = 4
  columns: Size = 6
  psi: Number = 1.0

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    w_plus, _ = sample_w_plus(
      self.task, players, key, self.rows + self.columns, self.psi
    )
    left, top = w_plus[: self.rows], w_plus[self.rows :]
    sources = synthesize(self.task, players, w_plus, key)
    layers = w_plus.shape[1]
    first, second = (4, 8) if layers >= 10 else (2, 4)
    parts = {
      'coarse': (0, first),
      'middle': (first, second),
      'fine': (second, layers),
    }
    for name, (start, stop) in parts.items():
      index = jnp.arange(layers)[:, None]
      given = (start <= index) & (index < stop)  # [L, 1]
      if not np.any(given):
        continue
      mixed = jnp.where(given, top[None], left[:, None])  # [R, T, L, W]
      images = synthesize(
        self.task, players, mixed.reshape(-1, *mixed.shape[2:]), key
      )
      images = images.reshape(self.rows, self.columns, *images.shape[1:])
      blank = np.full_like(sources[:1], 255)
      sheet = [blank, sources[self.rows :]]
      for source, row in zip(sources, images, strict=False):
        sheet += [source[None], row]
      yield name, grid(np.concatenate(sheet), self.columns + 1)


@evaluator(*_NEEDS)
class Noise:
  """Images with different noise, their mean and their deviation (figure 4).

  The deviation is averaged over the channels; in the figure its largest value
  is white. `deviation` is its mean over pixels and images, for pixels in
  [0, 1].

  Attributes:
    rows: latents.
    shown: images of a latent that are shown.
    draws: images of a latent for the mean and the deviation.
    psi: truncation.
  """

  task: Task
  rows: Size = 4
  shown: Size = 3
  draws: Size = 50
  psi: Number = 1.0

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    w_plus, _ = sample_w_plus(self.task, players, key, self.rows, self.psi)
    draw = self.task.predict('synthesize')
    images = []
    for index in range(self.draws):
      key_draw = jax.random.fold_in(key, index)
      images.append(self.task.unit(draw(players, w_plus, key=key_draw)))
    images = np.stack(images, axis=1)  # [R, N, H, W, C]
    mean = images.mean(axis=1, keepdims=True)
    spread = images.std(axis=1, keepdims=True).mean(axis=-1, keepdims=True)
    yield 'deviation', float(spread.mean())
    spread = np.broadcast_to(spread / max(spread.max(), 1e-12), mean.shape)
    if mean.shape[-1] == 4:  # opaque, so that it can be seen
      spread = np.concatenate(
        [spread[..., :3], np.ones_like(mean[..., :1])], -1
      )
    sheet = np.concatenate([images[:, : self.shown], mean, spread], axis=1)
    columns = sheet.shape[1]
    sheet = sheet.reshape(-1, *sheet.shape[2:])
    yield 'noise', grid(to_uint8(sheet, 'unit'), columns)


@evaluator(*_NEEDS)
class Walk:
  """An animation of straight lines in W between latents, back to the first.

  Attributes:
    tiles: walks side by side.
    stops: latents of each walk.
    frames: from one latent to the next.
    psi: truncation.
  """

  task: Task
  tiles: Size = 9
  stops: Size = 4
  frames: Size = 12
  psi: Number = 0.7

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    w_plus, _ = sample_w_plus(
      self.task, players, key, self.tiles * self.stops, self.psi
    )
    w_plus = w_plus.reshape(self.stops, self.tiles, *w_plus.shape[1:])
    frames = []
    for start, end in zip(w_plus, jnp.roll(w_plus, -1, axis=0), strict=True):
      for frame in range(self.frames):
        here = lerp(start, end, frame / self.frames)
        frames.append(grid(synthesize(self.task, players, here, key)))
    yield 'walk', np.stack(frames)
