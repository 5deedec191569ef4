"""Runs the evaluators of a trained workdir.

python -m gen_jax evaluate --workdir=runs/vae

--add runs an evaluator that the config does not name, and it alone:
--add=anomaly.Anomaly --config.evals.anomaly.normal=3
"""

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.config import validation
from gen_jax.core import averaged
from gen_jax.errors import DataError, EvaluationError, InputError, nearest
from gen_jax.evaluation.features import extractors
from gen_jax.runtime import settings
from gen_jax.storage import outputs, workdir
from gen_jax.storage.writer import Writer
from gen_jax.training import tasks, trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun):
  """The arguments.

  Attributes:
    overrides: other fields of the evaluators, and where the data are now.
  """

  only: Annotated[
    str, 'names of evaluators, separated by commas (default: all)'
  ] = ''
  add: Annotated[
    tuple[str, ...],
    'MODULE.CLASS of an evaluator that the config does not name; may be given '
    'again',
  ] = ()
  out: Annotated[
    str | None, 'folder for the results (default: WORKDIR/evaluate)'
  ] = None
  allow_code: Annotated[
    tuple[str, ...],
    'MODULE.FUNCTION of features that the config of the workdir names, and '
    'that may be imported; may be given again',
  ] = ()
  overrides: cli.Overrides = ()


def main(argv: Sequence[str] | None = None) -> int:
  """Evaluates the newest or a chosen checkpoint."""
  return cli.main(evaluate, Arguments, __doc__, argv)


def evaluate(args: Arguments) -> None:
  """Runs the suite.

  Raises:
    InputError: when the workdir, an override or a name cannot be used; or,
      after all others were run, when evaluators lack the data.
    EvaluationError: when evaluators failed, after all others were run.
  """
  changes, overrides = [], []
  for pair in args.overrides:
    free = config_lib.may_change_in_use(pair[0])
    (changes if free else overrides).append(pair)
  for field, _ in overrides:
    if field.split('.')[0] != 'evals':
      raise InputError(
        f'--config.{field}: only --config.evals and the precision may change, '
        'and where the data are, such as --config.data.path.'
      )
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step, changes)
  out, config = _folder(args), experiment.config
  added = _override(config, overrides, args.add)
  names = args.only.split(',') if args.only else added or list(config.evals)
  for name in names:
    if name not in config.evals:
      raise InputError(
        f'--only={name}: no such evaluator.{nearest(name, config.evals)}'
      )
  given = _given(config, overrides)
  extractors.check_code(config, names, {*args.allow_code, *given})
  suite = tasks.make_suite(experiment, only=names)
  try:
    with workdir.locked(out):
      failed = _run(suite, names, state, out)
  except BrokenPipeError:  # of who reads what is printed
    raise
  except OSError as error:  # those of an evaluator are its failures
    raise InputError(
      f'{out} cannot be written: {error.strerror or error}. Give another '
      'folder for the results, --out=FOLDER.'
    ) from error
  if suite.away:
    names, reason = ', '.join(suite.away), next(iter(suite.away.values()))
    line = f'evaluators that need the data did not run ({names}): {reason}'
    if not failed:
      raise DataError(line)
    print(line, flush=True)
  if failed:
    raise EvaluationError(f'evaluators failed: {", ".join(failed)}.')


def _folder(args):
  """Returns where the results go."""
  if args.out is None:
    return trained.results_folder(args.workdir, 'evaluate')
  return outputs.parse(args.out, (outputs.FOLDER,)).path


def _run(suite, names, state, folder) -> list[str]:
  """Writes and prints the results; returns the evaluators that failed."""
  writer, failed = Writer(folder, resume_step=None), []
  with contextlib.closing(writer):
    for name in names:
      if name in suite.away:
        continue
      if name in suite.skipped:
        print(suite.skipped[name], flush=True)
        continue
      try:
        values = suite.run(name, averaged(state), int(state.step), writer)
      except EvaluationError as error:
        print(error, flush=True)
        failed.append(name)
        continue
      suite.record(name, values, int(state.step), writer)
      for key, value in values.items():
        print(f'{key} = {value}', flush=True)
  return failed


def _override(config, overrides, add) -> list[str]:
  """Changes `config.evals`; returns the names of those that are added."""
  for field, text in overrides:
    if field == 'evals':
      config_lib.override(config, field, text)
  added = [_add(config.evals, name) for name in add]
  for field, text in overrides:
    if field != 'evals':
      config_lib.override(config, field, text)
  for name, spec in config.evals.items():
    validation.check_evaluator(spec, f'config.evals.{name}')
  return added


def _given(config, overrides) -> set[str]:
  """Returns the features that the command line gives, not the workdir."""
  fields = {field for field, _ in overrides}
  return {
    str(spec.get('features'))
    for name, spec in config.evals.items()
    if fields & {'evals', f'evals.{name}', f'evals.{name}.features'}
  }


def _add(evals, name):
  """Names an evaluator after its class, ActiveUnits as active_units."""
  module, _, last = name.rpartition('.')
  label = re.sub(r'(?<=[a-z])(?=[A-Z])', '_', last).lower()
  if label in evals and evals[label].name != name:
    label = f'{module}_{label}'
  if label not in evals:
    evals[label] = {'name': name}
  return label
