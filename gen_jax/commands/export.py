"""Writes the averaged parameters of a workdir to a safetensors file.

python -m gen_jax export --workdir=runs/classifier --out=mnist.safetensors

A JSON file of the same name has the config, the data, a metric and the SHA-256
of the parameters. The reference networks in gen_jax/evaluation/features/weights
are such pairs.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from ml_collections import ConfigDict

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.config import PLACES
from gen_jax.core import averaged
from gen_jax.errors import InputError, nearest
from gen_jax.evaluation.features.reference_classifier import dataset
from gen_jax.runtime import settings
from gen_jax.storage import outputs, weights, workdir
from gen_jax.storage.writer import read_metrics
from gen_jax.training import trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun):
  """The arguments; `overrides` say where the data are now."""

  out: Annotated[str, 'file to write, NAME.safetensors']
  metric: Annotated[
    str | None, 'metric of the run that is stored as the accuracy of the model'
  ] = None
  command: Annotated[
    str, 'command that trained the model, for the JSON file'
  ] = ''
  dtype: Annotated[
    Literal['float32', 'float16'],
    'float32 or float16, of the parameters in the file',
  ] = 'float32'
  overrides: cli.Overrides = ()


def main(argv: Sequence[str] | None = None) -> int:
  """Exports the newest or a chosen checkpoint."""
  return cli.main(export, Arguments, __doc__, argv)


def export(args: Arguments) -> None:
  """Writes the parameters and their description.

  Raises:
    InputError: when an argument cannot be used.
  """
  out = outputs.parse(args.out, ('.safetensors',))
  settings.configure()
  state, experiment = trained.open_trained(
    args.workdir, args.step, args.overrides
  )
  train, test = experiment.train_source, experiment.source('test')
  shape, _ = train.fields['image']
  description = {
    'command': args.command,
    'step': int(state.step),
    'data': {
      'name': dataset(experiment.config.data.to_dict()),
      'shape': list(shape),
      'classes': list(train.classes),
      'train': train.fingerprint,
      'test': test.fingerprint,
    },
    'config': _without_places(experiment.config),
  }
  if args.metric:
    lines = read_metrics(workdir.folder(args.workdir) / 'metrics.jsonl')
    metrics = {name: value for line in lines for name, value in line.items()}
    if args.metric not in metrics:
      raise InputError(
        f'--metric={args.metric}: the workdir has no such metric.'
        + nearest(args.metric, metrics)
      )
    description['metric'] = args.metric
    description['accuracy'] = metrics[args.metric]
  with outputs.writing(out):
    weights.write(out.path, averaged(state), description, args.dtype)
  print(f'{out}: {out.path.stat().st_size:,} bytes of step {int(state.step)}')


def _without_places(config: ConfigDict) -> dict[str, Any]:
  """Returns a config as JSON holds it, without the paths of this machine."""
  fields = config_lib.plain(config)
  fields['data'] = {k: v for k, v in fields['data'].items() if k not in PLACES}
  return fields
