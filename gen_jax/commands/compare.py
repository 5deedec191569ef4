"""Puts runs side by side on one page.

python -m gen_jax compare --workdir=runs/vae --workdir=runs/gan --out=two.html

The page holds its pictures, so that it is one file to send.
"""

import argparse
import base64
import collections
import html
import itertools
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from gen_jax.commands import cli
from gen_jax.config import stages
from gen_jax.errors import InputError
from gen_jax.storage import outputs, plot, workdir
from gen_jax.storage.images import encode_png, read_picture
from gen_jax.storage.writer import read_metrics
from gen_jax.training import trained

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
  """What a workdir says of its run.

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


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the page."""
  parser = cli.Parser(
    'gen_jax compare',
    description=__doc__,
  )
  parser.add_argument(
    '--workdir', action='append', required=True, help='of a run; once for each'
  )
  parser.add_argument('--out', default='report.html', help='a page (.html)')
  return cli.run(lambda: compare(parser.parse_args(argv)))


def compare(args: argparse.Namespace) -> None:
  """Reads the runs and writes `args.out`.

  Raises:
    InputError: when a workdir has no run, or the page cannot be written.
  """
  out = outputs.parse(args.out, (outputs.HTML,))
  text = page([read(workdir.folder(path)) for path in args.workdir])
  with outputs.writing(out), outputs.replaced(out.path) as partial:
    partial.write_text(text, encoding='utf-8')
  print(f'{out}: {len(args.workdir)} runs')


def read(path: pathlib.Path) -> Run:
  """Reads a workdir; what `gen_jax.evaluate` added to it counts as well."""
  if not path.is_dir():
    raise InputError(f'workdir {path} does not exist.')
  plan = stages.plan(trained.read_config(path))
  config = plan[-1].config
  lines = read_metrics(path / 'metrics.jsonl')
  if not lines:
    raise InputError(f'workdir {path} has no metrics yet.')
  facts = {
    'objective': config.objective.name,
    'data': str(config.data.get('dataset') or config.data.name),
    'steps': f'{max(line["step"] for line in lines):,}',
    'batch': str(config.batch_size),
    'training': _duration(_seconds(lines)),
    **_parameters(path, plan[-1]),
  }
  added = path / 'evaluate'
  pictures = _pictures(path / 'images') | _pictures(added / 'images')
  more = read_metrics(added / 'metrics.jsonl')
  names = (name.split('/')[0] for line in more for name in line)
  evaluators = dict.fromkeys(n for stage in plan for n in stage.config.evals)
  evaluators |= dict.fromkeys(names)
  evaluators.pop('step', None)
  return Run(path, facts, lines + more, tuple(evaluators), pictures)


def _pictures(folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Returns the newest file of each name that can be read."""
  files: dict[str, list[pathlib.Path]] = {}
  for file in folder.glob('**/*.*'):
    if file.suffix in ('.png', '.gif') and file.stem.isdecimal():
      name = str(file.parent.relative_to(folder))
      files.setdefault(name, []).append(file)
  newest = {}
  for name, found in sorted(files.items()):
    found.sort(key=lambda file: int(file.stem), reverse=True)
    whole = (file for file in found if read_picture(file) is not None)
    for file in itertools.islice(whole, 1):
      newest[name] = file
  return newest


def names(paths: Sequence[pathlib.Path]) -> list[str]:
  """Returns a name for each workdir, no two alike.

  It is that of the folder, with as many folders above it as are needed to tell
  workdirs of one name apart.
  """
  parts = [pathlib.Path(os.path.abspath(path)).parts for path in paths]
  sizes = [1] * len(paths)
  while True:
    made = ['/'.join(p[-n:]) for p, n in zip(parts, sizes, strict=True)]
    counts = collections.Counter(made)
    longer = [
      i
      for i, name in enumerate(made)
      if counts[name] > 1 and sizes[i] < len(parts[i])
    ]
    if not longer:
      break
    for i in longer:
      sizes[i] += 1
  # The same workdir, given again.
  repeated = collections.Counter()
  for i, name in enumerate(made):
    repeated[name] += 1
    if repeated[name] > 1:
      made[i] = f'{name} ({repeated[name]})'
  return made


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
  curves = ''.join(_chart(name, runs, labels) for name in _curves(runs))
  title = ', '.join(heads)
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    f'<title>{title}</title><style>{_STYLE}</style></head><body>\n'
    f'<h1>{title}</h1>\n{facts}\n<h2>Results</h2>\n{metrics}\n'
    f'<h2>Pictures</h2>\n{pictures}\n<h2>Over training</h2>\n{curves}\n'
    '</body></html>\n'
  )


def _seconds(lines):
  """How long the training steps took, by their logged speed."""
  total, last = 0.0, 0
  for line in lines:
    speed = line.get('time/steps_per_second')
    if _is_number(speed):
      total += (line['step'] - last) / max(speed, 1e-9)
      last = line['step']
  return total


def _duration(seconds):
  if seconds < 90:
    return f'{seconds:.0f} s'
  return f'{seconds / 60:.1f} min'


def _parameters(path, stage):
  players = trained.experiment_of(path, stage).abstract_state().players
  return {
    f'parameters of {name}': f'{sum(x.size for x in leaves):,}'
    for name, leaves in (
      (name, jax.tree.leaves(variables['params']))
      for name, variables in players.items()
    )
  }


def _final(run):
  """The last value of each result of an evaluator."""
  latest = {}
  for line in run.lines:
    latest |= line
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


def _picture(file):
  kind = 'gif' if file.suffix == '.gif' else 'png'
  return _image(file.read_bytes(), kind, f'step {file.stem}')


def _image(content, kind, text, style=''):
  data = base64.b64encode(content).decode()
  style = f' class="{style}"' if style else ''
  text = html.escape(text)
  return (
    f'<img{style} alt="{text}" title="{text}" '
    f'src="data:image/{kind};base64,{data}">'
  )


def _curves(runs):
  """The metrics that some run has at two steps or more."""
  counts: dict[str, int] = {}
  for run in runs:
    mine: dict[str, set] = {}
    for line in run.lines:
      for name, value in line.items():
        if _is_number(value):
          mine.setdefault(name, set()).add((line['step'], value))
    for name, points in mine.items():
      changes = len({value for _, value in points}) > 1
      if changes and len({step for step, _ in points}) > 1:
        counts[name] = counts.get(name, 0) + 1
  hidden = ('step', 'time/steps_per_second', 'time/images_per_second')
  # What most runs have first: that is what they can be compared by.
  names = sorted(counts, key=lambda name: -counts[name])
  return [name for name in names if name not in hidden]


def _chart(name, runs, labels):
  figure, axes = plot.chart(xlabel='step', ylabel=_plain(name))
  for run, label in zip(runs, labels, strict=True):
    lines = [line for line in run.lines if _is_number(line.get(name))]
    points = sorted((line['step'], line[name]) for line in lines)
    if points:
      axes.plot(*zip(*points, strict=True), label=_plain(label))
  axes.legend()
  return _image(encode_png(plot.pixels(figure)), 'png', name, 'chart')


def _plain(text):
  """As matplotlib draws it: $ would begin a formula, and _ hide a label."""
  text = text.replace('$', r'\$')
  return f' {text}' if text.startswith('_') else text


def _is_number(value):
  """Whether a value can be drawn; NaN and infinity stand in the table alone."""
  return isinstance(value, int | float) and math.isfinite(value)
