"""Training: the stages of a config, from a checkpoint or from the start."""

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.core import TrainState
from gen_jax.distributed import process_group, watchdog
from gen_jax.errors import (
  EvaluationError,
  InputError,
  NonFiniteError,
)
from gen_jax.runtime import settings
from gen_jax.storage import checkpoint_files, loggers, workdir
from gen_jax.storage.checkpoint import Checkpointer
from gen_jax.storage.writer import NullWriter, Writer
from gen_jax.training import agreement, fine_tuning, restore, resume
from gen_jax.training.best_checkpoint import Best
from gen_jax.training.dispatch import Trace
from gen_jax.training.progress import Progress
from gen_jax.training.signals import Stopper
from gen_jax.training.stage_run import prepare


def train(
  config: ConfigDict,
  path: str | os.PathLike,
  stopper: Stopper | None = None,
  profile: bool = False,
  extend: bool = False,
  log: Sequence[str] = loggers.DEFAULT,
) -> tuple[TrainState, dict[str, float]]:
  """Trains what a config describes, and resumes where a workdir left off.

  Args:
    config: as `get_config()` of a file in `configs/` returns it.
    path: the workdir: `config.json`, `metrics.jsonl`, `checkpoints/`,
      `images/` and what the loggers write.
    stopper: of a caller that runs more than this and is to know of a signal.
    profile: write a trace of a few dispatches below `profile/`.
    extend: go on to another number of steps also where learning rates depend
      on the end, so that they jump.
    log: names of `loggers.KINDS`, where metrics and pictures go too.

  Returns:
    The last state, on one device, and the last value of each metric.

  Raises:
    InputError: when the config, the workdir or a logger cannot be used.
    NonFiniteError: when a loss or a gradient is not finite; the checkpoints
      from before are untouched.
    EvaluationError: at the end, when an evaluator failed, which does not
      affect the training; `result` is what is returned otherwise. The same
      call repeats the evaluations that failed at the last step.
  """
  loggers.check(log)
  settings.configure()
  config, runs = prepare(config)
  data = [run.experiment.data_record for run in runs]
  agreement.check(config, path, data)
  if not checkpoint_files.exist(workdir.folder(path) / 'checkpoints'):
    # An error before anything is written. Most stages have the same model.
    inits = (run.config.init for run in runs)
    for init in {(x.path, x.weights): x for x in inits}.values():
      fine_tuning.players(init)
  # A signal is heard until all is written.
  listening = contextlib.nullcontext(stopper) if stopper else Stopper()
  with workdir.open_for_training(path) as folder, listening as stopper:
    return _train(config, folder, runs, data, stopper, profile, extend, log)


def _train(config, folder, runs, data, stopper, profile, extend, log):
  plan = tuple(run.stage for run in runs)
  another_end = process_group.broadcast(
    lambda: resume.check(folder, config, data, extend)
  )
  with contextlib.ExitStack() as closing:
    checkpoints = Checkpointer(folder / 'checkpoints', config.checkpoint.keep)
    closing.callback(checkpoints.close)
    try:
      # Nothing else in the workdir changes before its newest checkpoint is
      # known to be one of this run.
      found = restore.restore(checkpoints, plan, set_aside=True)
      process_group.broadcast(lambda: resume.record(folder, config, data))
      # Without a checkpoint, lines of an earlier start are those of another.
      first = int(found.state.step) if found else -1
      kind: Any = Writer if process_group.is_main() else NullWriter
      public = config_lib.plain(config_lib.without_places(config))
      writer = kind(folder, first, log, public)
      closing.callback(writer.close)
      # A logger may wait for its server: the checkpoints come first.
      closing.callback(checkpoints.wait)
      best = Best(folder, config, writer, plan, resumes=bool(found))
      closing.callback(best.close)
      trace = Trace(folder, profile)
      closing.callback(trace.close)
      for run in runs:
        run.attach(checkpoints, best, writer, stopper, trace)
      state = _run(config, folder, runs, found, closing, another_end)
    except Exception as failure:
      error = _explained(failure, folder, checkpoints)
      watchdog.abort_all(error)  # else they would wait for this process
      raise error from failure.__cause__
  failed = sorted({name for run in runs for name in run.failed})
  if failed:
    raise EvaluationError(
      f'evaluators failed: {", ".join(failed)}. Training is not affected. The '
      f'tracebacks are in {folder / "failures"}; the same command repeats what '
      'failed at the last step.',
      (state, writer.latest),
    )
  return state, writer.latest


def _run(config, folder, runs, found, closing, another_end) -> Any:
  """Runs the stages from a checkpoint, if there is one; returns the state."""
  state: Any = found.state if found else None
  last = runs[-1]
  first, end = int(state.step) if found else 0, last.stage.end
  progress = Progress(first, end)
  closing.callback(progress.close)
  progress.note(
    f'{"resumes at" if found else "starts at"} step {first} of {end} in '
    f'{folder}, on {len(process_group.devices())} '
    f'{jax.default_backend()} device(s) of {process_group.count()} '
    f'process(es), {config.parallel}'
  )
  if another_end:
    progress.note(another_end)
  for run in runs:
    # One that ends here may have evaluations to do.
    if run.stage.end < first:
      continue
    if found and run.stage.index == found.experiment.stage.index:
      run.begin(first, found.notes)
    progress.enter(run.stage.index + 1, len(runs))
    state = run.train(state, progress)
    if last.stopper.agreed():
      progress.note(
        f'stopped at step {int(state.step)}; the same command goes on'
      )
      return state
  last.writer.animate()
  return state


def _explained(error, folder, checkpoints):
  """Returns an error with what it means for the run, if that is clear."""
  if isinstance(error, NonFiniteError):
    checkpoints.wait()
    steps = checkpoints.steps()
    kept = 'there is no checkpoint yet'
    if steps:
      kept = f'the checkpoint of step {steps[-1]} is kept'
    return NonFiniteError(f'{error}; {kept}')
  name = error.filename if isinstance(error, OSError) else None
  if name and os.path.abspath(name).startswith(os.path.abspath(folder) + '/'):
    return InputError(
      f'{name} cannot be written: {error.strerror}. Remove the cause, such as '
      'a full disk: the same command goes on from the newest checkpoint.'
    )
  return error
