"""The kinds of files that can be imported."""

from collections.abc import Callable
from typing import NamedTuple

from gen_jax.importing import (
  cyclegan,
  inception,
  stylegan_lernapparat,
  stylegan_rosinality,
)
from gen_jax.importing.imported import Imported


class Kind(NamedTuple):
  """A network of another program.

  Attributes:
    load: returns the model of files, by flag, and of further options.
    about: what it is, for --help.
    files: how many it may have.
    options: names of its further options.
  """

  load: Callable[..., Imported]
  about: str
  files: int = 1
  options: tuple[str, ...] = ()


KINDS = {
  'cyclegan': Kind(
    cyclegan.load,
    'generators of pytorch-CycleGAN-and-pix2pix with residual blocks',
    files=2,
  ),
  'fid_inception': Kind(inception.load, 'the Inception network of pytorch-fid'),
  'stylegan_lernapparat': Kind(
    stylegan_lernapparat.load,
    'the generator of StyleGAN of lernapparat',
    options=('resolution',),
  ),
  'stylegan_rosinality': Kind(
    stylegan_rosinality.load,
    'the generator of StyleGAN of rosinality',
    options=('resolution',),
  ),
}
