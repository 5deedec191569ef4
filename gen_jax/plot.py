"""Charts as pictures.

No pyplot: its global state and windows have no place in a training run.
"""

import io

import numpy as np
from PIL import Image


def chart(**labels: str):
  """Returns a figure and its axes; `labels` are those of `axes.set`."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, 6), dpi=100, layout='constrained')
  FigureCanvasAgg(figure)
  axes = figure.add_subplot()
  axes.set(**labels)
  return figure, axes


def pixels(figure) -> np.ndarray:
  """Returns what a figure looks like, uint8 [H, W, 3]."""
  file = io.BytesIO()
  figure.savefig(file, format='png')
  return np.asarray(Image.open(file).convert('RGB'))
