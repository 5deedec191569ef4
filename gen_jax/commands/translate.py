"""Translates your own images with a trained model, at any size.

python -m gen_jax translate --workdir=runs/cyclegan --direction=ab \\
  --input=FOLDER --out=FOLDER

Each image keeps its size and its name, in PNG: `a.jpg` becomes `a.png`. Images
that would be written to one file keep their own endings, `a.jpg.png`. Images of
one size go through the network together; a size that has not been met before is
compiled first. Images of more than 8 bits are mapped to 8 bits as the training
images are. An image that cannot be translated does not stop the others; those
that failed are named at the end, and the exit code is 2.
"""

import argparse
import collections
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from gen_jax.commands import cli
from gen_jax.core import Players, averaged
from gen_jax.data import inputs
from gen_jax.data.formats import images, listing
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task, filled
from gen_jax.runtime import settings
from gen_jax.storage import outputs
from gen_jax.storage.images import save_image, to_uint8
from gen_jax.training import tasks, trained

_DIRECTIONS = ('ab', 'ba')


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the translations of a folder of images."""
  parser = cli.Parser(
    'gen_jax translate',
    description=__doc__,
  )
  parser.add_trained_run()
  parser.add_argument(
    '--direction',
    default='ab',
    help="'ab', from the first domain to the second, or 'ba'",
  )
  parser.add_argument('--input', required=True, help='a folder, or one image')
  parser.add_argument('--out', required=True, help='a folder; made if needed')
  parser.add_argument(
    '--batch_size',
    type=cli.number(int, 1),
    default=4,
    help='images of one size at a time',
  )
  return cli.run(lambda: translate(parser.parse_args(argv)))


def translate(args: argparse.Namespace) -> None:
  """Translates every image below a folder, in batches of one size.

  Raises:
    InputError: an argument cannot be used, or some images could not be
      translated; the others have been written.
  """
  if args.direction not in _DIRECTIONS:
    raise InputError(f"--direction={args.direction}: expected 'ab' or 'ba'.")
  source = pathlib.Path(args.input)
  out = outputs.parse(args.out, (outputs.FOLDER,)).path
  root, paths, left_out = _find(source, out)
  names = {k: out / v for k, v in _names(root, paths).items()}
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step)
  name = args.direction[0]
  task, players = tasks.make_task(experiment), averaged(state)
  # Found before the images are read, should this model not translate.
  task.predict(f'translate_{args.direction}')
  data = experiment.described
  channels, ranges = data.fields[name][0][-1], data.ranges.get(name, {})
  read = functools.partial(images.read_whole, channels=channels, ranges=ranges)
  sizes, failures = _attempt(_size, names)
  # NullWriter where nobody watches.
  with tqdm(total=len(sizes), desc='images', disable=None) as progress:
    for group in _groups(sizes):
      for start in range(0, len(group), args.batch_size):
        part = group[start : start + args.batch_size]
        progress.update(len(part))
        found, unreadable = _attempt(read, part)
        failures |= unreadable
        if not found:
          continue
        x = np.stack(list(found.values()))
        size = min(args.batch_size, len(group))
        try:
          made = list(_apply(task, players, args.direction, x, size))
        except InputError as error:  # the network takes no images of this size
          failures |= dict.fromkeys(found, str(error).rstrip('.'))
          continue
        for path, image in zip(found, made, strict=True):
          with outputs.writing(names[path]):
            save_image(names[path], image)
  print(
    f'{args.out}: {len(names) - len(failures)} images, {args.direction}, of '
    f'step {int(state.step)}'
  )
  for line in listing.report(root, left_out):
    print(line)
  if failures:
    print(*(f'{path}: {why}' for path, why in failures.items()), sep='\n')
    raise InputError(
      f'--input: {len(failures)} of {len(names)} images were not translated: '
      + listing.abbreviate([f'{k} ({why})' for k, why in failures.items()])
    )


def _apply(
  task: Task, players: Players, direction: str, x: np.ndarray, size: int
) -> Iterator[np.ndarray]:
  """Yields the translations of uint8 [N, H, W, C], uint8 [H, W, K]."""
  name, fn = direction[0], task.predict(f'translate_{direction}')
  for part, count in filled(x, size):
    batch = task.preprocess({name: part}, jax.random.key(0))
    made = to_uint8(fn(players, batch), task.objective.pixels)
    yield from made[:count]


def _find(
  source: pathlib.Path, out: pathlib.Path
) -> tuple[pathlib.Path, list[pathlib.Path], list[listing.Entry]]:
  """Returns the folder of the images, the images, and what is left out."""
  if not source.exists():
    raise InputError(f'--input={source}: there is no such folder or image.')
  root = source if source.is_dir() else source.parent
  if root.resolve() == out.resolve():
    raise InputError(f'--out={out}: take another folder than --input.')
  if not source.is_dir():
    return root, [source], []
  # What a run before wrote into a folder within is no input.
  entries = sorted(
    entry
    for entry in listing.walk(source)
    if out.resolve() not in entry.path.resolve().parents
  )
  left_out = [entry for entry in entries if entry.left_out]
  found = [entry.path for entry in entries if not entry.left_out]
  if not found:
    reasons = ['', *listing.report(root, left_out)]
    raise InputError(f'--input={source} has no images{"; ".join(reasons)}.')
  return root, found, left_out


def _names(
  root: pathlib.Path, paths: Sequence[pathlib.Path]
) -> dict[pathlib.Path, str]:
  """Returns the name of each image in PNG; no two have the same one."""
  names, whole = {}, {}
  for path in paths:
    name = path.relative_to(root)
    usual = name.suffix.lower() in listing.EXTENSIONS
    names[path] = str(name.with_suffix('.png') if usual else f'{name}.png')
    whole[path] = f'{name}.png'  # unique, as the files are
  while True:
    taken = collections.Counter(name.lower() for name in names.values())
    doubled = [
      path
      for path, name in names.items()
      if taken[name.lower()] > 1 and name != whole[path]
    ]
    if not doubled:
      return names
    names |= {path: whole[path] for path in doubled}


def _attempt(
  fn: Callable[[pathlib.Path], Any], paths: Iterable[pathlib.Path]
) -> tuple[dict[pathlib.Path, Any], dict[pathlib.Path, str]]:
  """Returns what a function makes of files, and why it fails on others."""
  results, failures = {}, {}
  for path in paths:
    try:
      results[path] = fn(path)
    except InputError as error:
      failures[path] = inputs.reason(error)
  return results, failures


def _size(path: pathlib.Path) -> tuple[int, int]:
  with inputs.reading(path, '--input'), images.open_image(path) as image:
    return images.upright_size(image)


def _groups(
  sizes: Mapping[pathlib.Path, tuple[int, int]],
) -> list[list[pathlib.Path]]:
  """Returns the images of each size."""
  groups: dict[tuple[int, int], list[pathlib.Path]] = {}
  for path, size in sizes.items():
    groups.setdefault(size, []).append(path)
  return list(groups.values())
