"""Optimizers and learning-rate schedules from a config."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import optax

from gen_jax.errors import check_choice
from gen_jax.registry.fields import (
  Count,
  Decay,
  Field,
  Positive,
  Weight,
  check_all,
  check_group,
  declared,
  one_of,
)


def _constant_then_linear(rate: float, steps: int) -> optax.Schedule:
  """Constant for one half, then linearly to 0, as CycleGAN has it."""
  half = steps // 2
  return optax.linear_schedule(rate, 0.0, steps - half, half)


# Functions of the peak rate and the number of updates. All but the first depend
# on that number, so that a longer run has other rates from its first update on.
_SCHEDULES = {
  'constant': lambda rate, steps: optax.constant_schedule(rate),
  'cosine': optax.cosine_decay_schedule,
  'linear': lambda rate, steps: optax.linear_schedule(rate, 0.0, steps),
  'constant_then_linear': _constant_then_linear,
}


def _adam(
  rate: optax.Schedule,
  b1: Decay = 0.9,
  b2: Decay = 0.999,
  eps: Positive = 1e-8,
) -> optax.GradientTransformation:
  return optax.adam(rate, b1, b2, eps)


def _adamw(
  rate: optax.Schedule,
  b1: Decay = 0.9,
  b2: Decay = 0.999,
  eps: Positive = 1e-8,
  weight_decay: Weight = 1e-4,
) -> optax.GradientTransformation:
  return optax.adamw(rate, b1, b2, eps, weight_decay=weight_decay)


def _rmsprop(
  rate: optax.Schedule,
  decay: Decay = 0.9,
  eps: Positive = 1e-8,
  momentum: Decay | None = None,
) -> optax.GradientTransformation:
  # By default optax adds eps inside the root, where 1e-8 is a floor of 1e-4 for
  # the divisor: gradients below it would hardly move a parameter.
  return optax.rmsprop(rate, decay, eps, eps_in_sqrt=False, momentum=momentum)


def _sgd(
  rate: optax.Schedule, momentum: Decay | None = None
) -> optax.GradientTransformation:
  return optax.sgd(rate, momentum)


_OPTIMIZERS = {
  'adam': _adam,
  'adamw': _adamw,
  'rmsprop': _rmsprop,
  'sgd': _sgd,
}


@dataclasses.dataclass(frozen=True)
class Common:
  """The fields of every optimizer; each has others of its own.

  Attributes:
    name: which one.
    learning_rate: the largest one.
    schedule: how it changes over the updates.
    warmup: updates in which it grows from 0.
    clip_norm: largest norm of the global gradient; 0 for none.
    lazy_rescale: correct the learning rate and the decays for the additional
      updates of lazy regularization.
  """

  name: Annotated[str, one_of(_OPTIMIZERS)] = 'adam'
  learning_rate: Weight = 1e-3
  schedule: Annotated[str, one_of(_SCHEDULES)] = 'constant'
  warmup: Count = 0
  clip_norm: Weight = 0.0
  lazy_rescale: bool = False


def declared_fields(name: str, field: str) -> dict[str, Field]:
  """Returns the fields that an optimizer takes, by name.

  Args:
    name: of the optimizer; '' for the default.
    field: where it stands in a config, for messages.
  """
  name = name or Common.name
  check_choice(field, name, _OPTIMIZERS)
  own = declared(_OPTIMIZERS[name])
  return {**declared(Common), **{k: v for k, v in own.items() if k != 'rate'}}


def check(spec: Mapping[str, Any], field: str) -> None:
  """Raises InputError on fields that an optimizer does not take.

  Args:
    spec: as for `make`.
    field: where it stands in a config, for messages.
  """
  check_group(spec, field)
  name = spec.get('name', Common.name)
  check_all(declared_fields(name, f'{field}.name'), spec, field, name)


def schedule(
  name: str, rate: float, steps: int, warmup: int = 0
) -> optax.Schedule:
  """Returns the learning rate as a function of the update's count.

  Args:
    name: 'constant', 'cosine', 'linear' or 'constant_then_linear'.
    rate: the peak learning rate.
    steps: updates until the end.
    warmup: updates of linear warm-up before the schedule's own start.
  """
  main = _SCHEDULES[name](rate, max(steps - warmup, 1))
  if not warmup:
    return main
  return optax.join_schedules(
    [optax.linear_schedule(rate / warmup, rate, max(warmup - 1, 1)), main],
    [warmup],
  )


def ending_schedule(spec: Mapping[str, Any]) -> str:
  """Returns the name of a player's schedule if it depends on the end, or ''.

  Args:
    spec: the fields of its optimizer.
  """
  name = spec.get('schedule', Common.schedule)
  return '' if name == 'constant' else name


def learning_rate(
  spec: Mapping[str, Any], steps: int, main: float = 1.0
) -> optax.Schedule:
  """Returns a player's learning rate as a function of the update's count.

  Args:
    spec: as for `make`.
    steps: as for `make`.
    main: as for `make`.
  """
  common = _common(spec)
  peak = common.learning_rate * (main if common.lazy_rescale else 1)
  return schedule(common.schedule, peak, steps, common.warmup)


def _common(spec):
  return Common(**{k: v for k, v in spec.items() if hasattr(Common, k)})


def make(
  spec: Mapping[str, Any],
  steps: int,
  main: float = 1.0,
  field: str = 'config.optim',
) -> optax.GradientTransformation:
  """Returns one player's optimizer.

  Args:
    spec: the fields of `Common`, and those of the optimizer: `b1`, `b2`, `eps`,
      `weight_decay`, `momentum`, `decay`, ... RMSProp adds `eps` outside the
      root, as PyTorch does.
    steps: updates of this player until the end of its stage.
    main: the fraction of them that descend the main loss: k / (k + 1) with a
      regularization in every k-th step.
    field: where the fields stand in a config, for messages.

  Raises:
    InputError: on an unknown name or field, or a value out of its range.
  """
  check(spec, field)
  common = _common(spec)
  own = {k: v for k, v in spec.items() if not hasattr(Common, k)}
  optimizer = _OPTIMIZERS[common.name]
  if common.lazy_rescale:
    own = _longer_memory(optimizer, own, main)
  transformation = optimizer(learning_rate(spec, steps, main), **own)
  if not common.clip_norm:
    return transformation
  return optax.chain(
    optax.clip_by_global_norm(common.clip_norm), transformation
  )


def _longer_memory(optimizer, own, main):
  """Raises the decays of an optimizer's averages to the power `main`.

  With the rate times `main`, the optimizer moves as far, and its averages
  forget as much, in a step of training as they would with the regularization in
  the main loss (Karras et al. 2020, appendix B).
  """
  decays = {
    name: own.get(name, expected.default) ** main
    for name, expected in declared(optimizer).items()
    if name in ('b1', 'b2', 'decay')
  }
  return {**own, **decays}
