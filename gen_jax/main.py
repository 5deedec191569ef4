"""Trains a model: `python -m gen_jax.main --config=configs/vae.py`."""

from gen_jax.runtime import startup

if __name__ == '__main__':
  startup.begin()

import pathlib
from collections.abc import Sequence

from gen_jax.commands import cli


def main(argv: Sequence[str] | None = None) -> int:
  """Trains, and returns the exit code.

  0 when it is done or was stopped by a signal, 1 for an unexpected error, 2 for
  bad input, 3 for a non-finite loss, 4 when another of many processes ended,
  and 5 when an evaluator failed, which does not end the training.
  """
  parser = cli.Parser(
    'gen_jax.main',
    description=__doc__,
    epilog='Any field of the config may be set: --config.steps=2000.\n'
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
  parser.add_argument(
    '--extend',
    action='store_true',
    help='go on to another number of steps although learning rates, which '
    'depend on it, jump',
  )
  many = parser.add_argument_group(
    'many processes',
    'Found by themselves on a TPU pod, GKE, Slurm and Open MPI.',
  )
  many.add_argument('--coordinator', help='host:port of process 0')
  many.add_argument('--num_processes', type=cli.number(int, 1))
  many.add_argument(
    '--process_id', type=cli.number(int, 0), help='of this one, from 0'
  )
  return cli.run(lambda: _train(*parser.read(argv)))


def _train(args, overrides):
  # Imported late: --help and a bad argument need no JAX.
  from gen_jax import config as config_lib

  config = config_lib.load(args.config)
  config_lib.apply(config, overrides)
  path, _, variant = args.config.partition(':')
  name = '-'.join(filter(None, [pathlib.Path(path).stem, variant]))

  from gen_jax.distributed import watchdog
  from gen_jax.runtime import settings

  settings.configure()
  from gen_jax.storage import workdir
  from gen_jax.training.loop import train

  given = args.workdir is not None
  path = workdir.folder(args.workdir if given else f'runs/{name}')
  with watchdog.joined(args.coordinator, args.num_processes, args.process_id):
    train(config, path, profile=args.profile, extend=args.extend)


if __name__ == '__main__':
  cli.exit(main())
