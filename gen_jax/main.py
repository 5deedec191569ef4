"""Trains a model: `python -m gen_jax.main --config=configs/vae.py`."""

from gen_jax.runtime import startup

if __name__ == '__main__':
  startup.begin()

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

from gen_jax.commands import cli
from gen_jax.registry.fields import Count, Size
from gen_jax.runtime import reporting
from gen_jax.storage import loggers

_MANY = 'found by itself on a TPU pod, GKE, Slurm and Open MPI'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.Configured):
  """The arguments; the last three are those of many processes."""

  workdir: Annotated[
    str | None, 'folder of the run (default: runs/CONFIG[-VARIANT])'
  ] = None
  init: Annotated[
    str,
    'trained model to start from: a workdir, a file, or zoo:NAME; the same as '
    '--config.init.path',
  ] = ''
  init_weights: Annotated[
    Literal['averaged', 'raw'] | None,
    'which of its weights (default: averaged); the same as '
    '--config.init.weights',
  ] = None
  freeze: Annotated[
    str,
    'players and modules that do not learn, separated by commas, such as '
    'disc/Conv_0; the same as --config.freeze',
  ] = ''
  profile: Annotated[
    bool, 'write a trace of a few dispatches to profile/ in the workdir'
  ] = False
  extend: Annotated[
    bool,
    'allow another number of steps although learning rates depend on it',
  ] = False
  log: Annotated[str, loggers.HELP] = ','.join(loggers.DEFAULT)
  coordinator: Annotated[str | None, f'HOST:PORT of process 0; {_MANY}'] = None
  num_processes: Annotated[Size | None, f'number of processes; {_MANY}'] = None
  process_id: Annotated[
    Count | None, f'number of this process, from 0; {_MANY}'
  ] = None


def main(argv: Sequence[str] | None = None) -> int:
  """Trains, and returns the exit code.

  0 when it is done or was stopped by a signal, 1 for an unexpected error, 2 for
  bad input, 3 for a non-finite loss, 4 when another of many processes ended,
  and 5 when an evaluator failed, which does not end the training.
  """
  return cli.main(
    _train,
    Arguments,
    __doc__,
    argv,
    prog='gen_jax.main',
    epilog='Any field of the config may be set: --config.steps=2000.\n'
    'A workdir that has a checkpoint is resumed.',
  )


def _train(args: Arguments) -> None:
  log = loggers.parse(args.log)
  # Imported late: --help and a bad argument need no JAX.
  from gen_jax import config as config_lib

  config = config_lib.load(args.config)
  given = {
    'init.path': args.init,
    'init.weights': args.init_weights,
    'freeze': args.freeze,
  }
  flags = [(field, text) for field, text in given.items() if text]
  config_lib.apply(config, [*flags, *args.overrides])
  path, _, variant = args.config.partition(':')
  name = '-'.join(filter(None, [pathlib.Path(path).stem, variant]))

  from gen_jax.distributed import watchdog
  from gen_jax.runtime import settings

  settings.configure()
  from gen_jax.storage import workdir
  from gen_jax.training.loop import train

  default = f'runs/{name}'
  path = workdir.folder(default if args.workdir is None else args.workdir)
  with watchdog.joined(args.coordinator, args.num_processes, args.process_id):
    train(config, path, profile=args.profile, extend=args.extend, log=log)


if __name__ == '__main__':
  reporting.exit(main())
