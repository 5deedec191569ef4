"""All commands: `python -m gen_jax COMMAND`, or `gen_jax COMMAND`."""

from gen_jax.runtime import startup

if __name__ == '__main__':
  startup.begin()

import importlib
import keyword
import sys
from collections.abc import Sequence

from gen_jax.errors import InputError, nearest
from gen_jax.runtime import reporting

COMMANDS = {
  'configs': 'lists the configs of the package, or prints one',
  'zoo': 'lists the trained models of the package, or describes one',
  'train': 'trains what a config describes, or continues a run',
  'sample': 'generates images with a trained model',
  'evaluate': 'measures a trained model',
  'compare': 'puts several runs side by side on one page',
  'sweep': 'trains a config over several values of its fields',
  'translate': 'translates a folder of images with a trained model',
  'reconstruct': 'writes your own images after encoding and decoding',
  'denoise': 'removes noise from your own images',
  'encode': 'writes the latents of your own images',
  'decode': 'writes the images of latents',
  'compress': 'writes your own images as one small file of latents',
  'decompress': 'writes the images of such a file',
  'score': 'scores how unfamiliar your own images are to a model',
  'classify': 'names the classes of your own images',
  'project': 'finds the latents of given images',
  'publish': 'writes a trained model to one file, which is used like a workdir',
  'import': 'turns weights of other programs into such a file',
  'export': 'writes a trained model as a program, or its parameters',
  'classification_score': 'trains a classifier on samples of a model',
  'cost': 'states the memory and the operations of a training step',
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command and returns its exit code."""
  arguments = list(sys.argv[1:] if argv is None else argv)
  name = arguments.pop(0) if arguments else '--help'
  if name in ('-h', '--help'):
    return reporting.run(_print_help)
  if name not in COMMANDS:
    return reporting.run(lambda: _refuse(name))
  return importlib.import_module(module_of(name)).main(arguments)


def module_of(name: str) -> str:
  """Returns the module of a command."""
  if name == 'train':
    return 'gen_jax.main'
  # A module cannot have the name of a statement.
  return f'gen_jax.commands.{name}{"_" if keyword.iskeyword(name) else ""}'


def _print_help() -> None:
  print('usage: gen_jax COMMAND [arguments]\n')
  for name, text in COMMANDS.items():
    print(f'  {name:<20} {text}')
  print('\n`gen_jax COMMAND --help` describes the arguments of a command.')


def _refuse(name: str) -> None:
  raise InputError(
    f'{name}: there is no such command.{nearest(name, COMMANDS)}'
  )


def console() -> None:
  """Runs the installed command `gen_jax`."""
  startup.begin()
  reporting.exit(main())


if __name__ == '__main__':
  reporting.exit(main())
