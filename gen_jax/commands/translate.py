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
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np

from gen_jax.commands import cli, on_images
from gen_jax.evaluation import own_images
from gen_jax.registry.fields import Size
from gen_jax.storage import outputs
from gen_jax.storage.images import to_uint8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(on_images.Arguments):
  """The arguments."""

  direction: Annotated[
    Literal['ab', 'ba'], "'ab', from the first domain to the second, or 'ba'"
  ] = 'ab'
  out: Annotated[str, 'folder to write; it is made if needed']
  batch_size: Annotated[
    Size, 'images of one size at a time; fewer if they are large'
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
  name = f'translate_{args.direction}'
  opened = on_images.open_all(
    args, name, {'--out': out}, field=args.direction[0], whole=True
  )
  task, fn = opened.task, opened.task.predict(name)

  def compute(given: own_images.Given) -> np.ndarray:
    return to_uint8(fn(opened.players, given.batch), task.objective.pixels)

  names = opened.names(out)
  failures = own_images.save(opened.images.each(compute), names)
  line = (
    f'{args.out}: {len(names) - len(failures)} images, {args.direction}, of '
    f'step {opened.step}'
  )
  on_images.finish(opened.listed, failures, 'translated', line)
