"""Translates your own images with a trained model, at any size.

python -m gen_jax.translate --workdir=runs/cyclegan --direction=ab \\
  --input=FOLDER --out=FOLDER

Each image keeps its size and its name, in PNG. Images of one size go through
the network together; a size that has not been met before is compiled first.
Images of more than 8 bits are mapped to 8 bits as the training images are.
"""

import argparse
import collections
import pathlib
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from tqdm import tqdm

from gen_jax import cli, runtime, workdir
from gen_jax.core import Players, averaged
from gen_jax.data import folder, images
from gen_jax.errors import InputError
from gen_jax.evals.suite import make_task
from gen_jax.evals.task import Task, filled
from gen_jax.writer import save_image, to_uint8

_DIRECTIONS = ('ab', 'ba')
_ORIENTATION = 0x0112  # the EXIF tag


def main(argv: Sequence[str] | None = None) -> int:
  """Writes the translations of a folder of images."""
  parser = argparse.ArgumentParser(
    'gen_jax.translate',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--workdir', required=True, help='of a trained run')
  parser.add_argument(
    '--step', type=cli.checkpoint, help="of a checkpoint, or 'best'; the newest"
  )
  parser.add_argument(
    '--direction',
    default='ab',
    help="'ab', from the first domain to the second, or 'ba'",
  )
  parser.add_argument('--input', required=True, help='a folder, or one image')
  parser.add_argument('--out', required=True, help='a folder; made if needed')
  parser.add_argument(
    '--batch_size', type=int, default=4, help='images of one size at a time'
  )
  args = parser.parse_args(argv)
  return cli.run(lambda: translate(args))


def translate(args: argparse.Namespace) -> None:
  """Translates every image below a folder, in batches of one size.

  Raises:
    InputError: an argument cannot be used, or an image cannot be read; those
      before it have been written.
  """
  if args.direction not in _DIRECTIONS:
    raise InputError(f"--direction={args.direction}: expected 'ab' or 'ba'.")
  if args.batch_size < 1:
    raise InputError(f'--batch_size={args.batch_size}: expected 1 or more.')
  names = _names(pathlib.Path(args.input), pathlib.Path(args.out))
  runtime.configure()
  state, experiment = workdir.open_trained(args.workdir, args.step)
  name = args.direction[0]
  task, players = make_task(experiment), averaged(state)
  # Found before the images are read, should this model not translate.
  task.predict(f'translate_{args.direction}')
  source = experiment.train_source
  channels, ranges = source.fields[name][0][-1], source.ranges.get(name, {})
  groups = _by_size(names)
  # Silent where nobody watches.
  with tqdm(total=len(names), desc='images', disable=None) as progress:
    for group in groups:
      for start in range(0, len(group), args.batch_size):
        part = group[start : start + args.batch_size]
        x = np.stack([_read(path, channels, ranges) for path in part])
        size = min(args.batch_size, len(group))
        for path, image in zip(
          part, _apply(task, players, args.direction, x, size), strict=True
        ):
          _write(names[path], image)
          progress.update()
  print(
    f'{args.out}: {len(names)} images, {args.direction}, of step '
    f'{int(state.step)}'
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


def _names(
  source: pathlib.Path, out: pathlib.Path
) -> dict[pathlib.Path, pathlib.Path]:
  """Returns where each image is written, by where it is read."""
  if not source.exists():
    raise InputError(f'--input={source}: there is no such folder or image.')
  if out.exists() and not out.is_dir():
    raise InputError(f'--out={out}: it is not a folder.')
  root = source if source.is_dir() else source.parent
  if root.resolve() == out.resolve():
    raise InputError(f'--out={out}: take another folder than --input.')
  if source.is_file():
    return {source: out / f'{source.stem}.png'}
  # What a run before wrote into a folder within is no input.
  found = sorted(
    path
    for path in folder.walk(source)
    if out.resolve() not in path.resolve().parents
  )
  if not found:
    kinds = ', '.join(sorted(folder.EXTENSIONS))
    raise InputError(f'--input={source} has no images ({kinds}).')
  names = {path: path.relative_to(source).with_suffix('.png') for path in found}
  taken = collections.Counter(names.values())
  for path, name in names.items():
    if taken[name] > 1:  # a.jpg beside a.bmp: they keep their endings
      names[path] = pathlib.Path(f'{path.relative_to(source)}.png')
  return {path: out / name for path, name in names.items()}


def _by_size(paths) -> list[list[pathlib.Path]]:
  """Groups images by their height and width, from their headers alone."""
  groups: dict[tuple[int, int], list[pathlib.Path]] = {}
  for path in paths:
    try:
      with images.open_image(path) as image:
        size = image.size
        if image.getexif().get(_ORIENTATION, 1) >= 5:  # on its side
          size = size[::-1]
    except Exception as error:  # Pillow's are of many kinds
      raise _unreadable(path, error) from error
    groups.setdefault(size, []).append(path)
  return list(groups.values())


def _read(path, channels, ranges):
  try:
    return images.read_whole(path, channels, ranges)
  except Exception as error:
    raise _unreadable(path, error) from error


def _unreadable(path, error):
  reason = str(error) or type(error).__name__
  return InputError(f'--input: {path} cannot be read: {reason}')


def _write(path, image):
  try:
    save_image(path, image)
  except OSError as error:
    raise InputError(f'--out={path}: {error.strerror}.') from error


if __name__ == '__main__':
  raise SystemExit(main())
