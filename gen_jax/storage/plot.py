"""Charts as pictures, uint8 [H, W, 3], and how a batch is drawn.

No pyplot: its global state and windows have no place in a training run.
"""

import io
from typing import Any

import numpy as np
from PIL import Image

from gen_jax.storage.images import grid, to_uint8


def chart(**labels: str) -> tuple[Any, Any]:
  """Returns a figure and its axes; `labels` are those of `axes.set`."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, 6), dpi=100, layout='constrained')
  FigureCanvasAgg(figure)
  axes = figure.add_subplot()
  axes.set(**labels)
  return figure, axes


def pixels(figure: Any) -> np.ndarray:
  """Returns a figure as a picture, uint8 [H, W, 3]."""
  file = io.BytesIO()
  figure.savefig(file, format='png')
  return np.asarray(Image.open(file).convert('RGB'))


def is_points(images: Any) -> bool:
  """Whether examples [N, 1, 1, 2] are points of the plane.

  No image has two channels: see `Source`.
  """
  return images.shape[1:] == (1, 1, 2)


def draw(images: Any, kind: str) -> np.ndarray:
  """Draws a batch: a grid of images, or a scatter of points.

  Args:
    images: [N, H, W, C].
    kind: of their pixels, 'unit' or 'symmetric'.
  """
  if is_points(images):
    return scatter(images)
  return grid(to_uint8(images, kind))


def scatter(points: Any, behind: Any = None) -> np.ndarray:
  """Draws points [N, 1, 1, 2], on others where those are given.

  The others then say what is in view.
  """
  figure, axes = chart(aspect='equal')
  points = np.asarray(points).reshape(-1, 2)
  if behind is not None:
    behind = np.asarray(behind).reshape(-1, 2)
    axes.scatter(*behind.T, s=4, color='0.75', label='data')
    low, high = behind.min(), behind.max()
    margin = 0.25 * (high - low)
    limits = low - margin, high + margin
    axes.set(xlim=limits, ylim=limits)
  axes.scatter(*points.T, s=4, color='tab:red', alpha=0.4, label='samples')
  if behind is not None:
    axes.legend(loc='upper right', markerscale=3)
  return pixels(figure)
