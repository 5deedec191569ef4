"""Trains a model: `python -m gen_jax.main --config=configs/vae.py`."""

import argparse
import pathlib
from collections.abc import Sequence

from gen_jax import cli


def main(argv: Sequence[str] | None = None) -> int:
  """Trains, and returns the exit code.

  0 when it is done or was stopped by a signal, 2 for bad input, 3 for a
  non-finite loss, 4 when another of many processes ended, and 5 when an
  evaluator failed, which does not end the training.
  """
  parser = argparse.ArgumentParser(
    'gen_jax.main',
    description=__doc__,
    epilog='Any field of the config may be set: --config.steps=2000. '
    'A workdir that has a checkpoint is resumed.',
  )
  parser.add_argument(
    '--config', required=True, help='a file, and a variant of it: file.py:name'
  )
  parser.add_argument(
    '--workdir', help='runs/<config>[-<variant>] if not given'
  )
  parser.add_argument(
    '--profile',
    action='store_true',
    help='write a trace of a few dispatches to profile/ in the workdir',
  )
  many = parser.add_argument_group(
    'many processes',
    'Found by themselves on a TPU pod, GKE, Slurm and Open MPI.',
  )
  many.add_argument('--coordinator', help='host:port of process 0')
  many.add_argument('--num_processes', type=int)
  many.add_argument('--process_id', type=int, help='of this one, from 0')
  args, rest = parser.parse_known_args(argv)
  return cli.run(lambda: _train(args, rest))


def _train(args, rest):
  # Imported late: --help and a bad argument need no JAX.
  from gen_jax import config as config_lib

  config = config_lib.load(args.config)
  config_lib.apply(config, cli.overrides(rest))
  path, _, variant = args.config.partition(':')
  name = '-'.join(filter(None, [pathlib.Path(path).stem, variant]))

  from gen_jax import runtime, together

  runtime.configure()
  from gen_jax.train import train

  with together.joined(args.coordinator, args.num_processes, args.process_id):
    path = args.workdir or f'runs/{name}'
    train(config, path, profile=args.profile)


if __name__ == '__main__':
  cli.leave(main())
