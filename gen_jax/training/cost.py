"""The operations and the memory of a training step, without running it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gen_jax.core import Update
from gen_jax.distributed import mesh
from gen_jax.models.layers import conv_native
from gen_jax.runtime import hlo
from gen_jax.runtime.compiled import peak_bytes
from gen_jax.training.experiment import Experiment
from gen_jax.training.step import make_train_chunk


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


class DeviceCost(NamedTuple):
  """The cost of a training step on each of several devices.

  Attributes:
    batch: examples of a device.
    flops: floating-point operations.
    accessed: bytes that operations read and write, also on the chip.
    traffic: bytes that go between a chip and its memory.
    peak: the largest number of bytes at a time, with the state and the batch.
    collectives: by kind.
    optimal: seconds, by the compiler's own model; of the operations that it
      has an estimate for.
    unknown: operations that it has no estimate for.
  """

  batch: int
  flops: float
  accessed: float
  traffic: int
  peak: int
  collectives: Mapping[str, hlo.Collectives]
  optimal: float
  unknown: int


def compile_step(
  experiment: Experiment, devices: Sequence[jax.Device]
) -> jax.stages.Compiled:
  """Compiles the step as the loop dispatches it, for chosen devices.

  Args:
    experiment: whose `config.parallel` lays out the step. Its batches are raw,
      as those of data that are not resident.
    devices: which may be described only.

  Raises:
    InputError: when the devices do not divide the batch, or a loss cannot be
      computed for their parts.
  """
  config = experiment.config
  part = config.batch_size // config.accumulate
  layout = mesh.make(config.parallel, part, devices)
  experiment.check_batch(part, layout.loss_batch_size(part))
  state, inputs = layout.shapes(
    experiment.abstract_state(), experiment.abstract_batch(1)
  )
  program = layout.compile(make_train_chunk(experiment.train_step(), 1))
  with conv_native.off():  # which would be built for the CPU of this host
    return program.compile(state, None, inputs, np.int32(1))


def device_cost(compiled: jax.stages.Compiled, batch: int) -> DeviceCost:
  """Returns the cost of a compiled step on each device.

  Args:
    compiled: as `compile_step` returns it.
    batch: examples of a device.
  """
  found: Any = compiled.cost_analysis()
  # The time of an operation without an estimate is -1 in this sum.
  unknown = max(math.ceil(-found['optimal_seconds']), 0)
  text = compiled.as_text() or ''
  return DeviceCost(
    batch=batch,
    flops=found['flops'],
    accessed=found['bytes accessed'],
    traffic=hlo.memory_traffic(text),
    peak=peak_bytes(compiled) or 0,
    collectives=hlo.collectives(text),
    optimal=found['optimal_seconds'] + unknown,
    unknown=unknown,
  )


def with_batch(experiment: Experiment, batch_size: int) -> Experiment:
  """Returns an experiment with another batch."""
  config = experiment.config.copy_and_resolve_references()
  config.batch_size = batch_size
  stage = experiment.stage._replace(config=config)
  return dataclasses.replace(experiment, stage=stage)


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
