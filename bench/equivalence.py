"""Do both sides do the same work? Asked before anything is timed."""

from typing import Any

import jax
import numpy as np

from bench import peer
from bench.harness import Ours
from bench.peer import Theirs

_LOSS, _STEPS = 1e-4, 3
# A rectifier whose input is 0 up to rounding goes either way, and one such unit
# of a million moves the gradient by a thousandth of its size.
_GRADIENT = 1e-2
# Of the losses of training where products are rounded to 10 bits.
_ROUNDED = 1e-2
_NOTHING = 1e-3  # of the whole gradient, the least that errors are relative to


class DifferentWork(Exception):
  """The two sides are not the same model, data or optimizer."""


def check(ours: Ours, theirs: Theirs) -> dict[str, Any]:
  """Compares both sides, each as made; they are some steps on afterwards.

  That is the number and the shapes of the parameters; then, from our
  parameters, images and noise, the losses and the gradients by each parameter;
  and then the losses of a few training steps by the very programs that are
  timed, where another optimizer or learning rate shows.

  Returns:
    The number of parameters and the largest relative errors.

  Raises:
    DifferentWork: says where they differ, and by how much.
  """
  count = _compare_parameters(ours, theirs)
  theirs.load(ours.players)
  gradient, players = 0.0, dict(ours.players)
  with peer.exact():
    for index, update in enumerate(theirs.updates):
      error, memory = _compare_gradients(ours, theirs, index, update, players)
      gradient = max(gradient, error)
      # What an update remembers, the next one of the step sees.
      for name, collections in memory.items():
        players[name] = {**players[name], **collections}
  return {
    'parameters': count,
    'gradient_error': gradient,
    'loss_error': _compare_steps(ours, theirs),
  }


def _compare_parameters(ours, theirs):
  count = 0
  for name, module in theirs.twin.players.items():
    want = theirs.twin.layout(name, ours.players[name]['params'])
    want = {k: x.shape for k, x in want.items()}
    have = {k: tuple(x.shape) for k, x in module.named_parameters()}
    if have != want:
      raise DifferentWork(f'parameters of {name}: {have}, ours {want}')
    count += sum(x.numel() for x in module.parameters())
  total = sum(
    x.size for v in ours.players.values() for x in jax.tree.leaves(v['params'])
  )
  if count != total:
    raise DifferentWork(f'{count} parameters, ours {total}')
  return count


def _compare_gradients(ours, theirs, index, update, players):
  rows, key = ours.batches.rows(0), ours.key(0, index)

  def loss_fn(params):
    raw = {k: x[rows[k]] for k, x in ours.batches.data.items()}
    batch = ours.experiment.preprocess(raw, key)
    moved = {k: {**players[k], 'params': p} for k, p in params.items()}
    loss, aux = update.loss({**players, **moved}, batch, key=key, step=0)
    return loss, aux.memory

  params = {name: players[name]['params'] for name in update.wrt}
  descend = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
  (loss, memory), grads = descend(params)
  # Biases before a normalization have gradients of 0, but for rounding.
  squares = sum(np.sum(np.square(x)) for x in jax.tree.leaves(grads))
  least = _NOTHING * float(np.sqrt(squares))
  noise = theirs.twin.noise(update.name, key)
  have = theirs.backward(update, theirs.rows(rows), noise)
  _require(f'loss of {update.name}', have.item(), loss, _LOSS)
  errors = []
  for name in update.wrt:
    want = theirs.twin.layout(name, grads[name])
    for key, parameter in theirs.twin.players[name].named_parameters():
      where = f'gradient of {update.name} by {name}.{key}'
      grad = parameter.grad  # none where the loss does not touch it
      have = 0.0 if grad is None else grad.cpu().numpy()
      errors.append(_require(where, have, want[key], _GRADIENT, least))
  return max(errors), memory


def _compare_steps(ours, theirs):
  first = ours.step
  # Until each update has run.
  steps = max(_STEPS, *(update.every for update in theirs.updates))
  metrics = ours.run(steps)
  least = _LOSS if jax.default_backend() == 'cpu' else _ROUNDED
  errors = []
  for t in range(steps):

    def noise(name, index, step=first + t):
      return theirs.twin.noise(name, ours.key(step, index))

    due = [u for u in theirs.updates if (theirs.step + 1) % u.every == 0]
    losses = theirs.train_step(ours.batches.rows(first + t), noise)
    for update, loss in zip(due, losses, strict=True):
      where = f'loss of {update.name} at step {first + t}'
      want = metrics[f'{update.name}/loss'][t]
      tolerance = getattr(theirs.twin, 'tolerance', least)
      errors.append(_require(where, loss.item(), want, tolerance))
  return max(errors)


def _require(where, have, want, tolerance, least=1e-12) -> float:
  """Returns the error, relative to `want` or `least`; raises beyond."""
  have, want = np.asarray(have, np.float64), np.asarray(want, np.float64)
  error = np.linalg.norm(have - want) / max(np.linalg.norm(want), least)
  if not error <= tolerance:  # which NaN is not either
    raise DifferentWork(
      f'{where} differs by {error:.1e} of its size; {tolerance:.0e} is allowed'
    )
  return float(error)
