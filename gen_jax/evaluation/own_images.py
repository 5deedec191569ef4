"""Image files of a user, which a trained model is given in batches.

An image is read as those of the training were: its orientation is applied, it
is cropped and resized to the shape of the model or, for a model of any size,
only brought to its channels, and pixels of more than 8 bits become 8 bits in
the range of the training data. A file that cannot be used does not stop the
others.
"""

import collections
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from gen_jax.core import Batch, Players, root_key
from gen_jax.data import inputs
from gen_jax.data.formats import images, listing, pixels
from gen_jax.data.subset import class_index
from gen_jax.errors import InputError
from gen_jax.evaluation.context import Task, filled
from gen_jax.storage import outputs
from gen_jax.storage.image_stream import ImageStream
from gen_jax.storage.images import save_image, to_uint8

_NO_OUTS: Mapping[str, pathlib.Path] = MappingProxyType({})
# Pixels of large images at a time. A network may need 400 bytes for each.
_PIXELS = 2**22
# Configs whose models have a capability, for messages.
_CONFIGS = {
  'reconstruct': 'autoencoder or vae',
  'encode': 'autoencoder or vae',
  'decode': 'autoencoder or vae, without classes',
  'anomaly_scores': 'autoencoder or vae',
  'classify': 'classifier or acgan',
  'translate_ab': 'cyclegan or pix2pix',
  'translate_ba': 'cyclegan',
}


class Listed(NamedTuple):
  """The images that a user gives.

  Attributes:
    root: their folder.
    paths: of the images, in order.
    left_out: other files of the folder.
  """

  root: pathlib.Path
  paths: list[pathlib.Path]
  left_out: list[listing.Entry]

  def name(self, path: pathlib.Path) -> str:
    """Returns the name of an image relative to the folder, with slashes."""
    return path.relative_to(self.root).as_posix()


def find(
  source: pathlib.Path, outs: Mapping[str, pathlib.Path] = _NO_OUTS
) -> Listed:
  """Returns the images of a folder, or one image.

  Args:
    source: a folder, or one image.
    outs: folders that are written, by their flags. What an earlier run wrote
      into them is no input.

  Raises:
    InputError: when there are no images, or the folders are the same.
  """
  if not os.path.exists(source):
    raise InputError(
      f'--input={source}: there is no such folder or image, or it may not be '
      'read.'
    )
  root = source if source.is_dir() else source.parent
  real = pathlib.Path(os.path.realpath(root))
  written = {k: pathlib.Path(os.path.realpath(x)) for k, x in outs.items()}
  for flag, out in outs.items():
    if written[flag] == real:
      raise InputError(f'{flag}={out}: take another folder than --input.')
  if not source.is_dir():
    return Listed(root, [source], [])
  inside = {out for out in written.values() if real in out.parents}
  entries = sorted(
    entry
    for entry in listing.walk(source, strict=False)
    if inside.isdisjoint(pathlib.Path(os.path.realpath(entry.path)).parents)
  )
  left_out = [entry for entry in entries if entry.left_out]
  found = [entry.path for entry in entries if not entry.left_out]
  if not found:
    reasons = ['', *listing.report(root, left_out)]
    raise InputError(f'--input={source} has no images{"; ".join(reasons)}.')
  return Listed(root, found, left_out)


def file_names(
  root: pathlib.Path, paths: Iterable[pathlib.Path]
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


def check_names(names: Sequence[str], file: Any) -> None:
  """Checks names of images that a file holds, before they are written to.

  Raises:
    InputError: unless all of them are different and lie in one folder.
  """
  for name in names:
    path = pathlib.PurePath(name)
    inside = path.parts and not path.anchor and '..' not in path.parts
    if not inside or '\0' in name or not _can_be_a_name(name):
      raise InputError(
        f'--input={file}: the name {name[:100]!r} is not that of a file in the '
        'folder --out.'
      )
  # As paths, since a//b is a/b.
  paths = collections.Counter(map(pathlib.PurePath, names))
  ((name, count),) = paths.most_common(1)
  if count > 1:
    raise InputError(
      f'--input={file}: it has the name {str(name)!r} {count} times.'
    )


def _can_be_a_name(text: str) -> bool:
  try:
    os.fsencode(text)
  except UnicodeEncodeError:
    return False
  return True


def capability(task: Task, name: str) -> Callable[..., Any]:
  """Returns a function of the model.

  Raises:
    InputError: when the model does not have it.
  """
  if name not in task.objective.predict_fns():
    raise InputError(
      f'--workdir: {type(task.objective).__name__} cannot {name!r}. Train a '
      f'model that can, such as --config={_CONFIGS[name]}.'
    )
  return task.predict(name)


def labels(
  task: Task, players: Players, name: str, listed: Listed, label: str | None
) -> dict[pathlib.Path, int]:
  """Returns the class of each image, for a model that is conditioned on it.

  Args:
    task: of the model.
    players: trained.
    name: of the function that is given the images.
    listed: the images.
    label: the class of all images, by name or number. Without it, the first
      folder below the root names the class of an image.

  Returns:
    By image; empty for a model without classes.

  Raises:
    InputError: when a class is unknown, or there are no classes.
  """
  if not task.needs_labels(players, name):
    if label is not None:
      raise InputError(f'--label={label}: this model is given no classes.')
    return {}
  count = task.objective.classes
  names = task.classes[:count]
  if label is not None:
    chosen = class_index(label, names, count, '--label')
    return dict.fromkeys(listed.paths, chosen)
  found, without = {}, []
  for path in listed.paths:
    folder, *rest = path.relative_to(listed.root).parts
    try:
      if not rest:
        raise InputError('no folder')
      found[path] = class_index(folder, names, count, '--label')
    except InputError:
      without.append(listed.name(path))
  if without:
    classes = ', '.join(names or map(str, range(count)))
    raise InputError(
      f'--label: this model needs the class of each image, and '
      f'{len(without)} of {len(listed.paths)} are in no folder that names one '
      f'({classes}): {listing.abbreviate(without)}. Give one --label for all, '
      'or sort the images into such folders.'
    )
  return found


class Given(NamedTuple):
  """A batch of images.

  Attributes:
    images: as they were read, uint8 [B, H, W, C].
    batch: as the networks take them.
    key: of this batch.
  """

  images: np.ndarray
  batch: Batch
  key: jax.Array


class Result(NamedTuple):
  """What was computed of an image.

  Attributes:
    path: of the image.
    value: of the image; None if it failed.
    failure: why it failed, in a few words; '' if it did not.
  """

  path: pathlib.Path
  value: Any = None
  failure: str = ''


@dataclasses.dataclass(frozen=True)
class OwnImages:
  """Image files and how a model is given them.

  Attributes:
    task: of the model.
    paths: of the images.
    batch_size: images at a time, at most; fewer if they are large.
    field: of the batch: 'image', or the domain 'a' or 'b'.
    whole: whether images keep their own size.
    limits: the values that become 0 and 255 in images of more than 8 bits; None
      for those of the training data.
    labels: the class of each image, for a model that needs it.
    seed: of random numbers. They also depend on the position of an image among
      the files and on the batch size.
  """

  task: Task
  paths: Sequence[pathlib.Path]
  batch_size: int
  field: str = 'image'
  whole: bool = False
  limits: pixels.Limits | None = None
  labels: Mapping[pathlib.Path, int] = dataclasses.field(default_factory=dict)
  seed: int = 0

  def each(self, compute: Callable[[Given], Any]) -> Iterator[Result]:
    """Yields what is computed of each image; never are all in memory.

    The order is that of the paths or, for images of different sizes, by size.

    Args:
      compute: returns arrays [B, ...], in any tree.
    """
    key = root_key(self.seed)
    groups, failures = self._groups()
    yield from (Result(path, None, why) for path, why in failures.items())
    # Nothing is shown where nobody watches.
    with tqdm(total=len(self.paths), desc='images', disable=None) as progress:
      progress.update(len(failures))
      for most, group in groups:
        size = min(self.batch_size, len(group), most)
        for start in range(0, len(group), size):
          key, key_batch = jax.random.split(key)
          part = group[start : start + size]
          yield from self._batch(part, size, compute, key_batch)
          progress.update(len(part))

  def _batch(self, paths, size, compute, key) -> Iterator[Result]:
    """Yields the results of a batch, which is filled up to `size` images."""
    found, failures = _attempt(self._read, paths)
    values = {}
    if found:
      x = np.stack(list(found.values()))
      x = np.resize(x, (size, *x.shape[1:]))  # one compiled program
      raw = {self.field: x}
      if self.labels:
        numbers = [self.labels[path] for path in found]
        raw['label'] = np.resize(np.array(numbers, np.int32), size)
      key_prepare, key = jax.random.split(key)
      try:
        batch = self.task.preprocess(raw, key_prepare)
        made = jax.tree.map(np.asarray, compute(Given(x, batch, key)))
        for row, path in enumerate(found):
          values[path] = jax.tree.map(lambda x, row=row: x[row], made)
      except InputError as error:  # the network takes no images of this size
        failures |= dict.fromkeys(found, str(error).rstrip('.'))
      except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
          raise
        why = 'it needs more memory than there is'
        failures |= dict.fromkeys(found, why)
    for path in paths:
      yield Result(path, values.get(path), failures.get(path, ''))

  def _groups(self):
    """Returns images that may go through together, and failures.

    With the images of a group comes how many of them fit into memory.
    """
    if not self.whole:
      return [(self.batch_size, list(self.paths))], {}
    sizes, failures = _attempt(_size, self.paths)
    ordered = sorted(sizes, key=sizes.__getitem__)
    groups = [
      (max(1, _PIXELS // (width * height)), list(paths))
      for (width, height), paths in itertools.groupby(
        ordered, sizes.__getitem__
      )
    ]
    return groups, failures

  def _read(self, path: pathlib.Path) -> np.ndarray:
    shape, _ = self.task.fields[self.field]
    ranges = self.task.ranges.get(self.field, {})
    if self.limits:
      ranges = pixels.fixed(self.limits)
    with inputs.reading(path, '--input'), images.open_image(path) as image:
      if found := images.color_extent(image):
        pixels.check_color(found, self.limits, 'it')
      if self.whole:
        width, height = images.upright_size(image)
        shape = height, width, shape[-1]
      return images.fit(image, images.check_shape(shape), ranges=ranges)


def save(
  results: Iterable[Result], names: Mapping[pathlib.Path, pathlib.Path]
) -> dict[pathlib.Path, str]:
  """Writes the images of results, uint8 [H, W, C]; returns the failures."""
  failures = {}
  for path, image, failure in results:
    if failure:
      failures[path] = failure
      continue
    with outputs.writing(names[path]):
      save_image(names[path], image)
  return failures


def collect(
  results: Iterable[Result],
) -> tuple[list[pathlib.Path], list[Any], dict[pathlib.Path, str]]:
  """Returns the paths and values of results, and the failures."""
  paths, values, failures = [], [], {}
  for path, value, failure in results:
    if failure:
      failures[path] = failure
    else:
      paths.append(path)
      values.append(value)
  return paths, values, failures


def decoded(
  task: Task,
  players: Players,
  latents: np.ndarray,
  names: Sequence[str] | None,
  batch_size: int,
) -> ImageStream:
  """Returns the images of latents.

  Args:
    task: of a model that decodes.
    players: trained.
    latents: [N, Z].
    names: of the images, relative; None to number them.
    batch_size: images at a time.
  """
  decode = capability(task, 'decode')

  def parts() -> Iterator[np.ndarray]:
    for x, count in filled(latents, batch_size):
      made = np.asarray(decode(players, x))[:count]
      yield to_uint8(made, task.objective.pixels)

  if names is None:
    return ImageStream(len(latents), parts())
  files = file_names(pathlib.Path(), map(pathlib.Path, names))
  return ImageStream(len(latents), parts(), names=tuple(files.values()))


def _attempt(
  fn: Callable[[pathlib.Path], Any], paths: Sequence[pathlib.Path]
) -> tuple[dict[pathlib.Path, Any], dict[pathlib.Path, str]]:
  """Returns what a function makes of files, and why it fails on others."""

  def attempt(path):
    try:
      return fn(path), ''
    except InputError as error:
      return None, inputs.reason(error)

  results, failures = {}, {}
  made = images.map_threads(attempt, paths)
  for path, (value, why) in zip(paths, made, strict=True):
    if why:
      failures[path] = why
    else:
      results[path] = value
  return results, failures


def _size(path: pathlib.Path) -> tuple[int, int]:
  with inputs.reading(path, '--input'), images.open_image(path) as image:
    return images.upright_size(image)
