r"""Writes your own images after encoding and decoding.

python -m gen_jax reconstruct --workdir=runs/vae --input=FOLDER --out=FOLDER

Each image keeps its name, in PNG: `a.jpg` becomes `a.png`. It is cropped and
resized to the shape of the model as in training; a model of convolutions alone
takes each image at its own size. A variational autoencoder draws the latents of
each image. An image that cannot be read does not stop the others; those that
failed are named at the end, and the exit code is 2.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import numpy as np

from gen_jax.commands import cli, on_images
from gen_jax.evaluation import own_images, restoration
from gen_jax.storage import outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(on_images.Conditioned):
  """The arguments."""

  out: Annotated[str, 'folder to write; it is made if needed']


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the reconstructions of a folder of images."""
  return cli.main(reconstruct, Arguments, __doc__, argv)


def reconstruct(args: Arguments) -> None:
  """Reconstructs every image below a folder.

  Raises:
    InputError: an argument cannot be used, or some images failed; the others
      have been written.
  """
  out = outputs.parse(args.out, (outputs.FOLDER,)).path
  opened = on_images.open_any_size(args, 'reconstruct', {'--out': out})
  results = restoration.restore(opened.task, opened.players, opened.images)
  write(out, opened, results, 'reconstructed')


def write(
  out: Any,
  opened: on_images.Opened,
  results: Iterable[own_images.Result],
  done: str,
) -> None:
  """Writes restored images, and prints their mean PSNR.

  Args:
    out: the folder.
    opened: the model and the images.
    results: of `restoration.restore`.
    done: what was done, for messages.

  Raises:
    InputError: some images failed.
  """
  decibels = []

  def images() -> Iterator[own_images.Result]:
    for result in results:
      if not result.failure:
        decibels.append(result.value[1:])
        result = result._replace(value=result.value.image)
      yield result

  failures = own_images.save(images(), opened.names(out))
  line = f'{out}: {len(decibels)} images {done}, step {opened.step}'
  if decibels:
    after, *before = np.mean(
      [[x for x in row if x is not None] for row in decibels], axis=0
    )
    line += f', PSNR {after:.2f} dB'
    line += ''.join(f' (with the noise: {x:.2f} dB)' for x in before)
  on_images.finish(opened.listed, failures, done, line)
