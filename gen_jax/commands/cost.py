"""What a training step costs, by the compiled program, without running it.

python -m gen_jax cost --config=configs/stylegan.py:emoji64

Operations are those of a step in which every update runs; memory is that of
the state and the batch, and the most that is held at a time, without the data
set. Both are the compiler's own numbers, for one device of the kind at hand.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax

from gen_jax.commands import cli
from gen_jax.core import Update
from gen_jax.models.layers import conv_native
from gen_jax.runtime.compiled import peak_bytes


class Cost(NamedTuple):
  """Of a training step.

  Attributes:
    parameters: how many.
    flops: floating-point operations.
    state: bytes of the state and of the batch.
    peak: bytes held at a time, these among them.
  """

  parameters: int
  flops: float
  state: int
  peak: int


def main(argv: Sequence[str] | None = None) -> int:
  """Prints the cost of a step of a config's stage."""
  parser = cli.Parser('gen_jax cost', description=__doc__)
  parser.add_argument(
    '--config', required=True, help='a file, and a variant of it: file.py:name'
  )
  parser.add_argument(
    '--stage', type=cli.number(int, 1), help='from 1 on; the last'
  )
  return cli.run(lambda: _print(*parser.read(argv)))


def _print(args, overrides):
  from gen_jax import config as config_lib
  from gen_jax.config import stages, validation
  from gen_jax.errors import InputError
  from gen_jax.runtime import settings
  from gen_jax.training.experiment import Experiment

  config = config_lib.load(args.config)
  config_lib.apply(config, overrides)
  config = config_lib.complete(config)
  validation.check(config)
  plan = stages.plan(config)
  number = len(plan) if args.stage is None else args.stage
  if not 1 <= number <= len(plan):
    raise InputError(f'--stage={number}: expected 1 to {len(plan)}.')
  settings.configure()
  stage = plan[number - 1]
  cost, _ = of_step(Experiment(stage))
  print(
    f'{args.config}, stage {number} of {len(plan)}, batch '
    f'{stage.config.batch_size}, on one {jax.default_backend()} device: '
    f'{cost.parameters:,} parameters, {cost.flops / 1e9:,.2f} GFLOP a step, '
    f'state {cost.state / 2**20:,.1f} MiB, at most {cost.peak / 2**20:,.1f} MiB'
  )


def of_step(experiment) -> tuple[Cost, jax.stages.Compiled]:
  """Returns what a step costs, and the step, `(state, batch)`, compiled."""
  state = experiment.abstract_state()
  step = jax.jit(experiment.train_step(), donate_argnums=0)
  with conv_native.off():  # whose operations no compiler counts
    lowered = step.lower(state, experiment.abstract_batch())
  compiled = lowered.compile()
  params = [v['params'] for v in state.players.values()]
  cost = Cost(
    parameters=sum(x.size for x in jax.tree.leaves(params)),
    flops=compiled.cost_analysis()['flops'],
    state=compiled.memory_analysis().argument_size_in_bytes,
    peak=peak_bytes(compiled),
  )
  return cost, compiled


def mean_flops(experiment) -> float:
  """Returns the operations of a step, on average over those of a stage.

  An update that does not run in each step counts in part. Nothing is compiled:
  it is what the program asks for, before the compiler simplifies it.
  """
  state, batch = experiment.abstract_state(), experiment.abstract_batch()
  total = 0.0
  for update in experiment.objective.updates():
    step = experiment.train_step(_Alone(update))
    with conv_native.off():
      lowered = jax.jit(step).lower(state, batch)
    total += lowered.cost_analysis()['flops'] / update.every
  return total


class _Alone(NamedTuple):
  """A game of one update, in each step."""

  update: Update

  def updates(self):
    return (dataclasses.replace(self.update, every=1),)
