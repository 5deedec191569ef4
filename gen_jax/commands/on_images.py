"""What the commands have in common that take images of a user."""

import csv
import dataclasses
import io
import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from gen_jax.commands import cli
from gen_jax.core import Players, averaged
from gen_jax.data.formats import listing, pixels
from gen_jax.errors import InputError
from gen_jax.evaluation import image_sizes, own_images
from gen_jax.evaluation.context import Task
from gen_jax.registry.fields import Seed, Size
from gen_jax.runtime import settings
from gen_jax.storage import outputs
from gen_jax.training import tasks, trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun):
  """The arguments of all of them."""

  input: Annotated[str, 'image file, or folder of images']
  batch_size: Annotated[Size, 'images at a time; fewer if they are large'] = 64
  range: Annotated[
    str | None,
    'values of black and white in images of more than 8 bits, such as 0,65535 '
    '(default: those of the training data)',
  ] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditioned(Arguments):
  """The arguments where a model may need the class of each image."""

  seed: Annotated[Seed, 'seed of the random numbers, 0 or more'] = 0
  label: Annotated[
    str | None,
    'class of all images, by name or number, for a model that is conditioned '
    'on it (default: the name of the folder of each image)',
  ] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoding(cli.TrainedRun):
  """The arguments of commands that make images of latents."""

  out: Annotated[
    str,
    'what to write: a folder of pictures (NAME/), a picture of all images '
    '(.png, .jpg, ...), or an array of uint8 [N, H, W, C] (.npz)',
  ]
  batch_size: Annotated[Size, 'images at a time'] = 64


class Opened(NamedTuple):
  """A trained model, and the images that it is given.

  Attributes:
    task: of the model.
    players: trained.
    step: of the checkpoint.
    listed: the files.
    images: the same, ready to be read.
  """

  task: Task
  players: Players
  step: int
  listed: own_images.Listed
  images: own_images.OwnImages

  def names(self, folder: pathlib.Path) -> dict[pathlib.Path, pathlib.Path]:
    """Returns where the picture of each image is written."""
    names = own_images.file_names(self.listed.root, self.listed.paths)
    return {path: folder / name for path, name in names.items()}


def open_model(args: cli.TrainedRun) -> tuple[Task, Players, int]:
  """Returns the task of a trained model, its players and its step."""
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step)
  return tasks.make_task(experiment), averaged(state), int(state.step)


def open_all(
  args: Arguments,
  capability: str,
  outs: Mapping[str, pathlib.Path] | None = None,
  *,
  field: str = 'image',
  whole: bool = False,
) -> Opened:
  """Returns the model and the images of a command.

  Args:
    args: of the command.
    capability: what the model does with the images.
    outs: folders that are written, by their flags.
    field: of the batch: 'image', or the domain 'a' or 'b'.
    whole: whether images keep their own size.

  Raises:
    InputError: when the model cannot do it, or there are no images.
  """
  if not args.input:  # which would be this folder
    raise InputError('--input=: there is no such folder or image.')
  limits = _limits(args.range)
  listed = own_images.find(pathlib.Path(args.input), outs or {})
  task, players, step = open_model(args)
  own_images.capability(task, capability)
  classes, seed = {}, 0
  if isinstance(args, Conditioned):
    seed = args.seed
    classes = own_images.labels(task, players, capability, listed, args.label)
  images = own_images.OwnImages(
    task, listed.paths, args.batch_size, field, whole, limits, classes, seed
  )
  return Opened(task, players, step, listed, images)


def open_any_size(
  args: Arguments, capability: str, outs: Mapping[str, pathlib.Path]
) -> Opened:
  """Returns the model and the images, of their own size if it takes any.

  Args:
    args: of the command.
    capability: what the model does with the images.
    outs: folders that are written, by their flags.

  Raises:
    InputError: when the model cannot do it, or there are no images.
  """
  opened = open_all(args, capability, outs)
  if not image_sizes.takes_any(opened.task, opened.players):
    return opened
  images = dataclasses.replace(opened.images, whole=True)
  return opened._replace(images=images)


def write_table(
  out: outputs.Out, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
  """Writes a table as CSV, if it has rows; returns their number."""
  count, rows = 0, iter(rows)
  first = next(rows, None)
  if first is None:
    return 0
  with (
    outputs.writing(out),
    outputs.replaced(out.path) as partial,
    partial.open('wb') as raw,  # in a cloud it takes no other arguments
    # Names of files may be no Unicode.
    io.TextIOWrapper(raw, 'utf-8', 'surrogateescape', newline='') as file,
  ):
    writer = csv.writer(file)
    writer.writerow(header)
    for row in itertools.chain([first], rows):
      writer.writerow(row)
      count += 1
  return count


def finish(
  listed: own_images.Listed,
  failures: Mapping[pathlib.Path, str],
  done: str,
  line: str,
) -> None:
  """Prints what was done and what is left out.

  Args:
    listed: the files.
    failures: why images failed.
    done: what was to be done with them, such as 'translated'.
    line: about the others.

  Raises:
    InputError: some images failed; the others have been written.
  """
  print(line)
  for left_out in listing.report(listed.root, listed.left_out):
    print(printable(left_out))
  if failures:
    named = [f'{printable(str(path))}: {why}' for path, why in failures.items()]
    print(*named, sep='\n')
    shown = [f'{printable(str(p))} ({why})' for p, why in failures.items()]
    raise InputError(
      f'--input: {len(failures)} of {len(listed.paths)} images were not {done}:'
      f' {listing.abbreviate(shown)}'
    )


def _limits(text: str | None) -> pixels.Limits | None:
  if text is None:
    return None
  try:
    low, high = map(float, text.split(','))
    return pixels.check_range((low, high))
  except ValueError:
    raise InputError(
      f'--range={text}: expected the values of black and white, such as '
      '0,65535.'
    ) from None


def printable(name: str) -> str:
  """Returns a name of a file for a message."""
  # Names of files may be no Unicode, or have codes for the terminal.
  return ''.join(c if c.isprintable() else '?' for c in name)
