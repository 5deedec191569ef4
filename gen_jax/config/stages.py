"""Stages: a list of config overrides, each for a number of steps.

Progressive growing, greedy layers and StackGAN's two networks are all stages.
The stage is a function of the step, so a resume lands in the right one.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

from gen_jax.config.schema import find
from gen_jax.errors import InputError


class Stage(NamedTuple):
  """One part of a run.

  Attributes:
    index: its place in the list.
    start: its first step.
    end: the step after its last.
    start_images: images that were shown before it.
    config: the config with the stage's overrides.
  """

  index: int
  start: int
  end: int
  start_images: int
  config: ConfigDict


def plan(config: ConfigDict) -> tuple[Stage, ...]:
  """Returns the stages of a config; without any, one of all steps."""
  stages, start, images = [], 0, 0
  for index, fields in enumerate(config.stages or ({},)):
    current = config.copy_and_resolve_references()
    for name, value in dict(fields).items():
      parent, last = find(current, name, f'config.stages[{index}]')
      with parent.ignore_type():  # which is checked with all others
        parent[last] = value
    end = start + current.steps
    stages.append(Stage(index, start, end, images, current))
    images += current.steps * current.batch_size
    start = end
  return tuple(stages)


def at(stages: tuple[Stage, ...], step: int) -> Stage:
  """Returns the stage whose state a checkpoint of this step holds.

  At a boundary that is the stage which ends there: the next is entered from
  its last state.
  """
  for stage in stages:
    if step <= stage.end:
      return stage
  raise InputError(
    f'step {step} lies beyond the last of the config, {stages[-1].end}.'
  )
