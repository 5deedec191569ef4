"""Draws from a trained model.

python -m gen_jax sample --workdir=runs/vae --num=64 --out=samples.png

A model that draws captions is given them, a row of pictures for each, or the
way from each to the next:

python -m gen_jax sample --workdir=runs/stackgan --text="a red heart" --num=8
python -m gen_jax sample --workdir=runs/stackgan --text="a red heart" \
  --text="a blue book" --between=8 --num=4

A model that cannot sample but can encode and decode, such as a plain
autoencoder, draws from a mixture of Gaussians over its training codes.
"""

import argparse
import dataclasses
import itertools
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from gen_jax import config as config_lib
from gen_jax.commands import cli
from gen_jax.core import averaged, root_key
from gen_jax.data.subset import class_index
from gen_jax.data.text import captions
from gen_jax.errors import InputError
from gen_jax.evaluation.figures import captioned
from gen_jax.evaluation.metrics import mixture
from gen_jax.runtime import settings
from gen_jax.storage import outputs, plot
from gen_jax.storage.images import Sheet, encode_png, save_image, to_uint8
from gen_jax.training import tasks, trained

_KINDS = (outputs.PICTURE, outputs.NPZ, outputs.FOLDER)
_BATCH = 64  # images in one dispatch: one compiled program for any --num
_LABELS = 2**16  # that are written at a time
_IMAGES = 4096  # in one picture
_POINTS = 1_000_000
_COMPONENTS = 50
_CODES = 10_000  # training images to which a mixture is fitted


def main(argv: Sequence[str] | None = None) -> int:
  """Writes samples of the newest or a chosen checkpoint."""
  parser = cli.Parser('gen_jax sample', description=__doc__)
  parser.add_trained_run()
  parser.add_argument(
    '--num', type=cli.number(int, 1), default=64, help='of images'
  )
  parser.add_argument('--seed', type=cli.seed, default=0)
  parser.add_argument(
    '--label', help='the class asked for, by name or number; all if not given'
  )
  parser.add_argument(
    '--text',
    action='append',
    default=[],
    help='a caption that is drawn --num times; may be given again',
  )
  parser.add_argument(
    '--between',
    type=cli.number(int, 0),
    default=0,
    help='pictures of the way from each --text to the next; 0 for none',
  )
  parser.add_argument(
    '--components',
    type=cli.number(int, 1),
    help='draw from a mixture of so many Gaussians over the training codes; '
    f'{_COMPONENTS} for a model without a sampler of its own',
  )
  parser.add_argument(
    '--psi',
    type=cli.number(float),
    help='truncation of w, 0 to 1: objective.truncation_psi of a StyleGAN',
  )
  parser.add_argument(
    '--cutoff',
    type=cli.number(int, 0),
    help='number of layers that are truncated; 0 for all',
  )
  parser.add_argument(
    '--out',
    default='samples.png',
    help='a picture of all (.png, .jpg, ...), a folder of pictures, whose name '
    'ends with /, or uint8 images [N, H, W, C] (.npz), of points float32 '
    '[N, 1, 1, 2], and the labels [N] that were asked for',
  )
  return cli.run(lambda: sample(*parser.read(argv)))


def sample(
  args: argparse.Namespace, overrides: Sequence[tuple[str, str]] = ()
) -> None:
  """Draws `args.num` images; the first ones do not depend on the number.

  A mixture is fitted to the training images: `overrides` say where these are
  now. Otherwise no data set is opened.
  """
  out = outputs.parse(args.out, _KINDS)
  for field, _ in overrides:
    if not config_lib.is_place(field):
      raise InputError(
        f'--config.{field}: only where the data are may change, such as '
        '--config.data.path.'
      )
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step, overrides)
  players, key = averaged(state), root_key(args.seed)
  objective = _truncated(experiment.objective, args)
  if args.text or 'generate' in objective.predict_fns():
    drawing = _illustrate(experiment, players, args, key)
  else:
    labels = _labels(experiment, args)
    draw = _sampler(objective, experiment, players, labels, args.components)
    drawing = _draw(draw, players, args.num, labels, key, objective.pixels)
  about = {'step': int(state.step), 'seed': args.seed}
  with outputs.writing(out):
    _write(out, drawing, about)
  print(f'{out}: {drawing.count} samples of step {int(state.step)}')


@dataclasses.dataclass(frozen=True)
class _Drawing:
  """Images that are drawn when they are asked for.

  Attributes:
    count: of all images.
    parts: indices [N] and images, uint8 [N, H, W, C] or points float32
      [N, 1, 1, 2], of each dispatch.
    dispatches: how many parts there are.
    columns: of a picture of all; None for about as many as rows.
    labels: `(start, stop) -> classes [stop - start]`, or None without classes.
    in_order: whether the indices ascend.
  """

  count: int
  parts: Iterator[tuple[np.ndarray, np.ndarray]]
  dispatches: int
  columns: int | None = None
  labels: Callable[[int, int], np.ndarray] | None = None
  in_order: bool = True


def _write(out: outputs.Out, drawing: _Drawing, about: dict[str, int]) -> None:
  """Writes all images; only a picture needs them at once."""
  parts = _shown(drawing)
  first = next(parts)
  _check(out, drawing, first[1])
  parts, shape = itertools.chain([first], parts), first[1].shape[1:]
  if out.kind == outputs.FOLDER:
    for indices, images in parts:
      for index, image in zip(indices, images, strict=True):
        save_image(out.path / f'{index:06d}.png', image)
  elif out.kind == outputs.NPZ:
    _write_npz(out.path, drawing, parts, first[1], about)
  elif plot.is_points(first[1]):
    points = np.concatenate([points for _, points in parts])
    save_image(out.path, plot.scatter(points))
  else:
    sheet = Sheet(drawing.count, shape, drawing.columns)
    for indices, images in parts:
      for index, image in zip(indices, images, strict=True):
        sheet.place(int(index), image)
    save_image(out.path, sheet.pixels)


def _shown(drawing):
  """Yields the parts, and shows in a terminal how far they are."""
  quiet = True if drawing.dispatches < 5 else None
  with tqdm(total=drawing.count, desc='samples', disable=quiet) as progress:
    for indices, images in drawing.parts:
      yield indices, images
      progress.update(len(images))


def _write_npz(path, drawing, parts, first, about):
  path.parent.mkdir(parents=True, exist_ok=True)
  if drawing.in_order:
    rows = (images for _, images in parts)
  else:
    rows = outputs.in_order(parts, path.parent)
  shape = drawing.count, *first.shape[1:]
  arrays = {'images': outputs.Stream(shape, first.dtype, rows), **about}
  if drawing.labels is not None:
    starts = range(0, drawing.count, _LABELS)
    labels = (
      drawing.labels(start, min(start + _LABELS, drawing.count))
      for start in starts
    )
    arrays['labels'] = outputs.Stream((drawing.count,), np.int32, labels)
  outputs.write_npz(path, arrays)


def _check(out: outputs.Out, drawing: _Drawing, first: np.ndarray) -> None:
  """Raises InputError for more images than a picture or a disk can hold."""
  count, points = drawing.count, plot.is_points(first)
  other = 'Take fewer images, or write --out=NAME.npz or a folder, --out=NAME/.'
  if out.kind == outputs.FOLDER and points:
    raise InputError(
      f'--out={out}: this model draws points, which are no images: write '
      '--out=NAME.png or --out=NAME.npz.'
    )
  if out.kind == outputs.PICTURE:
    if points:
      most, other = _POINTS, 'Take fewer points, or write --out=NAME.npz.'
    else:
      height, width = (size + 2 for size in first.shape[1:3])  # with the edge
      # Readers take a larger picture for an attack.
      most = min(_IMAGES, Image.MAX_IMAGE_PIXELS // (height * width))
    if count > max(most, 1):
      raise InputError(
        f'--out={out}: a picture holds {max(most, 1):,} of these samples at '
        f'most, and {count:,} are asked for. {other}'
      )
  few = first[: max(1, 2**22 // first[0].nbytes)]  # compressed in no time
  if out.kind == outputs.FOLDER:
    sizes = [outputs.on_disk(len(encode_png(image))) for image in few]
    size = count * sum(sizes) / len(few)
  else:
    size = count * len(zlib.compress(few.tobytes())) / len(few)
    if out.kind == outputs.NPZ and not drawing.in_order:
      size += count * first[0].nbytes
  outputs.check_room(out, size, 'Take fewer images, or another disk.')


def _draw(draw, players, num, labels, key, pixels) -> _Drawing:
  """Images of a model, of given classes if it has classes."""

  def parts():
    for index, start in enumerate(range(0, num, _BATCH)):
      key_part = jax.random.fold_in(key, index)
      if labels is None:
        made = draw(players, key=key_part, num=_BATCH)
      else:
        known = labels(start, min(start + _BATCH, num))
        made = draw(players, np.resize(known, _BATCH), key=key_part)
      made = np.asarray(made)[: num - start]
      if not plot.is_points(made):
        made = to_uint8(made, pixels)
      yield np.arange(start, start + len(made)), made

  return _Drawing(num, parts(), -(-num // _BATCH), labels=labels)


def _illustrate(experiment, players, args, key) -> _Drawing:
  """Images of what --text says, in rows."""
  task = tasks.make_task(experiment)
  texts = _read_texts(experiment, task, players, args)
  if args.between:
    return _between(task, players, texts, args, key)
  rows, num = len(texts), args.num

  def parts():
    # A column of its own draws, so that the first do not depend on the number.
    for column in range(num):
      key_column = jax.random.fold_in(key, column)
      made = captioned.draw(task, players, texts, key_column)
      yield np.arange(rows) * num + column, to_uint8(made, 'unit')

  return _Drawing(rows * num, parts(), num, num, in_order=rows == 1)


def _between(task, players, texts, args, key) -> _Drawing:
  """Images on the way between captions; a row has one code."""
  columns = (len(texts) - 1) * args.between

  def parts():
    for index, start in enumerate(range(0, args.num, _BATCH)):
      rows = min(_BATCH, args.num)  # one compiled program
      key_part = jax.random.fold_in(key, index) if index else key
      made = captioned.between(
        task, players, texts, rows, args.between, key_part
      )
      made = made[: args.num - start].reshape(-1, *made.shape[2:])
      first = start * columns
      yield np.arange(first, first + len(made)), to_uint8(made, 'unit')

  dispatches = -(-args.num // _BATCH) * columns
  return _Drawing(args.num * columns, parts(), dispatches, columns)


def _read_texts(experiment, task, players, args):
  """Vectors of the captions, [N, E]."""
  objective, data = experiment.objective, experiment.config.data
  if 'generate' not in objective.predict_fns():
    raise InputError(
      f'--text: {type(objective).__name__} draws no pictures of captions.'
    )
  if not args.text:
    raise InputError('this model draws captions: give one or more of --text.')
  if args.between and (args.between < 2 or len(args.text) < 2):
    raise InputError(
      f'--between={args.between}: expected 2 or more, and two of --text.'
    )
  fields = captions.read(args.text, data)
  if objective.text.field not in fields:
    raise InputError(
      '--text: this model reads vectors of captions from a file, not words.'
    )
  for text in args.text:
    cut = objective.text.field == 'text'
    if cut and len(captions.split(text)) > data.words:
      print(
        f'--text="{text[:40]}...": its first {data.words} words are read.',
        file=sys.stderr,
      )
  return captioned.read(task, players, fields)


def _labels(experiment, args):
  """Returns `(start, stop) -> classes`, or None for a model without classes."""
  if 'sample_classes' not in experiment.objective.predict_fns():
    if args.label is not None:
      raise InputError(f'--label={args.label}: this model knows no classes.')
    return None
  count = experiment.objective.classes
  if args.label is None:
    return lambda *bounds: (np.arange(*bounds) % count).astype(np.int32)
  names = experiment.described.classes[:count]  # others may be unknown
  label = class_index(args.label, names, count, '--label')
  return lambda start, stop: np.full(stop - start, label, np.int32)


def _truncated(objective, args):
  """Returns the objective with the truncation of --psi and --cutoff."""
  declared = {field.name for field in dataclasses.fields(objective)}
  given = {}
  for flag, value in (('psi', args.psi), ('cutoff', args.cutoff)):
    if value is None:
      continue
    if f'truncation_{flag}' not in declared:
      raise InputError(
        f'--{flag}={value}: {type(objective).__name__} has no truncation.'
      )
    given[f'truncation_{flag}'] = value
  return dataclasses.replace(objective, **given)


def _sampler(objective, experiment, players, labels, components):
  """Returns `(players, *, key, num) -> images`, with `labels` for `num`."""
  fns = objective.predict_fns()
  if labels is not None and components is None:
    return jax.jit(fns['sample_classes'])
  if 'sample' in fns and components is None:
    return jax.jit(fns['sample'], static_argnames='num')
  if not {'encode', 'decode'} <= set(fns):
    raise InputError(
      f'{type(objective).__name__} cannot '
      + ('be sampled.' if components is None else 'decode: no --components.')
    )
  if components is None:
    components = _COMPONENTS
  task = tasks.make_task(experiment)
  return mixture.sampler(task, players, components, _CODES, '--components')
