"""Draws from a trained model.

python -m gen_jax.sample --workdir=runs/vae --num=64 --out=samples.png

A model that draws captions is given them, a row of pictures for each, or the
way from each to the next:

python -m gen_jax.sample --workdir=runs/stackgan --text="a red heart" --num=8
python -m gen_jax.sample --workdir=runs/stackgan --text="a red heart" \
  --text="a blue book" --between=8 --num=4

A model that cannot sample but can encode and decode, such as a plain
autoencoder, draws from a mixture of Gaussians over its training codes.
"""

import argparse
import dataclasses
import inspect
import pathlib
import sys
from collections.abc import Sequence

import jax
import numpy as np

from gen_jax import cli, plot, runtime, workdir
from gen_jax.core import averaged
from gen_jax.data import captions
from gen_jax.data.selection import class_index
from gen_jax.errors import InputError
from gen_jax.evals import captioned, mixture
from gen_jax.evals.suite import make_task
from gen_jax.writer import grid, save_image, to_uint8

_BATCH = 64  # images in one dispatch: one compiled program for any --num
_COMPONENTS = 50
_CODES = 10_000  # training images to which a mixture is fitted


def main(argv: Sequence[str] | None = None) -> int:
  """Writes samples of the newest or a chosen checkpoint."""
  parser = argparse.ArgumentParser('gen_jax.sample', description=__doc__)
  parser.add_argument('--workdir', required=True, help='of a trained run')
  parser.add_argument(
    '--step', type=cli.checkpoint, help="of a checkpoint, or 'best'; the newest"
  )
  parser.add_argument('--num', type=int, default=64, help='of images')
  parser.add_argument('--seed', type=int, default=0)
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
    type=int,
    default=0,
    help='pictures of the way from each --text to the next; 0 for none',
  )
  parser.add_argument(
    '--components',
    type=int,
    help='draw from a mixture of so many Gaussians over the training codes; '
    f'{_COMPONENTS} for a model without a sampler of its own',
  )
  parser.add_argument(
    '--psi', type=float, help='truncation, of a model with styles: 0 to 1'
  )
  parser.add_argument(
    '--cutoff', type=int, help='layers that are truncated; 0 for all'
  )
  parser.add_argument(
    '--out',
    default='samples.png',
    help='a picture (.png), or uint8 images [N, H, W, C] (.npz), of points '
    'float32 [N, 1, 1, 2], and the labels [N] that were asked for',
  )
  args = parser.parse_args(argv)
  return cli.run(lambda: sample(args))


def sample(args: argparse.Namespace) -> None:
  """Draws `args.num` images; the first ones do not depend on the number."""
  out = pathlib.Path(args.out)
  if out.suffix not in ('.png', '.npz'):
    raise InputError(f'--out={out}: expected a name in .png or .npz.')
  if args.num < 1:
    raise InputError(f'--num={args.num}: expected 1 or more.')
  runtime.configure()
  state, experiment = workdir.open_trained(args.workdir, args.step)
  players, key = averaged(state), jax.random.key(args.seed)
  objective = _truncated(experiment.objective, args)
  if args.text or 'illustrate' in objective.predict_fns():
    images = _illustrate(experiment, players, args, key)
    columns, pixels, asked = images.shape[1], 'unit', {}
    images = images.reshape(-1, *images.shape[2:])
  else:
    labels = _labels(experiment, args)
    draw = _sampler(objective, experiment, players, args.components)
    images = _draw(draw, players, args.num, labels, key)
    columns, pixels = None, objective.pixels
    asked = {} if labels is None else {'labels': labels}
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == '.npz':
      if not plot.is_points(images):
        images = to_uint8(images, pixels)
      np.savez_compressed(
        out, images=images, step=int(state.step), seed=args.seed, **asked
      )
    elif columns:
      save_image(out, grid(to_uint8(images, pixels), columns))
    else:
      save_image(out, plot.draw(images, pixels))
  except OSError as error:
    raise InputError(f'--out={out}: {error.strerror}.') from error
  print(f'{out}: {len(images)} samples of step {int(state.step)}')


def _draw(draw, players, num, labels, key):
  """Images [num, H, W, C] of a model that is told nothing, or a class."""
  parts = []
  for index, start in enumerate(range(0, num, _BATCH)):
    asked = {}
    if labels is not None:
      asked = {'labels': np.resize(labels[start : start + _BATCH], _BATCH)}
    key_part = jax.random.fold_in(key, index)
    parts.append(draw(players, key=key_part, num=_BATCH, **asked))
  return np.concatenate([np.asarray(x) for x in parts])[:num]


def _illustrate(experiment, players, args, key):
  """Images [rows, columns, H, W, C] in [0, 1] of what --text says."""
  objective, data = experiment.objective, experiment.config.data
  if 'illustrate' not in objective.predict_fns():
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
  task = make_task(experiment)
  texts = captioned.read(task, players, fields)
  if args.between:
    return captioned.between(task, players, texts, args.num, args.between, key)
  # A column of its own draws, so that the first do not depend on the number.
  columns = [
    captioned.draw(task, players, texts, jax.random.fold_in(key, index))
    for index in range(args.num)
  ]
  return np.stack(columns, axis=1)


def _labels(experiment, args):
  """The class of each sample, [num], or None without classes."""
  sample = experiment.objective.predict_fns().get('sample')
  if sample is None or 'labels' not in inspect.signature(sample).parameters:
    if args.label is not None:
      raise InputError(f'--label={args.label}: this model knows no classes.')
    return None
  count = experiment.objective.classes
  if args.label is None:
    return np.arange(args.num, dtype=np.int32) % count
  names = experiment.train_source.classes[:count]  # others may be unknown
  label = class_index(args.label, names, count, '--label')
  return np.full(args.num, label, np.int32)


def _truncated(objective, args):
  """The objective with what was asked for of its truncation."""
  asked = {'psi': args.psi, 'cutoff': args.cutoff}
  asked = {k: v for k, v in asked.items() if v is not None}
  for name, value in asked.items():
    if not hasattr(objective, name):
      raise InputError(
        f'--{name}={value}: {type(objective).__name__} has no styles.'
      )
  return dataclasses.replace(objective, **asked)


def _sampler(objective, experiment, players, components):
  """Returns `(players, *, key, num) -> images`."""
  fns = objective.predict_fns()
  if 'sample' in fns and components is None:
    return jax.jit(fns['sample'], static_argnames='num')
  if not {'encode', 'decode'} <= set(fns):
    raise InputError(
      f'{type(objective).__name__} cannot '
      + ('be sampled.' if components is None else 'decode: no --components.')
    )
  if components is None:
    components = _COMPONENTS
  task = make_task(experiment)
  return mixture.sampler(task, players, components, _CODES, '--components')


if __name__ == '__main__':
  raise SystemExit(main())
