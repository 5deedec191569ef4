"""Writes the averaged parameters of a workdir to a safetensors file.

python -m gen_jax export --workdir=runs/classifier --out=mnist.safetensors

A JSON file of the same name has the config, the data, a metric and the SHA-256
of the parameters. The reference networks in gen_jax/evaluation/features/weights
are such pairs.
"""

import argparse
from collections.abc import Sequence

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

_SAFETENSORS = '.safetensors'
_DTYPES = ('float32', 'float16')


def main(argv: Sequence[str] | None = None) -> int:
  """Exports the newest or a chosen checkpoint."""
  parser = cli.Parser('gen_jax export', description=__doc__)
  parser.add_trained_run()
  parser.add_argument('--out', required=True, help='NAME.safetensors')
  parser.add_argument(
    '--metric', help='of the workdir, stored as the accuracy of the model'
  )
  parser.add_argument(
    '--command', default='', help='that trained the model, for the JSON file'
  )
  parser.add_argument('--dtype', choices=_DTYPES, default=_DTYPES[0])
  return cli.run(lambda: _export(*parser.read(argv)))


def _export(
  args: argparse.Namespace, overrides: Sequence[tuple[str, str]]
) -> None:
  out = outputs.parse(args.out, (_SAFETENSORS,))
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step, overrides)
  train, test = experiment.train_source, experiment.test_source
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
    description['metric'] = args.metric
    description['accuracy'] = _metric(args)
  with outputs.writing(out):
    weights.write(out.path, averaged(state), description, args.dtype)
  print(f'{out}: {out.path.stat().st_size:,} bytes of step {int(state.step)}')


def _metric(args: argparse.Namespace) -> float:
  """Returns the last value of a metric of the workdir."""
  values: dict[str, float] = {}
  for line in read_metrics(workdir.folder(args.workdir) / 'metrics.jsonl'):
    values |= line
  if args.metric not in values:
    raise InputError(
      f'--metric={args.metric}: the workdir has no such metric.'
      + nearest(args.metric, values)
    )
  return values[args.metric]


def _without_places(config) -> dict:
  """Returns a config as JSON holds it, without the paths of this machine."""
  fields = config_lib.plain(config)
  fields['data'] = {k: v for k, v in fields['data'].items() if k not in PLACES}
  return fields
