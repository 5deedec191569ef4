"""Optimizers and learning-rate schedules from a config."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import optax

from gen_jax.errors import InputError, nearest


def _constant(rate, steps):
  del steps
  return optax.constant_schedule(rate)


def _cosine(rate, steps):
  return optax.cosine_decay_schedule(rate, steps)


def _linear(rate, steps):
  return optax.linear_schedule(rate, 0.0, steps)


def _constant_then_linear(rate, steps):
  """Constant for one half, then linearly to 0, as CycleGAN has it."""
  half = steps // 2
  return optax.linear_schedule(rate, 0.0, steps - half, half)


_SCHEDULES = {
  'constant': _constant,
  'cosine': _cosine,
  'linear': _linear,
  'constant_then_linear': _constant_then_linear,
}

_OPTIMIZERS = {
  'adam': optax.adam,
  'adamw': optax.adamw,
  # By default optax adds eps inside the root, where 1e-8 is a floor of 1e-4 for
  # the divisor: gradients below it would hardly move a parameter.
  'rmsprop': functools.partial(optax.rmsprop, eps_in_sqrt=False),
  'sgd': optax.sgd,
}

_RATE = 1e-3  # where a spec has no learning rate


def schedule(name: str, rate: float, steps: int, warmup: int = 0):
  """Returns the learning rate as a function of the update's count.

  Args:
    name: 'constant', 'cosine', 'linear' or 'constant_then_linear'.
    rate: the peak learning rate.
    steps: updates until the end.
    warmup: updates of linear warm-up before the schedule's own start.
  """
  if name not in _SCHEDULES:
    raise InputError(
      f'optim schedule {name!r} is unknown.{nearest(name, _SCHEDULES)}'
    )
  main = _SCHEDULES[name](rate, max(steps - warmup, 1))
  if not warmup:
    return main
  return optax.join_schedules(
    [optax.linear_schedule(rate / warmup, rate, max(warmup - 1, 1)), main],
    [warmup],
  )


def make(
  spec: Mapping[str, Any], steps: int, main: float = 1.0
) -> optax.GradientTransformation:
  """Returns one player's optimizer.

  Args:
    spec: `name` ('adam', 'adamw', 'rmsprop' or 'sgd'), `learning_rate`,
      `schedule`, `warmup` (updates), `clip_norm` (of the global gradient, 0
      for none), `lazy_rescale` (correct the learning rate and the decays for
      the additional updates of lazy regularization; false); anything else goes
      to the optimizer of optax (`b1`, `b2`, `eps`, `weight_decay`, `momentum`,
      `decay`, ...). RMSProp adds `eps` outside the root, as PyTorch does.
    steps: updates of this player until the end of its stage.
    main: the fraction of them that descend the main loss: k / (k + 1) with a
      regularization in every k-th step.

  Raises:
    InputError: on an unknown name or field.
  """
  spec = dict(spec)
  name = spec.pop('name', 'adam')
  if name not in _OPTIMIZERS:
    raise InputError(
      f'optim name {name!r} is unknown.{nearest(name, _OPTIMIZERS)}'
    )
  clip_norm = spec.pop('clip_norm', 0.0)
  if spec.pop('lazy_rescale', False):
    spec = _lazy_rescaled(_OPTIMIZERS[name], spec, main)
  rate = schedule(
    spec.pop('schedule', 'constant'),
    spec.pop('learning_rate', _RATE),
    steps,
    spec.pop('warmup', 0),
  )
  try:
    optimizer = _OPTIMIZERS[name](rate, **spec)
  except TypeError as error:
    raise InputError(f'optim.{name}: {error}') from error
  if not clip_norm:
    return optimizer
  return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)


def _lazy_rescaled(optimizer, spec, main):
  """Scales the rate by `main`, and raises the decays of averages to it.

  The optimizer moves as far, and its averages forget as much, in a step of
  training as they would with the regularization in the main loss (Karras et al.
  2020, appendix B).
  """
  parameters = inspect.signature(optimizer).parameters
  decays = {
    name: spec.get(name, parameters[name].default) ** main
    for name in ('b1', 'b2', 'decay')
    if name in parameters
  }
  rate = main * spec.get('learning_rate', _RATE)
  return {**spec, **decays, 'learning_rate': rate}
