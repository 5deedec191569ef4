"""States the operations and the memory of a training step without running it.

python -m gen_jax cost --config=configs/stylegan.py:emoji64

Operations are those of a step in which every update runs; memory is that of
the state and the batch, and the largest amount at a time, without the data
set. Both are the compiler's own numbers, for one device of the kind at hand.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import jax

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.config import stages, validation
from gen_jax.errors import InputError
from gen_jax.registry.fields import Size
from gen_jax.runtime import settings
from gen_jax.training.cost import step_cost
from gen_jax.training.experiment import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.Configured):
  """The arguments."""

  stage: Annotated[
    Size | None, 'stage of the config, from 1 (default: the last)'
  ] = None


def main(argv: Sequence[str] | None = None) -> int:
  """Prints the cost of a step of a config's stage."""
  return cli.main(cost, Arguments, __doc__, argv)


def cost(args: Arguments) -> None:
  """Prints the cost of a step.

  Raises:
    InputError: when the config cannot be used, or has no such stage.
  """
  config = config_lib.load(args.config)
  config_lib.apply(config, args.overrides)
  config = config_lib.complete(config)
  validation.check(config)
  plan = stages.plan(config)
  number = len(plan) if args.stage is None else args.stage
  if number > len(plan):
    raise InputError(f'--stage={number}: expected 1 to {len(plan)}.')
  settings.configure()
  stage = plan[number - 1]
  found, _ = step_cost(Experiment(stage))
  print(
    f'{args.config}, stage {number} of {len(plan)}, batch '
    f'{stage.config.batch_size}, on one {jax.default_backend()} device: '
    f'{found.parameters:,} parameters, {found.flops / 1e9:,.2f} GFLOP a step, '
    f'state {found.state / 2**20:,.1f} MiB, at most '
    f'{found.peak / 2**20:,.1f} MiB'
  )
