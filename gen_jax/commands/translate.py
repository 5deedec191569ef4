r"""Translates your own images with a trained model, at any size.

python -m gen_jax translate --workdir=runs/cyclegan --direction=ab \
  --input=FOLDER --out=FOLDER

Each image keeps its size and its name, in PNG: `a.jpg` becomes `a.png`. Images
that would be written to one file keep their own endings, `a.jpg.png`. Images of
one size go through the network together; a size that has not been met before is
compiled first. Images of more than 8 bits are mapped to 8 bits as the training
images are. An image that cannot be translated does not stop the others; those
that failed are named at the end, and the exit code is 2.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

from gen_jax.commands import cli
from gen_jax.core import averaged
from gen_jax.data.formats import listing
from gen_jax.errors import InputError
from gen_jax.evaluation import translation
from gen_jax.registry.fields import Size
from gen_jax.runtime import settings
from gen_jax.storage import outputs
from gen_jax.training import tasks, trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun):
  """The arguments."""

  direction: Annotated[
    Literal['ab', 'ba'], "'ab', from the first domain to the second, or 'ba'"
  ] = 'ab'
  input: Annotated[str, 'image file, or folder of images']
  out: Annotated[str, 'folder to write; it is made if needed']
  batch_size: Annotated[
    Size, 'images of one size that are translated at a time'
  ] = 4


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the translations of a folder of images."""
  return cli.main(translate, Arguments, __doc__, argv)


def translate(args: Arguments) -> None:
  """Translates every image below a folder.

  Raises:
    InputError: an argument cannot be used, or some images could not be
      translated; the others have been written.
  """
  out = outputs.parse(args.out, (outputs.FOLDER,)).path
  root, paths, left_out = translation.find(pathlib.Path(args.input), out)
  names = translation.file_names(root, paths)
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step)
  failures = translation.translate(
    tasks.make_task(experiment),
    averaged(state),
    args.direction,
    {path: out / name for path, name in names.items()},
    args.batch_size,
  )
  print(
    f'{args.out}: {len(names) - len(failures)} images, {args.direction}, of '
    f'step {int(state.step)}'
  )
  for line in listing.report(root, left_out):
    print(line)
  if failures:
    print(*(f'{path}: {why}' for path, why in failures.items()), sep='\n')
    raise InputError(
      f'--input: {len(failures)} of {len(names)} images were not translated: '
      + listing.abbreviate([f'{k} ({why})' for k, why in failures.items()])
    )
