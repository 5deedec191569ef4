r"""Removes noise from your own images with a denoising autoencoder.

python -m gen_jax denoise --workdir=runs/denoising_autoencoder \
  --input=FOLDER --out=FOLDER

The images are taken as noisy; with --corrupt they get the noise of the training
first, to see what the model does. Photographs keep their size if the network
consists of convolutions, as that of `denoising_autoencoder:photos`. Otherwise
each image is cropped and resized to the shape of the model. Names are kept, in
PNG. An image that cannot be read does not stop the others; those that failed
are named at the end, and the exit code is 2.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from gen_jax.commands import cli, on_images, reconstruct
from gen_jax.errors import InputError
from gen_jax.evaluation import restoration
from gen_jax.storage import outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(reconstruct.Arguments):
  """The arguments."""

  corrupt: Annotated[bool, 'add the noise of the training first'] = False


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the images of a folder without their noise."""
  return cli.main(denoise, Arguments, __doc__, argv)


def denoise(args: Arguments) -> None:
  """Denoises every image below a folder.

  Raises:
    InputError: an argument cannot be used, or some images failed; the others
      have been written.
  """
  out = outputs.parse(args.out, (outputs.FOLDER,)).path
  opened = on_images.open_any_size(args, 'reconstruct', {'--out': out})
  if 'corrupt' not in opened.task.objective.predict_fns():
    raise InputError(
      '--workdir: this model was not trained on corrupted images, so it does '
      'not remove noise. Train one with --config=denoising_autoencoder.'
    )
  results = restoration.restore(
    opened.task, opened.players, opened.images, args.corrupt
  )
  reconstruct.write(out, opened, results, 'denoised')
