"""Do both sides do the same work? Asked before anything is timed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bench import peer
from bench.harness import Ours
from bench.peer import Theirs

_STEPS = 3
# Products of float32 err by 1e-7 of their size, those of TF32 by 3e-4.
_FULL = 1e-5
# Of the losses of training where products are rounded to 10 bits.
_ROUNDED = 1e-2


class _Tolerances(NamedTuple):
  """The largest errors that are allowed.

  Attributes:
    loss: of the losses, relative to them.
    gradient: of the gradient by each parameter, relative to it.
    least: the least that errors of gradients are relative to, as a fraction of
      the gradient by all parameters.
    steps: of the losses of the training steps, relative to them.
  """

  loss: float
  gradient: float
  least: float
  steps: float


_TOLERANCES = {
  # A rectifier whose input is 0 up to rounding goes either way, and one such
  # unit of a million moves the gradient by a thousandth of its size.
  'float32': _Tolerances(1e-4, 1e-2, 1e-3, 1e-4),
  # By the small networks of the tests losses differ by 2e-3 at most, gradients
  # by 0.1 and losses of steps by 4e-2. Our gradients of StyleGAN in bfloat16
  # differ by 0.06 from our own in float32.
  'bfloat16': _Tolerances(2e-2, 0.3, 1.0, 0.2),
}


class DifferentWork(Exception):
  """The two sides are not the same model, data or optimizer."""


def check_rounding(beside: bool = True) -> dict[str, dict[str, float]]:
  """Measures how both sides round the products of float32.

  Args:
    beside: whether PyTorch is there.

  Returns:
    For matrices and for convolutions, the error of each side relative to its
    own product in full float32.

  Raises:
    DifferentWork: one side rounds and the other does not.
  """
  rng = np.random.default_rng(0)
  x = rng.normal(size=(16, 64, 16, 16)).astype(np.float32)  # [B, C, H, W]
  kernel = rng.normal(size=(64, 64, 3, 3)).astype(np.float32)
  matrix = rng.normal(size=(512, 512)).astype(np.float32)
  ours = {
    'matrices': lambda: jnp.matmul(matrix, matrix),
    'convolutions': lambda: jax.lax.conv(x, kernel, (1, 1), 'SAME'),
  }
  errors = {name: {'gen_jax': _rounding(f)} for name, f in ours.items()}
  if beside:
    conv = peer.torch.nn.functional.conv2d
    x, kernel, matrix = map(peer.tensor, (x, kernel, matrix))
    theirs = {
      'matrices': lambda: (matrix @ matrix).cpu(),
      'convolutions': lambda: conv(x, kernel, padding=1).cpu(),
    }
    for name, f in theirs.items():
      errors[name]['pytorch'] = _rounding(f)
  for name, by_side in errors.items():
    if len({error > _FULL for error in by_side.values()}) > 1:
      raise DifferentWork(
        f'{name} of float32 are rounded on one side only: {by_side}. Set '
        'JAX_DEFAULT_MATMUL_PRECISION=highest for full float32 on both sides'
      )
  return errors


def rounding_line(errors: dict[str, dict[str, float]]) -> str:
  """Returns the result of `check_rounding` as text."""
  return 'products of float32: ' + '; '.join(
    f'{name} '
    + ('in full float32' if max(by_side.values()) <= _FULL else 'rounded')
    + ' ('
    + ', '.join(f'{side} errs by {e:.0e}' for side, e in by_side.items())
    + ')'
    for name, by_side in errors.items()
  )


def _rounding(product: Callable[[], Any]) -> float:
  with peer.exact():
    exact = np.asarray(product(), np.float64)
  error = np.linalg.norm(np.asarray(product()) - exact)
  return float(error / np.linalg.norm(exact))


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
  allowed = _TOLERANCES[ours.config.precision]
  # Biases before a normalization have gradients of 0, but for rounding.
  squares = sum(np.sum(np.square(x)) for x in jax.tree.leaves(grads))
  least = allowed.least * float(np.sqrt(squares))
  noise = theirs.twin.noise(update.name, key)
  have = theirs.backward(update, theirs.rows(rows), noise)
  _require(f'loss of {update.name}', have.item(), loss, allowed.loss)
  errors = []
  for name in update.wrt:
    want = theirs.twin.layout(name, grads[name])
    for key, parameter in theirs.twin.players[name].named_parameters():
      where = f'gradient of {update.name} by {name}.{key}'
      grad = parameter.grad  # none where the loss does not touch it
      have = 0.0 if grad is None else grad.cpu().numpy()
      errors.append(_require(where, have, want[key], allowed.gradient, least))
  return max(errors), memory


def _compare_steps(ours, theirs):
  first = ours.step
  # Until each update has run.
  steps = max(_STEPS, *(update.every for update in theirs.updates))
  metrics = ours.run(steps)
  precision = ours.config.precision
  allowed = _TOLERANCES[precision].steps
  if precision == 'float32':
    least = allowed if jax.default_backend() == 'cpu' else _ROUNDED
    allowed = getattr(theirs.twin, 'tolerance', least)
  errors = []
  for t in range(steps):

    def noise(name, index, step=first + t):
      return theirs.twin.noise(name, ours.key(step, index))

    due = [u for u in theirs.updates if (theirs.step + 1) % u.every == 0]
    losses = theirs.train_step(ours.batches.rows(first + t), noise)
    for update, loss in zip(due, losses, strict=True):
      where = f'loss of {update.name} at step {first + t}'
      want = metrics[f'{update.name}/loss'][t]
      errors.append(_require(where, loss.item(), want, allowed))
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
