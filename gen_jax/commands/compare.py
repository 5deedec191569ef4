"""Puts runs side by side on one page.

python -m gen_jax compare --workdir=runs/vae --workdir=runs/gan --out=two.html

The page holds its pictures, so that it is one file to send.
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

from gen_jax.commands import cli
from gen_jax.storage import outputs, workdir
from gen_jax.training import report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
  """The arguments."""

  workdir: Annotated[
    tuple[str, ...], 'folder of a run; give it once for each run'
  ]
  out: Annotated[str, 'HTML file to write'] = 'report.html'


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the page."""
  return cli.main(compare, Arguments, __doc__, argv)


def compare(args: Arguments) -> None:
  """Reads the runs and writes `args.out`.

  Raises:
    InputError: when a workdir has no run, or the page cannot be written.
  """
  out = outputs.parse(args.out, (outputs.HTML,))
  runs = [report.read(workdir.folder(path)) for path in args.workdir]
  text = report.page(runs)
  with outputs.writing(out), outputs.replaced(out.path) as partial:
    partial.write_text(text, encoding='utf-8')
  print(f'{out}: {len(args.workdir)} runs')
