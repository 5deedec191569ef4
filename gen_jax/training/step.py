"""The train step: the only gradient, optimizer step and EMA of the project."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Batch, TrainState, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.training import freezing

Metrics = dict[str, jax.Array]


class Trainable(Protocol):
  """An objective, or some of its updates, that can be trained."""

  def updates(self) -> tuple[Update, ...]:
    """Returns what one training step does, in order."""


Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_state(
  players: Mapping[str, Any],
  optimizers: Mapping[str, optax.GradientTransformation],
  ema: Mapping[str, float],
  step: int = 0,
) -> TrainState:
  """Returns the state at the start of a stage.

  Args:
    players: their variables.
    optimizers: by player.
    ema: decay by player, for those that have an average.
    step: at which the stage starts.
  """

  @jax.jit  # one program, which is kept, not one for each shape
  def rest(players):
    opt = {k: tx.init(players[k]['params']) for k, tx in optimizers.items()}
    # A copy: the step donates the state, and no buffer may go in twice.
    return opt, {k: jax.tree.map(jnp.copy, players[k]) for k in ema}

  players = dict(players)
  opt, averages = rest(players)
  return TrainState(jnp.int32(step), players, opt, averages)


def carry_over(old: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
  """Returns `new` with every leaf of `old` that has its name and shape."""
  leaves = dict(jax.tree_util.tree_leaves_with_path(old))

  def take(path, leaf):
    found = leaves.get(path, leaf)
    same = found.shape == leaf.shape and found.dtype == leaf.dtype
    return found if same else leaf

  return jax.tree_util.tree_map_with_path(take, new)


def make_train_step(
  objective: Trainable,
  optimizers: Mapping[str, optax.GradientTransformation],
  *,
  key: jax.Array,
  preprocess: Callable[..., Batch] = lambda batch, key: batch,
  ema: Mapping[str, float] | None = None,
  accumulate: int = 1,
  start: int = 0,
  freeze: Sequence[str] = (),
) -> Step:
  """Turns the list of updates into one training step.

  Args:
    objective: the players and their updates.
    optimizers: by player; the players that no update names have none.
    key: root of the training randomness; the step is folded in, then the
      device, then the update.
    preprocess: `(raw batch, key) -> batch`, on the device.
    ema: the largest decay of the averages, by player: of its parameters, and
      beside them of its statistics, which have to be those of the averaged
      network. See `ema_decay`.
    accumulate: parts of a batch whose gradients are averaged for one update.
    start: the step at which the stage began.
    freeze: players and modules that no update projects; that they do not learn
      is up to their optimizers. See `freezing`.

  Returns:
    `(state, raw batch) -> (state, metrics)`. The metrics of an update that
    does not run in a step are 0; see `ran`.

  Raises:
    InputError: see `check_accumulate`.
  """
  ema = dict(ema or {})
  check_accumulate(objective, accumulate)

  def train_step(state: TrainState, batch: Batch):
    step = state.step - start
    key_step = collectives.fold_device(jax.random.fold_in(key, state.step))
    batch = preprocess(batch, jax.random.fold_in(key_step, 0))
    metrics: Metrics = {}
    for index, update in enumerate(objective.updates(), start=1):
      key_update = jax.random.fold_in(key_step, index)

      def run(state, update=update, key_update=key_update):
        params, loss, aux, grads = _gradients(
          update, state, batch, key_update, step, accumulate, freeze
        )
        state = _apply(update, state, params, aux, grads, optimizers, ema, step)
        metrics = {'loss': loss, **aux.metrics, 'grad_norm': _norm(grads)}
        return state, {f'{update.name}/{k}': v for k, v in metrics.items()}

      if update.every == 1:
        state, new = run(state)
      else:
        state, new = _run_if(ran(update, step), run, state)
      metrics |= new
    return state.replace(step=state.step + 1), metrics

  return train_step


def _gradients(update, state, batch, key, step, accumulate, freeze):
  """Returns the parameters of an update, its loss and their gradients.

  The loss, its metrics and statistics and the gradients are means over the
  devices; the memory of the players is not.
  """
  # Losses see whole variables, also where each device holds a part of them.
  variables = collectives.whole(state.players)

  def loss_fn(params, batch, key):
    players = {
      name: {**found, 'params': params[name]} if name in update.wrt else found
      for name, found in variables.items()
    }
    return update.loss(players, batch, key=key, step=step)

  params = {}
  for name in update.wrt:
    old = state.players[name]['params']
    params[name] = freezing.keep_frozen(update.project(old), old, name, freeze)
  grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
  (loss, aux), grads = _in_parts(
    grad_fn, collectives.whole(params), batch, key, accumulate
  )
  memory = aux.memory
  aux = aux._replace(memory={})
  loss, aux, grads = collectives.mean((loss, aux, grads))
  # First whole, then divided. Otherwise the compiler carries the layout of a
  # gradient into the activations, and IWAE gathers 22 MB in a step on eight CPU
  # devices instead of 2.
  grads = collectives.divide(collectives.whole(grads))
  return params, loss, aux._replace(memory=memory), grads


def _apply(update, state, params, aux, grads, optimizers, ema, step):
  """Returns the state after an update of `params` by its gradients."""
  players, opt, averages = dict(state.players), dict(state.opt), {**state.ema}
  for part in (aux.state, aux.memory):
    for name, collections in part.items():
      players[name] = {**players[name], **collections}
  for name in update.wrt:
    updates, opt[name] = optimizers[name].update(
      grads[name], opt[name], params[name]
    )
    new_params = optax.apply_updates(params[name], updates)
    players[name] = {**players[name], 'params': new_params}
    if name in ema:
      decay = ema_decay(ema[name], step // update.every)
      averages[name] = optax.incremental_update(
        players[name], averages[name], 1 - decay
      )
  return state.replace(players=players, opt=opt, ema=averages)


def check_accumulate(objective: Trainable, parts: int) -> None:
  """Raises InputError if the loss of a batch is not the mean over its parts."""
  for update in objective.updates():
    if parts > 1 and update.whole_batch:
      raise InputError(
        f'config.accumulate={parts}: the loss of {update.name!r} needs a whole '
        f'batch, because {update.whole_batch}. Set accumulate to 1.'
      )


def ema_decay(most: float, updates: jax.Array) -> jax.Array:
  """min(most, (1 + n) / (10 + n)), after n updates of the stage.

  An average of few updates would hold mostly the start, where a network and its
  statistics change the fastest; here its terms are n / 10 updates old on
  average. This is the rule of TensorFlow's ExponentialMovingAverage.
  """
  return jnp.minimum(most, (1 + updates) / (10 + updates))


def ran(update: Update, step: Any) -> Any:
  """Whether the update runs in a step of the stage (int or array)."""
  return (step + 1) % update.every == 0


def make_train_chunk(train_step: Step, length: int) -> Callable:
  """Makes `(state, data, inputs, count) -> (state, metrics [length])`.

  Runs `count <= length` steps in one dispatch. The trip count is dynamic, so
  that one compiled program serves any cadence of logs and checkpoints, and
  the outcome does not depend on where a run was interrupted.

  Args of the result:
    data: the resident data set by field, [N, ...], or None.
    inputs: indices into it, [length, B], or, without it, raw batches
      [length, B, ...]; by field.
  """
  # Traced once for the shapes of the metrics and for the loop.
  train_step = jax.jit(train_step, inline=True)

  def chunk(state, data, inputs, count):
    def batch_at(t):
      part = jax.tree.map(lambda x: x[t], inputs)
      if data is None:
        return part
      return {
        k: jnp.take(x, part[k], axis=0, mode='clip') for k, x in data.items()
      }

    def body(t, carry):
      state, history = carry
      state, metrics = train_step(state, batch_at(t))
      return state, {k: history[k].at[t].set(v) for k, v in metrics.items()}

    _, shapes = jax.eval_shape(train_step, state, batch_at(0))
    history = {k: jnp.zeros(length, v.dtype) for k, v in shapes.items()}
    return jax.lax.fori_loop(0, count, body, (state, history))

  return chunk


def _run_if(condition, run, state):
  """Runs an update if a condition holds; else its metrics are 0."""
  # Traced once for the shapes of the metrics and for the branch.
  run = jax.jit(run, inline=True)

  def skip(state):
    _, metrics = jax.eval_shape(run, state)
    return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)

  return jax.lax.cond(condition, run, skip, state)


def _in_parts(grad_fn, params, batch, key, parts):
  """Value and gradient of a batch, or the mean over equal parts of it."""
  if parts == 1:
    return grad_fn(params, batch, key)

  def split(x):  # [B, ...] -> [parts, B / parts, ...], local to each shard
    return jnp.swapaxes(x.reshape(-1, parts, *x.shape[1:]), 0, 1)

  def body(_, inputs):
    part, index = inputs
    return None, grad_fn(params, part, jax.random.fold_in(key, index))

  _, out = jax.lax.scan(
    body, None, (jax.tree.map(split, batch), jnp.arange(parts))
  )
  return jax.tree.map(lambda x: jnp.mean(x, axis=0), out)


def _norm(tree) -> jax.Array:
  """Global L2 norm of a tree."""
  # Sums as products with ones, which XLA:CPU computes in all its threads; its
  # reduction of a whole array would take a tenth of a dense VAE's step.
  total = 0.0
  for leaf in jax.tree.leaves(tree):
    rows = jnp.square(leaf).reshape(-1, leaf.shape[-1] if leaf.ndim else 1)
    ones = jnp.ones(rows.shape[1], rows.dtype)
    total += jnp.sum(jnp.matmul(rows, ones, precision='highest'))
  return jnp.sqrt(total)
