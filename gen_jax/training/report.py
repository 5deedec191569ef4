"""One page of several runs: facts, results, pictures and curves."""

import base64
import collections
import html
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.storage import cloud, plot
from gen_jax.storage.images import encode_png, read_picture
from gen_jax.storage.writer import read_metrics
from gen_jax.training import trained

_HIDDEN = ('step', 'time/steps_per_second', 'time/images_per_second')
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: .25em .9em; border-bottom: 1px solid #ddd; text-align: right;
  vertical-align: top }
th:first-child, td:first-child { text-align: left }
img { max-width: 26em; image-rendering: pixelated }
.chart { max-width: 34em; image-rendering: auto }
.missing { color: #999 }
"""


class Run(NamedTuple):
  """The contents of a workdir.

  Attributes:
    path: the folder.
    facts: by name, as text.
    lines: of `metrics.jsonl`, oldest first.
    evaluators: names of those that the config has.
    pictures: the newest file of each name.
  """

  path: pathlib.Path
  facts: dict[str, str]
  lines: list[dict[str, Any]]
  evaluators: tuple[str, ...]
  pictures: dict[str, pathlib.Path]


def read(path: pathlib.Path) -> Run:
  """Reads a workdir; what `gen_jax evaluate` added to it counts as well.

  Raises:
    InputError: when it has no run.
  """
  if not path.is_dir():
    raise InputError(f'workdir {path} does not exist.')
  plan = stages.plan(trained.read_config(path))
  config = plan[-1].config
  lines = read_metrics(path / 'metrics.jsonl')
  if not lines:
    raise InputError(f'workdir {path} has no metrics yet.')
  players = trained.experiment_of(path, plan[-1]).abstract_state().players
  facts = {
    'objective': config.objective.name,
    'data': str(config.data.get('dataset') or config.data.name),
    'steps': f'{max(line["step"] for line in lines):,}',
    'batch': str(config.batch_size),
    'training': f'{_seconds(lines) / 60:,.1f} min',
  }
  for name, variables in players.items():
    count = sum(x.size for x in jax.tree.leaves(variables['params']))
    facts[f'parameters of {name}'] = f'{count:,}'
  added = path / 'evaluate'
  more = read_metrics(added / 'metrics.jsonl')
  evaluators = dict.fromkeys(n for stage in plan for n in stage.config.evals)
  evaluators |= dict.fromkeys(n.split('/')[0] for line in more for n in line)
  evaluators.pop('step', None)
  pictures = _pictures(path / 'images') | _pictures(added / 'images')
  # By step: an old checkpoint may have been evaluated last.
  lines = sorted(lines + more, key=lambda line: line['step'])
  return Run(path, facts, lines, tuple(evaluators), pictures)


def _pictures(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the newest file of each name that can be read."""
  files = [
    file
    for file in cloud.files(folder)
    if file.suffix in ('.png', '.gif') and file.stem.isdecimal()
  ]
  newest: dict[str, pathlib.Path] = {}
  for file in sorted(files, key=lambda file: int(file.stem), reverse=True):
    name = str(file.parent.relative_to(folder))
    if name not in newest and read_picture(file) is not None:
      newest[name] = file
  return dict(sorted(newest.items()))


def names(paths: Sequence[pathlib.Path]) -> list[str]:
  """Returns a name for each workdir, no two alike.

  It is that of the folder, with as many folders above it as are needed to
  distinguish workdirs of one name.
  """
  parts = [pathlib.Path(os.path.abspath(path)).parts for path in paths]
  found = []
  for own in parts:
    for size in range(1, len(own) + 1):
      if [p[-size:] for p in parts].count(own[-size:]) == 1:
        break
    found.append('/'.join(own[-size:]))
  # The same workdir may be given again.
  counts = [found[:index].count(name) for index, name in enumerate(found)]
  return [
    f'{name} ({count + 1})' if count else name
    for name, count in zip(found, counts, strict=True)
  ]


def page(runs: Sequence[Run]) -> str:
  """Returns the page, HTML without anything outside of it."""
  labels = names([run.path for run in runs])
  heads = [html.escape(label) for label in labels]
  facts = [{k: html.escape(v) for k, v in r.facts.items()} for r in runs]
  facts = _table(heads, facts)
  metrics = _table(heads, [_shown(_final(run)) for run in runs])
  pictures = _table(
    heads, [{k: _picture(f) for k, f in r.pictures.items()} for r in runs]
  )
  series = [_series(run) for run in runs]
  curves = ''.join(_chart(name, series, labels) for name in _curves(series))
  title = ', '.join(heads)
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    f'<title>{title}</title><style>{_STYLE}</style></head><body>\n'
    f'<h1>{title}</h1>\n{facts}\n<h2>Results</h2>\n{metrics}\n'
    f'<h2>Pictures</h2>\n{pictures}\n<h2>Over training</h2>\n{curves}\n'
    '</body></html>\n'
  )


def _seconds(lines: Sequence[Mapping[str, Any]]) -> float:
  """Returns how long the training steps took, by their logged speed."""
  total, last = 0.0, 0
  for line in lines:
    speed: Any = line.get('time/steps_per_second')
    if _is_number(speed):
      total += (line['step'] - last) / max(speed, 1e-9)
      last = line['step']
  return total


def _final(run: Run) -> dict[str, float]:
  """Returns the last value of each result of an evaluator."""
  latest = {name: value for line in run.lines for name, value in line.items()}
  return {
    name: value
    for name, value in latest.items()
    if name.split('/')[0] in run.evaluators
    and isinstance(value, int | float)
    and not name.endswith('/seed')
  }


def _shown(values: Mapping[str, float]) -> dict[str, str]:
  return {
    k: f'{v:.5g}' if isinstance(v, float) else f'{v:,}'
    for k, v in values.items()
  }


def _table(heads, columns):
  """A row for each name that any column has; cells are HTML."""
  names = dict.fromkeys(name for column in columns for name in column)
  rows = [f'<tr><th></th>{"".join(f"<th>{h}</th>" for h in heads)}</tr>']
  for name in names:
    cells = (c.get(name, '<span class="missing">-</span>') for c in columns)
    cells = ''.join(f'<td>{cell}</td>' for cell in cells)
    rows.append(f'<tr><td>{html.escape(name)}</td>{cells}</tr>')
  return f'<table>{"".join(rows)}</table>'


def _picture(file: pathlib.Path) -> str:
  return _image(file.read_bytes(), file.suffix[1:], f'step {file.stem}')


def _image(content: bytes, kind: str, text: str, style: str = '') -> str:
  data = base64.b64encode(content).decode()
  text = html.escape(text)
  return (
    f'<img class="{style}" alt="{text}" title="{text}" '
    f'src="data:image/{kind};base64,{data}">'
  )


def _series(run: Run) -> dict[str, list[tuple[int, float]]]:
  """Returns the steps and values of each metric that can be drawn."""
  found = collections.defaultdict(list)
  for line in run.lines:
    for name, value in line.items():
      if _is_number(value):
        found[name].append((line['step'], value))
  return found


def _curves(series: Sequence[Mapping[str, list]]) -> list[str]:
  """Returns the metrics that some run has at two steps or more.

  The metrics that most runs have, and are compared by, come first.
  """
  counts = collections.Counter()
  for run in series:
    for name, points in run.items():
      steps, values = map(set, zip(*points, strict=True))
      counts[name] += len(steps) > 1 and len(values) > 1
  return [k for k, n in counts.most_common() if n and k not in _HIDDEN]


def _chart(
  name: str, series: Sequence[Mapping[str, list]], labels: Sequence[str]
) -> str:
  figure, axes = plot.chart(xlabel='step', ylabel=_plain(name))
  for run, label in zip(series, labels, strict=True):
    if name in run:
      steps, values = zip(*sorted(run[name]), strict=True)
      axes.plot(steps, values, label=_plain(label))
  axes.legend()
  return _image(encode_png(plot.pixels(figure)), 'png', name, 'chart')


def _plain(text):
  """As matplotlib draws it: $ would begin a formula, and _ hide a label."""
  text = text.replace('$', r'\$')
  return f' {text}' if text.startswith('_') else text


def _is_number(value):
  """Whether a value can be drawn; NaN and infinity stand in the table alone."""
  return isinstance(value, int | float) and math.isfinite(value)
