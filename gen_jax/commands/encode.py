r"""Writes the latents of your own images.

python -m gen_jax encode --workdir=runs/vae --input=FOLDER --out=latents.npz

The archive has `latents`, float32 [N, Z], and `names` [N], the names of the
files relative to the folder. `gen_jax decode` turns it into images again. An
image that cannot be read does not stop the others; those that failed are named
at the end, and the exit code is 2.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from gen_jax.commands import cli, on_images
from gen_jax.evaluation import own_images
from gen_jax.storage import outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(on_images.Conditioned):
  """The arguments."""

  out: Annotated[str, 'archive to write (.npz)']


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the latents of a folder of images."""
  return cli.main(encode, Arguments, __doc__, argv)


def encode(args: Arguments) -> None:
  """Encodes every image below a folder.

  Raises:
    InputError: an argument cannot be used, or some images failed; the latents
      of the others have been written.
  """
  out = outputs.parse(args.out, (outputs.NPZ,))
  opened = on_images.open_all(args, 'encode')
  fn = opened.task.predict('encode')
  paths, latents, failures = own_images.collect(
    opened.images.each(lambda given: fn(opened.players, given.batch))
  )
  line = f'{out}: no latents'
  if paths:
    arrays = {
      'latents': np.asarray(latents, np.float32),
      'names': np.array([opened.listed.name(path) for path in paths]),
    }
    with outputs.writing(out):
      outputs.write_npz(out.path, arrays)
    line = f'{out}: latents {list(arrays["latents"].shape)}'
  line += f', step {opened.step}'
  on_images.finish(opened.listed, failures, 'encoded', line)
