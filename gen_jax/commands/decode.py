r"""Writes the images of latents.

python -m gen_jax decode --workdir=runs/vae --input=latents.npz --out=FOLDER/

The archive has `latents` [N, Z], as `gen_jax encode` writes them or as you make
them, and perhaps `names` [N]. The images of a folder get these names, in PNG,
or are numbered.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from gen_jax.commands import cli, on_images
from gen_jax.data import inputs
from gen_jax.data.formats import npz_files
from gen_jax.errors import InputError
from gen_jax.evaluation import own_images
from gen_jax.storage import image_stream, outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(on_images.Decoding):
  """The arguments."""

  input: Annotated[str, 'archive of latents (.npz)']


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the images of an archive of latents."""
  return cli.main(decode, Arguments, __doc__, argv)


def decode(args: Arguments) -> None:
  """Decodes all latents of an archive.

  Raises:
    InputError: when an argument cannot be used.
  """
  out = outputs.parse(args.out, image_stream.KINDS)
  latents, names = _read(args.input)
  task, players, step = on_images.open_model(args)
  own_images.capability(task, 'decode')
  size = task.latent_size(players)
  if latents.shape[1] != size:
    raise InputError(
      f'--input={args.input}: its latents are {list(latents.shape)}, and this '
      f'model takes [N, {size}].'
    )
  stream = own_images.decoded(task, players, latents, names, args.batch_size)
  with outputs.writing(out):
    image_stream.write(out, stream, {'step': step})
  print(f'{out}: {stream.count} images decoded, step {step}')


def _read(file: str) -> tuple[np.ndarray, list[str] | None]:
  """Returns latents, float32 [N, Z], and names or None.

  Raises:
    InputError: it is no archive of latents.
  """
  with inputs.reading(file, '--input'):
    arrays = npz_files.read(
      pathlib.Path(file), ('latents', 'names').__contains__
    )
    if 'latents' not in arrays:
      raise ValueError('it has no array `latents`')
    latents = arrays['latents']
    if latents.ndim != 2 or latents.dtype.kind not in 'fiu' or not len(latents):
      raise ValueError(
        f'`latents` is {latents.dtype} {list(latents.shape)}; expected numbers '
        '[N, Z]'
      )
    latents = latents.astype(np.float32)
    if not np.isfinite(latents).all():
      raise ValueError('`latents` has values that are not finite')
    if 'names' not in arrays:
      return latents, None
    names = arrays['names']
    if names.dtype.kind != 'U' or names.shape != latents.shape[:1]:
      raise ValueError(
        f'`names` is {names.dtype} {list(names.shape)}; expected a text for '
        f'each of the {len(latents)} latents'
      )
  own_images.check_names(names.tolist(), file)
  return latents, names.tolist()
