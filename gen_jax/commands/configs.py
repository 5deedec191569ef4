"""Lists the configs of the package with their variants, or prints one.

python -m gen_jax configs
python -m gen_jax configs vae > my_vae.py

`--config=vae` trains the config of the package, `--config=vae:dense` a variant
of it, and `--config=my_vae.py` your own.
"""

import ast
import dataclasses
import re
import textwrap
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from gen_jax.commands import cli
from gen_jax.config import files
from gen_jax.errors import InputError, nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """The arguments."""

  name: Annotated[str, 'config to print; given without --name=, too'] = ''


class Description(NamedTuple):
  """What the docstring of a config says.

  Attributes:
    summary: its first line.
    variants: a text for each.
  """

  summary: str
  variants: dict[str, str]


def main(argv: Sequence[str] | None = None) -> int:
  """Lists the configs, or prints the one that is named."""
  return cli.main(configs, Arguments, __doc__, cli.naming(argv))


def configs(args: Arguments) -> None:
  """Prints the list, or the file of one config.

  Raises:
    InputError: there is no config of this name.
  """
  known = files.packaged()
  if args.name:
    if args.name not in known:
      raise InputError(
        f'{args.name}: the package has no such config.'
        f'{nearest(args.name, known)} `gen_jax configs` lists all.'
      )
    print(known[args.name].read_text(), end='')
    return
  for name, path in known.items():
    found = describe(path.read_text())
    print(f'{name:<24}{found.summary}')
    for variant, text in found.variants.items():
      print(f'  {name}:{variant}'.ljust(34) + text)


def describe(text: str) -> Description:
  """Returns what a config file says of itself, without running it."""
  about = ast.get_docstring(ast.parse(text)) or ''
  _, _, rest = about.partition('\nVariants:\n')
  listed = textwrap.dedent(re.split(r'\n\S', rest)[0])
  variants = {
    name: ' '.join(words.split())
    for names, words in re.findall(r'^([\w, ]+): (.*(?:\n +.*)*)', listed, re.M)
    for name in names.split(', ')
  }
  return Description(about.partition('\n')[0], variants)
