r"""Trains a config once for each value of a field, and compares the results.

python -m gen_jax sweep --config=configs/vae.py:dense \
  --over=objective.beta=0.5,1,2,4,8 --workdir=runs/beta \
  --plot=elbo/kl:elbo/reconstruction

Each run has a folder below the workdir, named by its value; a run that is
finished is not trained again, and the same command goes on where it stopped.
The results are printed and written to `sweep.json`.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated

from gen_jax.commands import cli
from gen_jax.errors import EvaluationError, InputError, NonFiniteError
from gen_jax.runtime import settings
from gen_jax.storage import loggers, sweep_report, workdir
from gen_jax.training.sweep import Run, read_grid, train_all


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.Configured):
  """The arguments; `overrides` are fields of all runs."""

  over: Annotated[
    tuple[str, ...],
    'FIELD=A,B,...: a field of the config and its values; if it is given '
    'again, all combinations are trained',
  ]
  workdir: Annotated[str, 'folder of all runs']
  plot: Annotated[
    tuple[str, ...],
    'X:Y: plots metric Y against metric X; may be given again',
  ] = ()
  extend: Annotated[
    bool, 'allow another number of steps although learning rates depend on it'
  ] = False
  log: Annotated[str, loggers.HELP] = ','.join(loggers.DEFAULT)


def main(argv: Sequence[str] | None = None) -> int:
  """Trains all runs; the exit codes are those of `gen_jax.main`."""
  epilog = 'Any field of the config may be set: --config.steps=2000.'
  return cli.main(sweep, Arguments, __doc__, argv, epilog=epilog)


def sweep(args: Arguments) -> None:
  """Checks every run, trains them in order, and compares them.

  Raises:
    InputError: when any run cannot be trained, before any is; or, after all,
      when a metric of --plot is not among the results.
    NonFiniteError: when the training of a run failed, after all.
    EvaluationError: when evaluators of a run failed, after all.
  """
  grid = read_grid(args.over)
  plots = [_read_plot(text) for text in args.plot]
  log = loggers.parse(args.log)
  settings.configure()
  folder = workdir.folder(args.workdir)
  runs = [
    Run(args.config, args.overrides, values, folder, args.extend, log)
    for values in grid
  ]
  for name in (name for pair in plots for name in pair):
    for run in runs:
      run.check_metric(name)
  found = train_all(runs)
  if found is None:
    return
  results, failed = found
  print(sweep_report.table(results))
  report = {
    'config': args.config,
    'overrides': dict(args.overrides),
    'runs': [result._asdict() for result in results],
    'summary': sweep_report.summary(results),
  }
  (folder / 'sweep.json').write_text(json.dumps(report, indent=2) + '\n')
  print(folder / 'sweep.json')
  for x, y in plots:
    print(sweep_report.draw(results, x, y, folder))
  lost = [k for k, e in failed.items() if isinstance(e, NonFiniteError)]
  if lost:
    raise NonFiniteError(f'not finite: {", ".join(lost)}. The others ended.')
  if failed:
    raise EvaluationError(f'evaluators failed in: {", ".join(failed)}.')


def _read_plot(text: str) -> tuple[str, str]:
  x, colon, y = text.partition(':')
  if not x or not colon or not y or ':' in y:
    raise InputError(f'--plot={text}: expected two metrics, as elbo/kl:elbo.')
  return x, y
