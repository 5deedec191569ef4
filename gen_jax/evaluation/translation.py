"""Translates image files, each of its own size, with a trained model."""

import collections
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from gen_jax.core import Players
from gen_jax.data import inputs
from gen_jax.data.formats import images, listing
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task, filled
from gen_jax.storage import outputs
from gen_jax.storage.images import save_image, to_uint8


def find(
  source: pathlib.Path, out: pathlib.Path
) -> tuple[pathlib.Path, list[pathlib.Path], list[listing.Entry]]:
  """Returns the folder of the images, the images, and what is left out.

  Args:
    source: a folder, or one image.
    out: the folder of the translations. What an earlier run wrote into it is no
      input.

  Raises:
    InputError: when there are no images, or the folders are the same.
  """
  if not source.exists():
    raise InputError(f'--input={source}: there is no such folder or image.')
  root = source if source.is_dir() else source.parent
  if root.resolve() == out.resolve():
    raise InputError(f'--out={out}: take another folder than --input.')
  if not source.is_dir():
    return root, [source], []
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


def file_names(
  root: pathlib.Path, paths: Sequence[pathlib.Path]
) -> dict[pathlib.Path, str]:
  """Returns the name of each image in PNG; no two have the same one."""
  names, whole = {}, {}
  for path in paths:
    name = path.relative_to(root)
    whole[path] = f'{name}.png'  # unique, as the files are
    usual = name.suffix.lower() in listing.EXTENSIONS
    names[path] = str(name.with_suffix('.png')) if usual else whole[path]
  while True:
    taken = collections.Counter(name.lower() for name in names.values())
    doubled = {
      path: whole[path]
      for path, name in names.items()
      if taken[name.lower()] > 1 and name != whole[path]
    }
    if not doubled:
      return names
    names |= doubled


def translate(
  task: Task,
  players: Players,
  direction: str,
  names: Mapping[pathlib.Path, pathlib.Path],
  batch_size: int,
) -> dict[pathlib.Path, str]:
  """Writes the translations, in batches of images of one size.

  Args:
    task: of the model.
    players: trained.
    direction: 'ab' or 'ba'.
    names: where the translation of each image is written.
    batch_size: images of one size at a time.

  Returns:
    Why images could not be translated, by image.

  Raises:
    InputError: when the model does not translate, or a file cannot be written.
  """
  name, fn = direction[0], task.predict(f'translate_{direction}')
  channels = task.fields[name][0][-1]
  ranges = task.described.ranges.get(name, {}) if task.described else {}
  read = functools.partial(images.read_whole, channels=channels, ranges=ranges)
  sizes, failures = _attempt(_size, names)
  by_size = itertools.groupby(sorted(sizes, key=sizes.__getitem__), sizes.get)
  # Nothing is shown where nobody watches.
  with tqdm(total=len(sizes), desc='images', disable=None) as progress:
    for _, paths in by_size:
      group = list(paths)
      for start in range(0, len(group), batch_size):
        part = group[start : start + batch_size]
        progress.update(len(part))
        found, unreadable = _attempt(read, part)
        failures |= unreadable
        if not found:
          continue
        x = np.stack(list(found.values()))
        try:
          made = list(apply(task, players, fn, name, x, batch_size))
        except InputError as error:  # the network takes no images of this size
          failures |= dict.fromkeys(found, str(error).rstrip('.'))
          continue
        for path, image in zip(found, made, strict=True):
          with outputs.writing(names[path]):
            save_image(names[path], image)
  return failures


def apply(
  task: Task,
  players: Players,
  fn: Callable[..., Any],
  name: str,
  x: np.ndarray,
  size: int,
) -> Iterator[np.ndarray]:
  """Yields the translations of images of one size, uint8 [H, W, K].

  Args:
    task: of the model.
    players: trained.
    fn: one of its translations.
    name: of the domain of the images.
    x: uint8 [N, H, W, C].
    size: images at a time.
  """
  for part, count in filled(x, size):
    batch = task.preprocess({name: part}, jax.random.key(0))
    yield from to_uint8(fn(players, batch), task.objective.pixels)[:count]


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
