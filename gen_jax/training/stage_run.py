"""One stage: data -> players -> step -> log -> checkpoint -> evaluation."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.config import stages, validation
from gen_jax.core import TrainState, averaged, stream
from gen_jax.data.pipeline import Batches
from gen_jax.distributed import mesh, process_group
from gen_jax.errors import (
  EvaluationError,
  InputError,
  NonFiniteError,
  building,
  nearest,
)
from gen_jax.runtime import memory, processor
from gen_jax.runtime.compiled import Program
from gen_jax.storage import plot
from gen_jax.storage.checkpoint import Checkpointer
from gen_jax.storage.writer import Writer
from gen_jax.training import fine_tuning, freezing, tasks
from gen_jax.training.best_checkpoint import Best
from gen_jax.training.dispatch import DispatchScheduler, Trace
from gen_jax.training.experiment import (
  Experiment,
  resolve,
  state_bytes,
)
from gen_jax.training.failure_warnings import Warnings
from gen_jax.training.metrics_log import Log
from gen_jax.training.players import parameter_table
from gen_jax.training.progress import Progress
from gen_jax.training.signals import Stopped, Stopper
from gen_jax.training.step import carry_over, make_train_chunk


class StageRun:
  """One stage of a run, from its first step or a later one to its end."""

  def __init__(self, stage: stages.Stage, config_json: str) -> None:
    """Makes the parts of a stage.

    Args:
      stage: of the plan.
      config_json: the config of all stages, which checkpoints carry.
    """
    self.stage, self.config, self.config_json = stage, stage.config, config_json
    self.experiment = Experiment(stage)
    self.experiment.check()
    part = self.config.batch_size // self.config.accumulate
    self.parallel = mesh.make(self.config.parallel, part)
    self.experiment.check_batch(part, self.parallel.loss_batch_size(part))
    self.batches = Batches(
      self.experiment.train_source,
      batch_size=self.config.batch_size,
      seed=self.config.seed,
      resident=self.config.data.resident,
      start_step=stage.start,
      start_images=stage.start_images,
      process=(process_group.index(), process_group.count()),
    )
    self.suite = tasks.make_suite(self.experiment)
    best = self.config.checkpoint.best
    self.chooser = best.partition('/')[0]  # the evaluator
    self.selection = self.selection_warning = ''
    if best:
      if self.chooser not in self.suite.names():
        raise InputError(
          f'config.checkpoint.best={best!r}: no evaluator gives it.'
          + nearest(best, self.suite.names())
        )
      split = self.suite.split(self.chooser)
      self.selection = (
        f'checkpoint.best={best!r} is measured on the split {split!r}; '
        f'training uses {self.config.data.train!r}'
      )
      self.selection_warning = self.experiment.selection_warning(
        self.chooser, split
      )
    self.log = Log(self.experiment.objective.updates(), stage.start)
    self.warnings = Warnings(self.experiment.objective, stage)
    self.failed: set[str] = set()  # evaluators

  def attach(
    self,
    checkpoints: Checkpointer,
    best: Best,
    writer: Writer,
    stopper: Stopper,
    trace: Trace,
  ) -> None:
    """Sets what the stage writes to.

    Args:
      checkpoints: of the run.
      best: the checkpoint with the best value of a metric.
      writer: of metrics and images.
      stopper: whether the run stops.
      trace: of some dispatches.
    """
    self.checkpoints, self.best, self.writer = checkpoints, best, writer
    self.stopper, self.trace = stopper, trace

  def begin(self, step: int, notes: Mapping[str, Any]) -> None:
    """Continues from a checkpoint of the stage, given its step and notes."""
    self.log.begin(step, notes.get('log', {}))
    self.warnings.begin(notes.get('warnings', {}))

  def train(self, state: TrainState | None, progress: Progress) -> TrainState:
    """Trains to the end of the stage, or until the run stops.

    Args:
      state: to start from; None at the start of the run.
      progress: shows how far the run is.

    Returns:
      The last state, on one device.

    Raises:
      NonFiniteError: when a loss, a gradient or a parameter is not finite.
    """
    self.progress = progress
    if state is None or int(state.step) == self.stage.start:
      state = self._enter(state)
    step = int(state.step)
    self._describe(state)
    if step == 0:
      self._write_reals()
    # The evaluations between two stages are of the players of the first.
    if step == 0 or step > self.stage.start:
      self._evaluate(state, step)

    length = self.batches.length(self.config.steps_per_dispatch)
    chunk = self.parallel.compile(
      make_train_chunk(self.experiment.train_step(), length)
    )
    data = self.batches.data and self.parallel.replicate(self.batches.data)
    state = self.parallel.place(state)
    scheduler = DispatchScheduler(step, length)
    pending = None  # the dispatch whose metrics are still to be read
    first = step
    while step < self.stage.end and not self.stopper.agreed():
      # Each process has its own timings, but all have to dispatch the same.
      count = min(
        process_group.broadcast(lambda: scheduler.count),
        self._next_event(step) - step,
      )
      inputs = self.batches.inputs(step, count, length)
      self.trace.dispatch()
      given = state, data, self.parallel.shard(inputs), np.int32(count)
      if step == first:
        self._compile(chunk, given)
      state, metrics = chunk(*given)
      del given
      # While the devices compute this one, read what the one before gave.
      self._read(pending, scheduler)
      pending = (step, count, metrics)
      step += count
      if self._is_stop(step):
        self._read(pending, scheduler)
        pending = None
        self._save_and_evaluate(self.parallel.unreplicate(state), step)
        scheduler.restart(step)
    self._read(pending, scheduler)
    self.batches.close()
    state = self.parallel.unreplicate(state)
    self._save(state)
    return state

  def _describe(self, state: TrainState) -> None:
    """Prints what is trained, on which data."""
    self.progress.note(self.experiment.summary())
    self.progress.note(parameter_table(state.players))
    self.progress.note(f'state: {memory.show(state_bytes(state))}')
    if warning := processor.precision_warning(self.config.precision):
      self._warn(int(state.step), [warning])
    for name, reason in self.suite.skipped.items():
      self.progress.note(reason + self._without_best(name))
    if self.selection_warning:
      self._warn(int(state.step), [self.selection_warning])
    elif self.selection:
      self.progress.note(self.selection)

  def _compile(self, chunk: Program, given: tuple[Any, ...]) -> None:
    """Compiles the steps of a dispatch; they have to fit into the memory."""
    with building(f'a step of stage {self.stage.index + 1}'):
      chunk.compile(*given)
    if (peak := chunk.peak_bytes()) is not None:
      self.progress.note(f'compiled step: {memory.show(peak)} a device')
    devices = jax.local_device_count() if memory.shares_host() else 1
    memory.check(
      chunk.more_bytes() * devices,
      f'config.batch_size={self.config.batch_size}: the compiled step',
      'take a smaller batch_size, a larger accumulate, or smaller networks',
    )

  def _enter(self, state: TrainState | None) -> TrainState:
    """Makes the stage's players; what was trained before is carried over."""
    players, init = self.experiment.init_players(), self.config.init
    source = fine_tuning.players(init)
    if source is not None:
      if state is None:
        fine_tuning.check(source, players, init.path)
      self.progress.note(fine_tuning.table(source, players, init.path))
      players = carry_over(source, players)
    if state is None:
      return self.experiment.init_state(players)
    # A player that learns no more is, from now on, its average.
    learning = self.experiment.optimizers
    kept = {k: v for k, v in state.ema.items() if k not in learning}
    players = carry_over({**state.players, **kept}, players)
    new = self.experiment.init_state(players)
    return new.replace(ema=carry_over(state.ema, new.ema))

  def _write_reals(self) -> None:
    raw = self.batches.read(0)
    batch = {k: x[:64] for k, x in raw.items() if x.dtype.kind in 'iuf'}
    key = stream(self.config.seed, 'eval')
    batch = jax.jit(self.experiment.preprocess)(batch, key)
    pixels = self.experiment.objective.pixels
    for name, x in batch.items():
      if x.ndim == 4 and x.dtype.kind == 'f':  # images, and not words
        label = 'reals' if name == 'image' else f'reals_{name}'
        self.writer.image(None, label, plot.draw(x, pixels))

  # When something happens: at multiples of its cadence and at the end.

  def _due(self, step: int, every: int) -> bool:
    return step == self.stage.end or self._regular(step, every)

  def _regular(self, step: int, every: int) -> bool:
    return every > 0 and step % every == 0

  def _stops(self) -> list[int]:
    # Logs need no stop: they are read one dispatch late.
    return [self.config.checkpoint.every, *self.suite.cadences()]

  def _next_event(self, step: int) -> int:
    cadences = [self.config.log_every, *self._stops()]
    nexts = [(step // n + 1) * n for n in cadences if n > 0]
    return min([*nexts, self.stage.end])

  def _is_stop(self, step: int) -> bool:
    return any(self._due(step, n) for n in self._stops())

  # The actions.

  def _read(self, pending, scheduler: DispatchScheduler) -> None:
    """Waits for a dispatch, checks its metrics and logs them when due."""
    if pending is None:
      return
    step, count, metrics = pending
    metrics = jax.device_get(metrics)
    end = step + count
    scheduler.finished(end)
    self.log.add(step, count, metrics)
    rate = scheduler.steps_per_second * self.config.batch_size
    self.progress.update(end, rate, self.log.shown)
    if self._due(end, self.config.log_every):
      before = self._notes()
      values = self.log.means()
      values['time/steps_per_second'] = scheduler.steps_per_second
      values['time/images_per_second'] = rate
      self.writer.scalars(end, values)
      self.progress.line(end, values)
      warnings = self.warnings.due(end, values)
      if warnings:
        named = {f'warning/{k}': text for k, text in warnings.items()}
        self.writer.scalars(end, named)
        self._warn(end, warnings.values())
      if not self._regular(end, self.config.log_every):
        # A longer run has no log here; this one may become longer.
        self.begin(end, before)

  def _warn(self, step: int, texts: Iterable[str]) -> None:
    for text in texts:
      self.progress.note(f'step {step}  warning: {text}')

  def _save(self, state: TrainState) -> None:
    """Saves a state; a bad one never takes the place of a good one."""
    if not bool(_all_finite((state.players, state.ema))):
      raise NonFiniteError(f'step {int(state.step)}: a parameter is not finite')
    # A resume goes on with the means of the log, so they have to be complete.
    if self.log.end != int(state.step):
      raise RuntimeError(
        f'metrics were read up to step {self.log.end}, not {int(state.step)}'
      )
    self.checkpoints.save(state, {'config': self.config_json, **self._notes()})

  def _notes(self) -> dict[str, Any]:
    """Returns what `begin` needs."""
    return {'log': self.log.state, 'warnings': self.warnings.state}

  def _save_and_evaluate(self, state: TrainState, step: int) -> None:
    # Among many processes a signal has to wait for an evaluation.
    many = process_group.count() > 1
    if many or self._due(step, self.config.checkpoint.every):
      self._save(state)
    self._evaluate(state, step)

  def _evaluate(self, state: TrainState, step: int) -> None:
    last = step == self.stage.end
    try:
      for name in self.suite.due(step, last):
        done = process_group.broadcast(
          lambda name=name: self.writer.recorded(step, name)
        )
        if not done:
          self._run(name, state, step)
    except Stopped:
      pass  # done again after the resume, since no line of it was written

  def _run(self, name: str, state: TrainState, step: int) -> None:
    """Runs an evaluator, whose failure is noted and does not end the run."""
    try:
      with self.stopper.droppable():
        values = self.suite.run(name, averaged(state), step, self.writer)
    except EvaluationError as error:
      self.failed.add(name)
      self.progress.note(f'step {step}  {error}{self._without_best(name)}')
      return
    # On the disk before the line marks this evaluation as done.
    self.best.consider(state, name, values, self.config_json)
    warning = {}
    if name == self.chooser and self.selection_warning:
      warning = {'warning/checkpoint.best': self.selection_warning}
    self.suite.record(name, values, step, self.writer, **warning)
    warnings = [k for k in values if k.endswith('/warning')]
    shown = '  '.join(
      f'{k} {_short(v)}' for k, v in values.items() if k not in warnings
    )
    self.progress.note(f'step {step}  {shown}')
    self._warn(step, [values[k] for k in warnings])

  def _without_best(self, name: str) -> str:
    """Explains what a missing result means for the best checkpoint."""
    best = self.config.checkpoint.best
    if self.chooser != name:
      return ''
    return f'; config.checkpoint.best={best!r} keeps no state without it'


def prepare(config: ConfigDict) -> tuple[ConfigDict, list[StageRun]]:
  """Makes the stages of a run: all that can be wrong with it is found now.

  Returns the config too, with the shapes and classes of the data.
  """
  config = fine_tuning.complete(config_lib.complete(config))
  validation.check(config)
  config = resolve(config)
  text = config_lib.to_json(config)
  runs = [StageRun(stage, text) for stage in stages.plan(config)]
  # The first one is compiled before any step, which finds its errors.
  for run in runs[1:]:
    run.experiment.check_step()
  for run in runs:
    tasks.check_suite(run.suite, run.experiment)
  if any(run.config.freeze for run in runs):
    players = [run.experiment.abstract_state().players for run in runs]
    for run in runs:
      freezing.check(run.config.freeze, players)
  return config, runs


@jax.jit
def _all_finite(tree) -> jax.Array:
  leaves = [
    x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)
  ]
  return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves]))


def _short(value: Any) -> str:
  return f'{value:.5g}' if isinstance(value, float) else str(value)
