r"""Writes the images of a file of `gen_jax compress`.

python -m gen_jax decompress --workdir=runs/vae --input=images.gjc --out=FOLDER/

The images get their names, in PNG. They need the same model: another one, also
another step of the same run, is refused.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated

from gen_jax.commands import cli, on_images
from gen_jax.evaluation import compressor, own_images
from gen_jax.storage import compressed, image_stream, outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(on_images.Decoding):
  """The arguments."""

  input: Annotated[str, f'compressed images ({compressed.SUFFIX})']


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the images of a compressed file."""
  return cli.main(decompress, Arguments, __doc__, argv)


def decompress(args: Arguments) -> None:
  """Decodes all images of a file.

  Raises:
    InputError: when an argument cannot be used, or the file belongs to another
      model.
  """
  out = outputs.parse(args.out, image_stream.KINDS)
  path = pathlib.Path(args.input)
  header, rest = compressed.read_header(path)
  own_images.check_names(header.names, path)
  task, players, step = on_images.open_model(args)
  compressor.check_model(task, players, header, path)
  content = compressed.decode(path, header, rest)
  stream = compressor.decompressed(task, players, content, args.batch_size)
  with outputs.writing(out):
    image_stream.write(out, stream, {'step': step})
  print(f'{out}: {stream.count} images decompressed, step {step}')
