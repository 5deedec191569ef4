"""Writes a trained model, or something that it can do, to a file.

python -m gen_jax export --workdir=runs/vae --capability=decode --out=vae.onnx

The suffix of --out is the format: .stablehlo is a program that JAX alone runs
on each of the --platforms, .onnx is one for ONNX Runtime and browsers, and
.safetensors holds the averaged parameters. A JSON file of the same name
describes the inputs, the data and the config, and has the SHA-256 of the file.
See docs/export.md.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.core import averaged
from gen_jax.errors import InputError, nearest
from gen_jax.evaluation.features.reference_classifier import dataset
from gen_jax.runtime import settings
from gen_jax.storage import cloud, outputs, weights
from gen_jax.training import trained
from gen_jax.training.export import onnx, programs, stablehlo


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun):
  """The arguments; `overrides` say where the data are now."""

  out: Annotated[str, 'file to write: .stablehlo, .onnx or .safetensors']
  capability: Annotated[
    str,
    'what the program does: sample, encode, decode, reconstruct, translate_ab, '
    'draw, ... Not for .safetensors',
  ] = ''
  platforms: Annotated[
    str, 'platforms of a .stablehlo program, with commas'
  ] = 'cpu,cuda,rocm,tpu'
  metric: Annotated[
    str | None,
    'metric of the run that is stored as the accuracy of the model; '
    '.safetensors only',
  ] = None
  command: Annotated[
    str, 'command that trained the model, for the JSON file'
  ] = ''
  dtype: Annotated[
    Literal['float32', 'float16'],
    'float32 or float16, of the parameters in a .safetensors file',
  ] = 'float32'
  overrides: cli.Overrides = ()


def main(argv: Sequence[str] | None = None) -> int:
  """Exports the newest or a chosen checkpoint."""
  return cli.main(export, Arguments, __doc__, argv)


def export(args: Arguments) -> None:
  """Writes the file and its description.

  Raises:
    InputError: when an argument cannot be used, or an operation of the model
      has no counterpart in the format.
  """
  out = outputs.parse(args.out, tuple(_WRITERS))
  if bool(args.capability) == (out.kind == '.safetensors'):
    raise InputError(
      f'--out={out}: name a --capability for a program (.stablehlo, .onnx), '
      'and none for parameters (.safetensors).'
    )
  settings.configure()
  state, experiment = trained.open_trained(
    args.workdir, args.step, args.overrides
  )
  description = {
    'step': int(state.step),
    'config': config_lib.plain(config_lib.without_places(experiment.config)),
  }
  with outputs.writing(out):
    _WRITERS[out.kind](args, out, averaged(state), experiment, description)
  print(f'{out}: {cloud.size(out.path):,} bytes of step {int(state.step)}')


def _write_parameters(args, out, players, experiment, description):
  train, test = experiment.train_source, experiment.source('test')
  shape, _ = train.fields['image']
  description |= {
    'command': args.command,
    'data': {
      'name': dataset(experiment.config.data.to_dict()),
      'shape': list(shape),
      'classes': list(train.classes),
      'train': train.fingerprint,
      'test': test.fingerprint,
    },
  }
  if args.metric:
    metrics = trained.last_metrics(args.workdir, description['step'])
    if args.metric not in metrics:
      raise InputError(
        f'--metric={args.metric}: this step has no such metric.'
        + nearest(args.metric, metrics)
      )
    description['metric'] = args.metric
    description['accuracy'] = metrics[args.metric]
  weights.write(out.path, players, description, args.dtype)


def _write_stablehlo(args, out, players, experiment, description):
  platforms = tuple(filter(None, args.platforms.split(',')))
  unknown = [p for p in platforms if p not in stablehlo.PLATFORMS]
  if unknown or not platforms:
    raise InputError(
      f'--platforms={args.platforms}: expected some of '
      f'{", ".join(stablehlo.PLATFORMS)}.'
    )
  program = _program(args, players, experiment)
  content = stablehlo.serialize(program, platforms)
  description |= programs.describe(program)
  description['platforms'] = list(platforms)
  weights.write_described(out.path, content, description)


def _write_onnx(args, out, players, experiment, description):
  program = _program(args, players, experiment, draws=True)
  content, error = onnx.convert(program, f'--out={out}')
  description |= programs.describe(program)
  description['difference'] = error
  weights.write_described(out.path, content, description)
  print(f'{out}: differs from JAX by at most {error:.1e}')


def _program(args, players, experiment, **options):
  return programs.make(
    experiment.objective,
    players,
    experiment.described,
    args.capability,
    **options,
  )


_WRITERS = {
  '.stablehlo': _write_stablehlo,
  '.onnx': _write_onnx,
  '.safetensors': _write_parameters,
}
