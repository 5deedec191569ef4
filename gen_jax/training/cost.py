"""The operations and the memory of a training step, without running it."""

import dataclasses
from typing import Any, NamedTuple

import jax

from gen_jax.core import Update
from gen_jax.models.layers import conv_native
from gen_jax.runtime.compiled import peak_bytes
from gen_jax.training.experiment import Experiment


class Cost(NamedTuple):
  """The cost of a training step.

  Attributes:
    parameters: how many.
    flops: floating-point operations.
    state: bytes of the state and of the batch.
    peak: the largest number of bytes at a time, these included.
  """

  parameters: int
  flops: float
  state: int
  peak: int


def step_cost(experiment: Experiment) -> tuple[Cost, jax.stages.Compiled]:
  """Returns what a step costs, and the step, `(state, batch)`, compiled."""
  state = experiment.abstract_state()
  step = jax.jit(experiment.train_step(), donate_argnums=0)
  with conv_native.off():  # whose operations no compiler counts
    lowered = step.lower(state, experiment.abstract_batch())
  compiled: Any = lowered.compile()
  params = [v['params'] for v in state.players.values()]
  cost = Cost(
    parameters=sum(x.size for x in jax.tree.leaves(params)),
    flops=compiled.cost_analysis()['flops'],
    state=compiled.memory_analysis().argument_size_in_bytes,
    peak=peak_bytes(compiled) or 0,
  )
  return cost, compiled


def mean_flops(experiment: Experiment) -> float:
  """Returns the operations of a step, on average over those of a stage.

  An update that does not run in each step counts in part. Nothing is compiled:
  it is what the program asks for, before the compiler simplifies it.
  """
  state, batch = experiment.abstract_state(), experiment.abstract_batch()
  total = 0.0
  for update in experiment.objective.updates():
    step = experiment.train_step(_OneUpdate(update))
    with conv_native.off():
      lowered: Any = jax.jit(step).lower(state, batch)
    total += lowered.cost_analysis()['flops'] / update.every
  return total


class _OneUpdate(NamedTuple):
  """An objective of one update, which runs in each step."""

  update: Update

  def updates(self) -> tuple[Update, ...]:
    return (dataclasses.replace(self.update, every=1),)
