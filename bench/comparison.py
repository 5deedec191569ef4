"""Trains a VAE, a GAN and a conditional GAN for the same time, side by side.

python -m bench.comparison --minutes=5

A short run of each model measures its steps per second. The number of steps is
then chosen so that training takes the given time, without evaluation. Results
are printed as a table and written to WORKDIR/comparison.json. WORKDIR also gets
two pictures: the losses over time, and samples over time.
"""

import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Annotated, Any

import jax
import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from PIL import Image, ImageDraw, ImageFont

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.registry.fields import Positive, Size
from gen_jax.runtime import settings
from gen_jax.training.loop import train

CONFIG = pathlib.Path(__file__).parents[1] / 'configs' / 'comparison.py'
# The name of each model, its variant, and the losses that are drawn.
MODELS = (
  ('VAE', 'vae', ('model/loss',)),
  ('GAN', 'gan', ('disc/loss', 'gen/loss')),
  ('Conditional GAN', 'cgan', ('disc/loss', 'gen/loss')),
)
TIMES = 5  # at which samples are drawn, evenly over the training
SIDE = 5  # images along each side of a picture of samples
MEASURED = (
  'fidelity/frechet',
  'fidelity/frechet_train',
  'fidelity/precision',
  'fidelity/recall',
  'fidelity/coverage',
  'fidelity/inception_score',
  'accuracy',
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """The arguments."""

  minutes: Annotated[Positive, 'of each training; 5'] = 5.0
  steps: Annotated[Size | None, 'of each training, instead of a time'] = None
  workdir: Annotated[str, 'a folder; runs/comparison'] = 'runs/comparison'


def main(argv: Sequence[str] | None = None) -> int:
  """Returns the exit code."""
  return cli.main(
    compare, Arguments, __doc__, argv, prog='python -m bench.comparison'
  )


def compare(args: Arguments) -> None:
  """Trains the models, and writes the table and the pictures."""
  settings.configure()
  folder = pathlib.Path(args.workdir)
  results = {}
  for title, variant, _ in MODELS:
    config = load(variant)
    config.steps = args.steps or round(60 * args.minutes * speed(config))
    config.evals.samples.every = -(-config.steps // TIMES)
    print(f'{title}: {config.steps} steps')
    state, metrics = train(config, folder / variant)
    results[title] = {
      'parameters': parameters(state.players),
      'steps': config.steps,
      'minutes of training': float(minutes(folder / variant)[-1]),
      **{k: v for k, v in metrics.items() if k in MEASURED},
    }
  (folder / 'comparison.json').write_text(json.dumps(results, indent=1))
  draw_losses(folder).savefig(folder / 'losses.png', dpi=100)
  draw_samples(folder).save(folder / 'samples.png')
  print(table(results))


def load(variant: str) -> ConfigDict:
  """Returns the config of a model."""
  name = str(CONFIG) if variant == 'vae' else f'{CONFIG}:{variant}'
  return config_lib.load(name)


def speed(config: ConfigDict, steps: int = 256) -> float:
  """Returns the steps per second of a config, without compilation."""
  config = config.copy_and_resolve_references()
  config.evals = {}
  config.steps, config.log_every = 2 * steps, steps
  with tempfile.TemporaryDirectory() as workdir:
    train(config, workdir)
    rows = read_metrics(pathlib.Path(workdir))
  return rows[-1]['time/steps_per_second']


def parameters(players: dict[str, Any]) -> int:
  """Returns the number of parameters of all players."""
  params = [player['params'] for player in players.values()]
  return sum(x.size for x in jax.tree.leaves(params))


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the logs of a run that have a training speed."""
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [r for r in map(json.loads, lines) if 'time/steps_per_second' in r]


def minutes(workdir: pathlib.Path) -> np.ndarray:
  """Returns the minutes of training until each log, without evaluation."""
  rows = read_metrics(workdir)
  steps = np.diff([0, *(row['step'] for row in rows)])
  return np.cumsum(steps / [row['time/steps_per_second'] for row in rows]) / 60


def draw_losses(folder: pathlib.Path) -> Figure:
  """Returns the losses of all models over the time of training."""
  figure = Figure(figsize=(11, 3.2), layout='constrained')
  for axes, (title, variant, losses) in zip(
    figure.subplots(1, len(MODELS)), MODELS, strict=True
  ):
    rows = read_metrics(folder / variant)
    for name in losses:
      values = [row[name] for row in rows]
      axes.plot(minutes(folder / variant), values, label=name, linewidth=1)
    axes.set(title=title, xlabel='minutes of training', ylabel='loss')
    axes.legend()
  return figure


def draw_samples(folder: pathlib.Path) -> Image.Image:
  """Returns samples of each model at several times, a row for each model."""
  rows = []
  for _, variant, _ in MODELS:
    files = (folder / variant / 'images' / 'samples').glob('*.png')
    rows.append(sorted(files, key=lambda file: int(file.stem)))
  size = SIDE * 30 + 2  # images of 28 pixels, and gaps of 2
  left, top = 120, 24
  count = max(map(len, rows))
  picture = Image.new(
    'RGB', (left + count * (size + 8), top + len(rows) * (size + 8)), 'white'
  )
  draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
  for row, ((title, _, _), files) in enumerate(zip(MODELS, rows, strict=True)):
    y = top + row * (size + 8)
    draw.text((4, y + size // 2), title, fill='black', font=font)
    for column, file in enumerate(files):
      x = left + column * (size + 8)
      with Image.open(file) as image:
        picture.paste(image.convert('RGB').crop((0, 0, size, size)), (x, y))
      part = int(file.stem) / int(files[-1].stem)
      draw.text((x + 4, 4), f'{part:.0%} of the time', fill='black', font=font)
  return picture


def table(results: dict[str, dict[str, Any]]) -> str:
  """Returns the results as a table in Markdown."""
  names = list(dict.fromkeys(k for row in results.values() for k in row))
  lines = [
    '| | ' + ' | '.join(results) + ' |',
    '|---' * (len(results) + 1) + '|',
  ]
  for name in names:
    values = (row.get(name, '') for row in results.values())
    cells = (f'{v:,.3f}' if isinstance(v, float) else f'{v}' for v in values)
    lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


if __name__ == '__main__':
  sys.exit(main())
