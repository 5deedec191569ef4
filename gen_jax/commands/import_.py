r"""Turns weights of other programs into a file that is used like a workdir.

python -m gen_jax import --from=latest_net_G_A.pth --as=cyclegan \
  --out=horse2zebra.safetensors
python -m gen_jax translate --workdir=horse2zebra.safetensors --input=horses \
  --out=zebras

Files of torch.save (.pth, .pt, ...) are read without PyTorch, and without
running what is in them; files of safetensors with the same names are read as
well. The kinds of --as are in docs/commands.md.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.config import stages, validation
from gen_jax.data import record
from gen_jax.data.record import Kept
from gen_jax.errors import InputError
from gen_jax.importing.kinds import KINDS
from gen_jax.registry.fields import Size, one_of
from gen_jax.runtime import settings
from gen_jax.storage import cloud, outputs, published
from gen_jax.training.experiment import Experiment
from gen_jax.version import __version__


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """The arguments."""

  from_: Annotated[str, 'file with the weights: .pth, .pt, ... or .safetensors']
  as_: Annotated[
    str,
    one_of(KINDS),
    'kind of the network: '
    + '; '.join(f'{name}, {kind.about}' for name, kind in KINDS.items()),
  ]
  out: Annotated[str, f'file to write, NAME{published.SUFFIX}']
  from_b: Annotated[
    str, 'for cyclegan: generator of the other direction, if there is one'
  ] = ''
  resolution: Annotated[
    Size | None,
    'for a StyleGAN: size of the images, for a file that has several '
    '(default: the largest that was trained)',
  ] = None
  license: Annotated[str, 'license of the weights, for readers'] = ''


def main(argv: Sequence[str] | None = None) -> int:
  """Imports a file."""
  return cli.main(import_, Arguments, __doc__, argv, prog='gen_jax import')


def import_(args: Arguments) -> None:
  """Reads the weights, and writes the file.

  Raises:
    InputError: when an argument or a file cannot be used.
  """
  out, kind = outputs.parse(args.out, (published.SUFFIX,)), KINDS[args.as_]
  if args.from_b and kind.files < 2:
    raise InputError(f'--from_b={args.from_b}: {args.as_} has one file.')
  options = {'resolution': args.resolution}
  for name, value in options.items():
    if value is not None and name not in kind.options:
      raise InputError(f'--{name}={value}: {args.as_} has no such option.')
  settings.configure()
  files = {'--from': args.from_, '--from_b': args.from_b}
  imported = kind.load(
    {flag: path for flag, path in files.items() if path},
    **{name: options[name] for name in kind.options},
  )
  validation.check(imported.config)
  (stage,) = stages.plan(imported.config)
  experiment = Experiment(stage, Kept(out.path, imported.record))
  players = published.fit(
    imported.arrays, experiment.abstract_state().players, args.from_
  )
  about = published.Description(
    step=0,
    stage=0,
    config=config_lib.to_json(imported.config),
    data=record.write([imported.record]),
    metrics={},
    license=args.license,
    command=f'gen_jax import --as={args.as_}',
    version=__version__,
  )
  with outputs.writing(out):
    published.write(out.path, players, about, 'float32')
  size = cloud.size(out.path)
  print(f'{out}: {size:,} bytes, {imported.about}')
