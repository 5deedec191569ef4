"""Runs the evaluators of a trained workdir.

python -m gen_jax.evaluate --workdir=runs/vae
"""

import argparse
import pathlib
from collections.abc import Sequence

from gen_jax import cli, runtime, workdir
from gen_jax import config as config_lib
from gen_jax.core import averaged
from gen_jax.errors import InputError, nearest
from gen_jax.evals.suite import Suite
from gen_jax.writer import Writer


def main(argv: Sequence[str] | None = None) -> int:
  """Evaluates the newest or a chosen checkpoint."""
  parser = argparse.ArgumentParser('gen_jax.evaluate', description=__doc__)
  parser.add_argument('--workdir', required=True, help='of a trained run')
  parser.add_argument(
    '--step', type=cli.checkpoint, help="of a checkpoint, or 'best'; the newest"
  )
  parser.add_argument(
    '--only', default='', help='names of evaluators, with commas; all'
  )
  args, rest = parser.parse_known_args(argv)
  return cli.run(lambda: evaluate(args, cli.overrides(rest)))


def evaluate(args: argparse.Namespace, overrides: Sequence[tuple]) -> None:
  """Runs the suite; `overrides` give its evaluators other fields."""
  runtime.configure()
  state, experiment = workdir.open_trained(args.workdir, args.step)
  for field, text in overrides:
    if not field.startswith('evals.'):
      raise InputError(f'--config.{field}: only --config.evals.* may change.')
    config_lib.override(experiment.config, field, text)
  suite = Suite(experiment)
  names = args.only.split(',') if args.only else suite.names()
  for name in names:
    if name not in suite.names():
      raise InputError(
        f'--only={name}: no such evaluator.{nearest(name, suite.names())}'
      )
  folder = pathlib.Path(args.workdir)
  step = int(state.step)
  writer = Writer(folder / 'evaluate', resume_step=None)
  for name in names:
    for key, value in suite.run(name, averaged(state), step, writer).items():
      print(f'{key} = {value}', flush=True)
  writer.close()


if __name__ == '__main__':
  raise SystemExit(main())
