"""Finds the style of a trained StyleGAN whose image is nearest to yours.

python -m gen_jax project --workdir=runs/stylegan --image=me.png --out=near.png

The picture shows each image and, to its right, what was found. With --out=NAME/
each pair is a picture in that folder. With --out in .npz: `styles`
[N, layers, W], `images` and `wanted`, uint8 [N, H, W, C].
"""

import argparse
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from gen_jax.commands import cli
from gen_jax.core import averaged, root_key
from gen_jax.data import inputs
from gen_jax.data.formats import images
from gen_jax.data.pipeline import Preprocess
from gen_jax.errors import InputError
from gen_jax.evaluation.features import extractors
from gen_jax.objectives.projection import Projection
from gen_jax.objectives.style import Style
from gen_jax.runtime import settings
from gen_jax.storage import outputs
from gen_jax.storage.writer import grid, save_image, to_uint8
from gen_jax.training import optimizers, step, trained

_KINDS = (outputs.PICTURE, outputs.NPZ, outputs.FOLDER)


def main(argv: Sequence[str] | None = None) -> int:
  """Projects images with the newest or a chosen checkpoint."""
  parser = cli.Parser('gen_jax project', description=__doc__)
  parser.add_trained_run()
  parser.add_argument(
    '--image', required=True, action='append', help='may be given again'
  )
  parser.add_argument(
    '--out',
    default='projection.png',
    help='a picture of all (.png, .jpg, ...), a folder of pictures, whose name '
    'ends with /, or .npz',
  )
  parser.add_argument('--steps', type=cli.number(int, 1, 10**6), default=500)
  positive = cli.number(float, 0)
  parser.add_argument('--rate', type=positive, default=0.05, help='of learning')
  parser.add_argument('--seed', type=cli.seed, default=0, help='of the noise')
  parser.add_argument('--pixel', type=positive, default=1.0, help='weight')
  parser.add_argument('--feature', type=positive, default=1.0, help='weight')
  parser.add_argument(
    '--every-layer',
    action='store_true',
    help='a style for each layer: nearer, but less of the model',
  )
  return cli.run(lambda: project(parser.parse_args(argv)))


def project(args: argparse.Namespace) -> None:
  """Descends, writes the result, and prints how near it is."""
  out = outputs.parse(args.out, _KINDS)
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step)
  model = experiment.objective
  if not isinstance(model, Style):
    raise InputError(
      f'{type(model).__name__} has no styles: --workdir of a StyleGAN.'
    )
  shape = model.gen.shape
  raw = np.stack([_read(path, experiment) for path in args.image])
  key = root_key(args.seed)
  batch = Preprocess(model.pixels)({'image': raw}, key)
  objective = Projection(
    model=model,
    features=extractors.RandomFeatures(shape).apply,
    every_layer=args.every_layer,
    pixel_weight=args.pixel,
    feature_weight=args.feature,
  )
  players, metrics = descend(
    objective, averaged(state), batch, key, args.steps, args.rate
  )
  found = objective.reconstruct(players, batch, key=noise_key(key))
  found = to_uint8(found, model.pixels)
  pairs = np.concatenate([raw, found], axis=2)
  with outputs.writing(out):
    if out.kind == outputs.NPZ:
      styles = np.asarray(objective.styles(players))
      arrays = dict(styles=styles, images=found, wanted=raw)
      outputs.write_npz(out.path, arrays)
    elif out.kind == outputs.FOLDER:
      for index, pair in enumerate(pairs):
        save_image(out.path / f'{index:06d}.png', pair)
    else:
      save_image(out.path, grid(pairs, 4))
  shown = '  '.join(f'{k} {float(v):.5f}' for k, v in metrics.items())
  print(f'{out}: after {args.steps} steps  {shown}')


def descend(objective, trained, batch, key, steps, rate):
  """Returns the players with their codes, and the last step's metrics."""
  num = len(batch['image'])
  # A warm-up of a twentieth, and down to 0 in the end.
  adam = dict(
    name='adam', learning_rate=rate, schedule='cosine', warmup=steps // 20
  )
  by_player = {'code': optimizers.make(adam, steps)}
  state = step.init_state(objective.start(trained, num), by_player, {})
  train_step = step.make_train_step(objective, by_player, key=key)
  chunk = jax.jit(step.make_train_chunk(train_step, steps))
  rows = {'image': np.tile(np.arange(num), (steps, 1))}
  state, metrics = chunk(state, batch, rows, np.int32(steps))
  return state.players, {k: v[-1] for k, v in metrics.items()}


def noise_key(key):
  """Of the noise in which the result is shown."""
  return jax.random.fold_in(key, 1)


def _read(path, experiment):
  """Decodes an image as those of the training data."""
  shape, ranges = experiment.objective.gen.shape, {}
  with inputs.reading(path, '--image'):
    with images.open_image(pathlib.Path(path).expanduser()) as image:
      if images.extent(image):
        ranges = experiment.described.ranges.get('image', {})
      return images.fit(image, shape, ranges=ranges)
