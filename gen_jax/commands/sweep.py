"""Trains a config once for each value of a field, and compares the results.

python -m gen_jax sweep --config=configs/vae.py:dense
  --over=objective.beta=0.5,1,2,4,8 --workdir=runs/beta
  --plot=elbo/kl:elbo/reconstruction

Each run has a folder below the workdir, named by its value; a run that is
finished is not trained again, and the same command goes on where it stopped.
The results are printed and written to `sweep.json`.
"""

import argparse
import itertools
import json
import pathlib
import re
import time
from collections.abc import Mapping, Sequence

from gen_jax.commands import cli
from gen_jax.errors import EvaluationError, InputError, nearest


def main(argv: Sequence[str] | None = None) -> int:
  """Trains all runs; the exit codes are those of `gen_jax.main`."""
  parser = cli.Parser(
    'gen_jax sweep',
    description=__doc__,
    epilog='Any field of the config may be set: --config.steps=2000.',
  )
  parser.add_argument(
    '--config', required=True, help='a file, and a variant of it: file.py:name'
  )
  parser.add_argument(
    '--over',
    required=True,
    action='append',
    metavar='FIELD=A,B,...',
    help='a field and its values, a tuple as (0,1); given again, all pairs',
  )
  parser.add_argument('--workdir', required=True)
  parser.add_argument(
    '--plot',
    action='append',
    default=[],
    metavar='X:Y',
    help='draws a metric against another, elbo/kl:elbo; may be given again',
  )
  parser.add_argument(
    '--extend', action='store_true', help='as that of gen_jax.main'
  )
  return cli.run(lambda: sweep(*parser.read(argv)))


def sweep(args: argparse.Namespace, overrides: Sequence[tuple]) -> None:
  """Checks every run, trains them in order, and compares them.

  Raises:
    InputError: when any run cannot be trained, before any is; or, after all,
      when a metric of --plot is not among the results.
    EvaluationError: when evaluators of a run failed, after all.
  """
  grid = read_grid(args.over)
  plots = [_read_plot(text) for text in args.plot]
  # Imported late: --help and a bad argument need no JAX.
  from gen_jax.runtime import settings

  settings.configure()
  import jax

  from gen_jax.storage import sweep_report, workdir
  from gen_jax.training.loop import train
  from gen_jax.training.signals import Stopper

  folder = workdir.folder(args.workdir)
  runs = [
    _Run(args.config, overrides, values, folder, args.extend) for values in grid
  ]
  for name in (name for pair in plots for name in pair):
    for run in runs:
      run.check_metric(name)
  results, failed, started = [], [], time.monotonic()
  with Stopper() as stopper:
    for index, run in enumerate(runs):
      line = f'run {index + 1}/{len(runs)}  {run.label}'
      if index:
        each = (time.monotonic() - started) / index
        line += f'  ETA {each * (len(runs) - index):.0f} s'
      print(line, flush=True)
      try:
        state, latest = train(run.config, run.path, stopper, extend=args.extend)
      except EvaluationError as error:
        state, latest = error.result
        print(error, flush=True)
        failed.append(run.label)
      if stopper.requested:
        print(f'stopped in run {index + 1}; the same command goes on')
        return
      results.append(
        sweep_report.Result(run.values, int(state.step), run.results(latest))
      )
      # Each run compiles programs of its own, which would stay for ever.
      jax.clear_caches()
  print(sweep_report.table(results))
  report = {
    'config': args.config,
    'overrides': dict(overrides),
    'runs': [result._asdict() for result in results],
    'summary': sweep_report.summary(results),
  }
  (folder / 'sweep.json').write_text(json.dumps(report, indent=2) + '\n')
  print(folder / 'sweep.json')
  for x, y in plots:
    print(sweep_report.draw(results, x, y, folder))
  if failed:
    raise EvaluationError(f'evaluators failed in: {", ".join(failed)}.')


class _Run:
  """One run of a sweep, which finds all that is wrong with it when made."""

  def __init__(
    self,
    config: str,
    overrides: Sequence[tuple],
    values: Mapping[str, str],
    folder: pathlib.Path,
    extend: bool,
  ):
    from gen_jax import config as config_lib
    from gen_jax.training import resume
    from gen_jax.training.stage_run import prepare

    self.values, self.config = values, config_lib.load(config)
    config_lib.apply(self.config, [*overrides, *values.items()])
    self.label = '  '.join(f'{k}={v}' for k, v in values.items())
    names = (f'{field}={text}' for field, text in values.items())
    self.path = folder.joinpath(*(re.sub(r'[/\s]', '_', n) for n in names))
    self.config, stages = prepare(self.config)
    data = [stage.experiment.data_record for stage in stages]
    resume.check(self.path, self.config, data, extend)
    suite = stages[-1].suite
    self._evaluators = suite.names()
    self._protocol = {
      f'{name}/{field}'
      for name in suite.names()
      for field in [*suite.protocol(name), 'seed']
    }

  def check_metric(self, name: str) -> None:
    """Raises InputError when no evaluator can give a metric."""
    if name.split('/')[0] not in self._evaluators:
      raise InputError(
        f'--plot: no evaluator gives {name!r}.'
        + nearest(name.split('/')[0], self._evaluators)
      )

  def results(self, latest: Mapping[str, object]) -> dict[str, float]:
    """Returns what the evaluators measured, without their protocol."""
    return {
      name: value
      for name, value in latest.items()
      if isinstance(value, int | float)
      and name.split('/')[0] in self._evaluators
      and name not in self._protocol
    }


def read_grid(texts: Sequence[str]) -> list[dict[str, str]]:
  """Reads the arguments of --over and returns the values of every run.

  Raises:
    InputError: no values, or a field or a value that is given twice.
  """
  fields = {}
  for text in texts:
    field, equals, listed = text.partition('=')
    values = [v.strip() for v in split(listed)]
    if not field or not equals or not all(values):
      raise InputError(f'--over={text}: expected FIELD=VALUE,VALUE,...')
    if field in fields:
      raise InputError(f'--over={text}: {field} is given twice.')
    for value in values:
      if values.count(value) > 1:
        raise InputError(f'--over={text}: {value} is given twice.')
    fields[field] = values
  pairs = itertools.product(*fields.values())
  return [dict(zip(fields, values, strict=True)) for values in pairs]


def split(text: str) -> list[str]:
  """Splits at the commas outside of brackets: '1,(2,3)' -> '1', '(2,3)'."""
  parts, depth = [''], 0
  for letter in text:
    depth += (letter in '([{') - (letter in ')]}')
    if letter == ',' and depth == 0:
      parts.append('')
    else:
      parts[-1] += letter
  return parts


def _read_plot(text):
  x, colon, y = text.partition(':')
  if not x or not colon or not y or ':' in y:
    raise InputError(f'--plot={text}: expected two metrics, as elbo/kl:elbo.')
  return x, y
