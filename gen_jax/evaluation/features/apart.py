"""What an evaluator trains in a run of many processes: in one more, alone.

The processes of a run do everything together, which a small classifier is not
worth. It is trained beside process 0, on the CPU, by a process that is no part
of the run, and then given to all, so that each measures with the same.
"""

from gen_jax.runtime import startup

if __name__ == '__main__':
  startup.begin()

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

import gen_jax
from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.core import Players, averaged
from gen_jax.distributed import parallel, process_group
from gen_jax.errors import InputError
from gen_jax.training.experiment import Experiment

_FILE = 'trained.npz'
# What tells a process of its cluster and its accelerators.
_NOT_ITS = ('JAX_', 'XLA_', 'LIBTPU_', 'SLURM_', 'OMPI_', 'PMIX_')


def train(config: ConfigDict, folder: pathlib.Path) -> dict[str, Any]:
  """Trains to the end, and returns the last metrics.

  Every process has to call it.

  Raises:
    InputError: it was not trained, for a reason that is shown before.
  """
  return process_group.broadcast(lambda: _train(config, folder))


def trained(
  config: ConfigDict, folder: pathlib.Path
) -> tuple[Players, Experiment]:
  """Returns what `train` trained, averaged, as process 0 has it."""
  from gen_jax.config import stages  # late, for it imports the evaluators

  experiment = Experiment(stages.plan(config)[-1])
  leaves, tree = jax.tree.flatten(averaged(experiment.abstract_state()))
  if process_group.is_main():
    with np.load(folder / _FILE) as arrays:
      leaves = [arrays[str(index)] for index in range(len(leaves))]
  else:
    leaves = [np.zeros(x.shape, x.dtype) for x in leaves]
  return parallel.from_first_process(tree.unflatten(leaves)), experiment


def _train(config, folder):
  root = str(pathlib.Path(gen_jax.__file__).parents[1])
  paths = [root, os.environ.get('PYTHONPATH', '')]
  environment = {
    **{k: v for k, v in os.environ.items() if not k.startswith(_NOT_ITS)},
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': os.pathsep.join(filter(None, paths)),
  }
  with subprocess.Popen(
    [sys.executable, '-m', 'gen_jax.evaluation.features.apart', str(folder)],
    env=environment,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    # A signal to the run is not for this: the evaluation is finished.
    start_new_session=True,
  ) as process:
    with contextlib.suppress(BrokenPipeError):  # it ended, and says why
      process.stdin.write(config.to_json() + '\n')
      process.stdin.flush()
    output = process.stdout.read()
  if process.returncode:
    raise InputError(
      f'{folder}: what an evaluator needs was not trained (exit code '
      f'{process.returncode}); the reason is above.'
    )
  return json.loads(output)


def main() -> int:
  """Trains the config on the input; prints the last metrics, as JSON."""
  text = sys.stdin.readline()
  threading.Thread(target=_end_with_the_run, daemon=True).start()
  folder, latest = pathlib.Path(sys.argv[1]), {}

  def command():
    latest.update(_train_here(config_lib.from_json(text), folder))

  with contextlib.redirect_stdout(sys.stderr):
    code = cli.run(command)
  if not code:
    print(json.dumps(latest, default=float), flush=True)
  return code


def _train_here(config, folder):
  from gen_jax.evaluation.features import reference_classifier
  from gen_jax.runtime import settings
  from gen_jax.training import trained

  settings.configure()
  with reference_classifier.turn(folder):
    latest = reference_classifier.train_whole(config, folder)
    state, _ = trained.open_trained(folder)
    leaves = jax.tree.leaves(averaged(state))
    partial = folder / 'trained.partial'
    with partial.open('wb') as file:
      np.savez(file, **{str(i): np.asarray(x) for i, x in enumerate(leaves)})
    partial.replace(folder / _FILE)
  return latest


def _end_with_the_run():
  sys.stdin.read()  # which ends when the process that started this one does
  os._exit(1)


if __name__ == '__main__':
  cli.exit(main())
