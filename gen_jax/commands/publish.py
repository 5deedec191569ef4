"""Writes a trained model to one file, which is used like a workdir.

python -m gen_jax publish --workdir=runs/dcgan --out=dcgan.safetensors
python -m gen_jax sample --workdir=dcgan.safetensors --out=samples.png

The file holds the averaged parameters, the config, the shapes and classes of
the data and the last metrics. It holds no images, and reading it runs no code.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.core import averaged
from gen_jax.data import record
from gen_jax.data.record import Record
from gen_jax.errors import InputError, nearest
from gen_jax.runtime import settings
from gen_jax.storage import cloud, outputs, published
from gen_jax.training import trained
from gen_jax.version import __version__

_NOTES = ('title', 'result', 'license', 'command', 'time')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun):
  """The arguments."""

  out: Annotated[str, f'file to write, NAME{published.SUFFIX}']
  dtype: Annotated[
    Literal['float32', 'float16'],
    'of the stored parameters; half as many bytes with float16',
  ] = 'float32'
  title: Annotated[str, 'what the model is, for readers'] = ''
  result: Annotated[str, 'name of the metric that tells most'] = ''
  license: Annotated[str, 'license of the data that it was trained on'] = ''
  command: Annotated[str, 'command that trained it, for readers'] = ''
  time: Annotated[str, 'time of the training with its machine'] = ''


def main(argv: Sequence[str] | None = None) -> int:
  """Publishes the newest or a chosen checkpoint."""
  return cli.main(publish, Arguments, __doc__, argv)


def publish(args: Arguments) -> None:
  """Writes the file.

  Raises:
    InputError: when an argument cannot be used.
  """
  out = outputs.parse(args.out, (published.SUFFIX,))
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step)
  step = int(state.step)
  metrics = trained.last_metrics(args.workdir, step)
  if args.result not in ('', *metrics):
    raise InputError(
      f'--result={args.result}: step {step} has no such metric.'
      f'{nearest(args.result, metrics)}'
    )
  notes = {name: getattr(args, name) for name in _NOTES}
  if file := published.find(args.workdir):  # keeps what nobody changes
    before = published.read(file)[1]
    notes = {k: x or getattr(before, k) for k, x in notes.items()}
  kept = experiment.kept
  data = kept.record if kept else Record.of(experiment.train_source)
  about = published.Description(
    step=step,
    stage=experiment.stage.index,
    config=config_lib.to_json(config_lib.without_places(experiment.config)),
    data=record.write([data]),
    metrics=metrics,
    version=__version__,
    **notes,
  )
  with outputs.writing(out):
    published.write(out.path, averaged(state), about, args.dtype)
  size = cloud.size(out.path)
  print(f'{out}: {size:,} bytes of step {step}')
