"""Pictures of what styles and noise do (Karras et al. 2018)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Players
from gen_jax.evaluation.context import Minimum, Results, Task
from gen_jax.evaluation.figures.latent_figures import lerp
from gen_jax.registry.fields import Number, Size
from gen_jax.storage.images import grid, to_uint8, to_unit

_NEEDS = ('sample_latents', 'map_latents', 'synthesize', 'w_avg')


class _Figure:
  """What the figures share."""

  task: Task
  psi: Number = 1.0

  needs = _NEEDS

  def minimum(self) -> tuple[Minimum, ...]:
    """Returns the smallest splits that it can be computed on."""
    return ()

  def _styles(self, players, key, num):
    """Truncated styles of `num` codes, [num, layers, W], and the mean w."""
    codes, map_, _, center = map(self.task.predict, _NEEDS)
    styles = map_(players, codes(players, key=key, num=num))
    mean = center(players)
    return lerp(mean, styles, self.psi), mean

  def _draw(self, players, styles, key):
    """Pictures, uint8 [N, H, W, C], with one noise for all."""
    images = self.task.predict('synthesize')(players, styles, key=key)
    return to_uint8(images, self.task.objective.pixels)


@dataclasses.dataclass(frozen=True)
class Truncation(_Figure):
  """A code a row, from its own style to the mean and beyond (figure 8).

  Attributes:
    psis: of the columns; 1 is the style itself, 0 the mean of all.
  """

  task: Task
  rows: Size = 4
  psis: tuple[Number, ...] = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    styles, mean = self._styles(players, key, self.rows)
    columns = jnp.asarray(self.psis)[None, :, None, None]  # [1, T, 1, 1]
    styles = lerp(mean, styles[:, None], columns)
    images = self._draw(players, styles.reshape(-1, *styles.shape[2:]), key)
    yield 'truncation', grid(images, len(self.psis))


@dataclasses.dataclass(frozen=True)
class Mixing(_Figure):
  """The styles of one code in some layers, of another in the rest (figure 3).

  At the left the codes whose styles are taken over, at the top those that give
  theirs to the coarse layers (4 and 8 pixels), the middle ones (16 and 32) or
  the fine ones, on a sheet each. Of an image below 64 pixels the coarse layers
  are those of 4 and the middle ones those of 8.

  Attributes:
    psi: truncation of all.
  """

  task: Task
  rows: Size = 4
  columns: Size = 6
  psi: Number = 1.0

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    styles, _ = self._styles(players, key, self.rows + self.columns)
    left, top = styles[: self.rows], styles[self.rows :]
    sources = self._draw(players, styles, key)
    layers = styles.shape[1]
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
      images = self._draw(players, mixed.reshape(-1, *mixed.shape[2:]), key)
      images = images.reshape(self.rows, self.columns, *images.shape[1:])
      blank = np.full_like(sources[:1], 255)
      sheet = [blank, sources[self.rows :]]
      for source, row in zip(sources, images, strict=False):
        sheet += [source[None], row]
      yield name, grid(np.concatenate(sheet), self.columns + 1)


@dataclasses.dataclass(frozen=True)
class Noise(_Figure):
  """What noise adds: an image, others of other noise, mean, deviation.

  That is figure 4. The deviation over draws is the mean over the channels; on a
  sheet its largest value is white. `deviation` is its mean over pixels and
  images, for pixels in [0, 1].

  Attributes:
    rows: codes.
    shown: draws that are shown.
    draws: of the mean and the deviation.
    psi: truncation.
  """

  task: Task
  rows: Size = 4
  shown: Size = 3
  draws: Size = 50
  psi: Number = 1.0

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    styles, _ = self._styles(players, key, self.rows)
    synthesize = self.task.predict('synthesize')
    images = []
    for index in range(self.draws):
      key_draw = jax.random.fold_in(key, index)
      out = synthesize(players, styles, key=key_draw)
      images.append(to_unit(out, self.task.objective.pixels))
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


@dataclasses.dataclass(frozen=True)
class Walk(_Figure):
  """An animation: straight lines in W from code to code, and back to the first.

  Attributes:
    tiles: walks side by side.
    stops: codes of each walk.
    frames: from one code to the next.
    psi: truncation.
  """

  task: Task
  tiles: Size = 9
  stops: Size = 4
  frames: Size = 12
  psi: Number = 0.7

  def run(self, players: Players, key: jax.Array) -> Results:
    """Yields each result with its name."""
    styles, _ = self._styles(players, key, self.tiles * self.stops)
    styles = styles.reshape(self.stops, self.tiles, *styles.shape[1:])
    pictures = []
    for start, end in zip(styles, jnp.roll(styles, -1, axis=0), strict=True):
      for frame in range(self.frames):
        here = lerp(start, end, frame / self.frames)
        pictures.append(grid(self._draw(players, here, key)))
    yield 'walk', np.stack(pictures)
