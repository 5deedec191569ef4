"""Trains a config once for each value of some fields."""

import itertools
import pathlib
import re
import time
from collections.abc import Mapping, Sequence

import jax

from gen_jax import config as config_lib
from gen_jax.errors import (
  EvaluationError,
  InputError,
  NonFiniteError,
  nearest,
)
from gen_jax.storage import loggers
from gen_jax.storage.sweep_report import Result
from gen_jax.training import resume
from gen_jax.training.loop import train
from gen_jax.training.signals import Stopper
from gen_jax.training.stage_run import prepare


class Run:
  """One run of a sweep, which finds all that is wrong with it when made.

  Attributes:
    values: of the fields that are varied, as text.
    label: these in one line.
  """

  def __init__(
    self,
    config: str,
    overrides: Sequence[tuple[str, str]],
    values: Mapping[str, str],
    folder: pathlib.Path,
    extend: bool,
    log: Sequence[str] = loggers.DEFAULT,
  ) -> None:
    """Reads the config, and opens its data.

    Args:
      config: a file, and a variant of it.
      overrides: fields of all runs.
      values: fields of this run.
      folder: of all runs.
      extend: as for `train`.
      log: as for `train`.

    Raises:
      InputError: when the run cannot be trained.
    """
    self.values, self._extend, self._log = values, extend, log
    self.label = '  '.join(f'{k}={v}' for k, v in values.items())
    names = (f'{field}={text}' for field, text in values.items())
    self._path = folder.joinpath(*(re.sub(r'[/\s]', '_', n) for n in names))
    self._config = config_lib.load(config)
    config_lib.apply(self._config, [*overrides, *values.items()])
    self._config, stages = prepare(self._config)
    data = [stage.experiment.data_record for stage in stages]
    resume.check(self._path, self._config, data, extend)
    suite = stages[-1].suite
    self._evaluators = suite.names()
    self._protocol = {
      f'{name}/{field}'
      for name in suite.names()
      for field in [*suite.protocol(name), 'seed']
    }

  def check_metric(self, name: str) -> None:
    """Raises InputError when no evaluator can give a metric."""
    if name.split('/')[0] not in self._evaluators:
      raise InputError(
        f'--plot: no evaluator gives {name!r}.'
        + nearest(name.split('/')[0], self._evaluators)
      )

  def train(
    self, stopper: Stopper
  ) -> tuple[Result, EvaluationError | NonFiniteError | None]:
    """Trains, and returns what the evaluators measured, and what failed."""
    error = None
    try:
      state, latest = train(
        self._config,
        self._path,
        stopper,
        extend=self._extend,
        log=self._log,
      )
    except EvaluationError as failure:
      error, (state, latest) = failure, failure.result
    except NonFiniteError as failure:  # the other runs are not affected
      error, state, latest = failure, None, {}
    # Without the protocol of the evaluators.
    metrics = {
      name: value
      for name, value in latest.items()
      if isinstance(value, int | float)
      and name.split('/')[0] in self._evaluators
      and name not in self._protocol
    }
    # Each run compiles programs of its own, which would stay for ever.
    jax.clear_caches()
    step = int(state.step) if state else 0
    return Result(self.values, step, metrics), error


def train_all(
  runs: Sequence[Run],
) -> tuple[list[Result], dict[str, Exception]] | None:
  """Trains runs in order, and prints how far they are.

  Returns:
    The results, and what failed by the label of the run: its evaluators, or
    its training. None if a signal stopped them.
  """
  results, failed, started = [], {}, time.monotonic()
  with Stopper() as stopper:
    for index, run in enumerate(runs):
      line = f'run {index + 1}/{len(runs)}  {run.label}'
      if index:
        each = (time.monotonic() - started) / index
        line += f'  ETA {each * (len(runs) - index):.0f} s'
      print(line, flush=True)
      result, error = run.train(stopper)
      results.append(result)
      if error:
        print(error, flush=True)
        failed[run.label] = error
      if stopper.requested:
        print(f'stopped in run {index + 1}; the same command goes on')
        return None
  return results, failed


def read_grid(texts: Sequence[str]) -> list[dict[str, str]]:
  """Reads the arguments of --over and returns the values of every run.

  Raises:
    InputError: no values, or a field or a value that is given twice.
  """
  fields = {}
  for text in texts:
    field, equals, listed = text.partition('=')
    values = [v.strip() for v in split(listed)]
    if not field or not equals or not all(values):
      raise InputError(f'--over={text}: expected FIELD=VALUE,VALUE,...')
    if field in fields:
      raise InputError(f'--over={text}: {field} is given twice.')
    for value in values:
      if values.count(value) > 1:
        raise InputError(f'--over={text}: {value} is given twice.')
    fields[field] = values
  pairs = itertools.product(*fields.values())
  return [dict(zip(fields, values, strict=True)) for values in pairs]


def split(text: str) -> list[str]:
  """Splits at the commas outside of brackets: '1,(2,3)' -> '1', '(2,3)'."""
  parts, depth = [''], 0
  for letter in text:
    depth += (letter in '([{') - (letter in ')]}')
    if letter == ',' and depth == 0:
      parts.append('')
    else:
      parts[-1] += letter
  return parts
