"""Puts runs side by side on one page.

python -m gen_jax.compare --workdir=runs/vae --workdir=runs/gan --out=two.html

The page holds its pictures, so that it is one file to send.
"""

from gen_jax import startup

if __name__ == '__main__':
  startup.begin()

import argparse
import base64
import html
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from gen_jax import cli, outputs, plot, stages, workdir
from gen_jax.errors import InputError
from gen_jax.experiment import Experiment
from gen_jax.writer import encode_png, read_metrics

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
    name: of the folder.
    facts: by name, as text.
    lines: of `metrics.jsonl`, oldest first.
    evaluators: names of those that the config has.
    pictures: the newest file of each name.
  """

  name: str
  facts: dict[str, str]
  lines: list[dict[str, Any]]
  evaluators: tuple[str, ...]
  pictures: dict[str, pathlib.Path]


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the page."""
  parser = cli.Parser(
    'gen_jax.compare',
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
  plan = stages.plan(workdir.read_config(path))
  config = plan[-1].config
  lines = read_metrics(path / 'metrics.jsonl')
  if not lines:
    raise InputError(f'workdir {path} has no metrics yet.')
  facts = {
    'objective': config.objective.name,
    'data': config.data.get('dataset') or config.data.name,
    'steps': f'{max(line["step"] for line in lines):,}',
    'batch': str(config.batch_size),
    'training': _duration(_seconds(lines)),
    **_parameters(plan[-1]),
  }
  added = path / 'evaluate'
  pictures = {}
  for folder in (path, added):
    pictures |= {
      str(file.parent.relative_to(folder / 'images')): file
      for file in sorted(
        (folder / 'images').glob('**/*.*'),
        key=lambda f: int(f.stem) if f.stem.isdigit() else -1,
      )
      if file.stem.isdigit()
    }
  more = read_metrics(added / 'metrics.jsonl')
  names = (name.split('/')[0] for line in more for name in line)
  evaluators = dict.fromkeys(n for stage in plan for n in stage.config.evals)
  evaluators |= dict.fromkeys(names)
  evaluators.pop('step', None)
  return Run(path.name, facts, lines + more, tuple(evaluators), pictures)


def page(runs: Sequence[Run]) -> str:
  """Returns the page, HTML without anything outside of it."""
  heads = [html.escape(run.name) for run in runs]
  facts = _table(heads, [run.facts for run in runs])
  metrics = _table(heads, [_shown(_final(run)) for run in runs])
  pictures = _table(
    heads, [{k: _picture(f) for k, f in r.pictures.items()} for r in runs]
  )
  curves = ''.join(_chart(name, runs) for name in _curves(runs))
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
    if 'time/steps_per_second' in line:
      total += (line['step'] - last) / max(line['time/steps_per_second'], 1e-9)
      last = line['step']
  return total


def _duration(seconds):
  if seconds < 90:
    return f'{seconds:.0f} s'
  return f'{seconds / 60:.1f} min'


def _parameters(stage):
  players = Experiment(stage).abstract_state().players
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
        if isinstance(value, int | float):
          mine.setdefault(name, set()).add((line['step'], value))
    for name, points in mine.items():
      changes = len({value for _, value in points}) > 1
      if changes and len({step for step, _ in points}) > 1:
        counts[name] = counts.get(name, 0) + 1
  hidden = ('step', 'time/steps_per_second', 'time/images_per_second')
  # What most runs have first: that is what they can be compared by.
  names = sorted(counts, key=lambda name: -counts[name])
  return [name for name in names if name not in hidden]


def _chart(name, runs):
  figure, axes = plot.chart(xlabel='step', ylabel=name)
  for run in runs:
    points = [(x['step'], x[name]) for x in run.lines if name in x]
    if points:
      axes.plot(*zip(*sorted(points), strict=True), label=run.name)
  axes.legend()
  return _image(encode_png(plot.pixels(figure)), 'png', name, 'chart')


if __name__ == '__main__':
  raise SystemExit(main())
