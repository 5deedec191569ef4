"""The results of several runs side by side: a table, statistics, a curve."""

import pathlib
import shutil
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gen_jax.errors import InputError, nearest
from gen_jax.storage import plot
from gen_jax.storage.images import save_image

STATISTICS = {
  'mean': statistics.fmean,
  'median': statistics.median,
  'min': min,
  'max': max,
}


class Result(NamedTuple):
  """The results of one run of a sweep.

  Attributes:
    values: of the fields that were varied, as text.
    step: its last; 0 if the training failed.
    metrics: numbers by name; none if the training failed.
  """

  values: Mapping[str, str]
  step: int
  metrics: Mapping[str, float]


def summary(results: Sequence[Result]) -> dict[str, dict[str, float]]:
  """Returns mean, median, min and max of every metric over the runs."""
  out = {}
  for name in _names(results):
    values = [r.metrics[name] for r in results if name in r.metrics]
    out[name] = {k: fn(values) for k, fn in STATISTICS.items()}
  return out


def table(results: Sequence[Result], width: int | None = None) -> str:
  """Returns a row for each run and statistic, and a column for each metric.

  Args:
    results: in the order of the rows.
    width: of a line, in letters; what is wider goes on below. The terminal's
      if None.
  """
  width = width or shutil.get_terminal_size((100, 0)).columns
  first = [
    ','.join(results[0].values),
    *(','.join(r.values.values()) for r in results),
    *STATISTICS,
  ]
  columns, totals = [], summary(results)
  for name in _names(results):
    values = [r.metrics.get(name) for r in results]
    values += [totals[name][k] for k in STATISTICS]
    shown = ('-' if v is None else f'{v:.5g}' for v in values)
    columns.append(_column([name, *shown], str.rjust))
  blocks, first = [], _column(first, str.ljust)
  for column in columns:
    wide = blocks and len(blocks[-1][0]) + 2 + len(column[0]) > width
    if not blocks or wide:
      blocks.append(first)
    blocks[-1] = [f'{a}  {b}' for a, b in zip(blocks[-1], column, strict=True)]
  return '\n\n'.join('\n'.join(block) for block in blocks)


def draw(
  results: Sequence[Result], x: str, y: str, folder: pathlib.Path
) -> pathlib.Path:
  """Draws a metric against another, a labeled point for each run.

  The runs that differ in the last field alone are one line.

  Returns:
    the file, `<x>-<y>.png` with underscores for slashes.

  Raises:
    InputError: when a metric is not among the results of a run.
  """
  results = [result for result in results if result.metrics]
  for result in results:
    for name in (x, y):
      if name not in result.metrics:
        raise InputError(
          f'--plot: no metric {name!r}.' + nearest(name, result.metrics)
        )
  figure, axes = plot.chart(xlabel=x, ylabel=y)
  lines: dict[tuple, list] = {}
  for result in results:
    *others, last = result.values.items()
    point = (result.metrics[x], result.metrics[y])
    lines.setdefault(tuple(others), []).append(point)
    axes.annotate(
      last[1], point, xytext=(5, 5), textcoords='offset points', fontsize=9
    )
  for others, points in lines.items():
    label = ', '.join(f'{k}={v}' for k, v in others)
    points = list(zip(*points, strict=True))
    (marks,) = axes.plot(*points, 'o', label=label or None)
    # Faint, for the values need not have an order that means anything.
    axes.plot(*points, color=marks.get_color(), alpha=0.3)
  if len(lines) > 1:
    axes.legend()
  if results:
    axes.set_title(f'labels: {list(results[0].values)[-1]}', fontsize=10)
  file = folder / f'{x}-{y}.png'.replace('/', '_')
  save_image(file, plot.pixels(figure))
  return file


def _names(results):
  return list(dict.fromkeys(name for r in results for name in r.metrics))


def _column(cells, justify):
  width = max(map(len, cells))
  return [justify(cell, width) for cell in cells]
