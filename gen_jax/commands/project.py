"""Projects images into the W space of a trained StyleGAN.

python -m gen_jax project --workdir=runs/stylegan --image=me.png --out=near.png

The picture shows each image and, to its right, the nearest image of the model.
With --out=NAME/ each pair is a picture in that folder. With --out in .npz:
`w_plus` [N, layers, W], `images` and `targets`, uint8 [N, H, W, C].
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
from gen_jax.runtime import settings
from gen_jax.storage import outputs
from gen_jax.storage.images import grid, save_image, to_uint8
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
    help='a w of its own for each layer: nearer, but less typical of the model',
  )
  return cli.run(lambda: project(parser.parse_args(argv)))


def project(args: argparse.Namespace) -> None:
  """Optimizes w, writes the images, and prints the losses of the last step."""
  out = outputs.parse(args.out, _KINDS)
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step)
  model, players, key = (
    experiment.objective,
    averaged(state),
    root_key(args.seed),
  )
  layers, shape = _shapes(model, players, key)
  described = experiment.described
  raw = np.stack([_read(path, shape, described) for path in args.image])
  batch = Preprocess(model.pixels)({'image': raw}, key)
  objective = Projection(
    model=model,
    features=extractors.RandomFeatures(shape).apply,
    shape=shape,
    layers=layers,
    every_layer=args.every_layer,
    pixel_weight=args.pixel,
    feature_weight=args.feature,
  )
  players, metrics = descend(
    objective, players, batch, key, args.steps, args.rate
  )
  found = objective.reconstruct(players, batch, key=noise_key(key))
  found = to_uint8(found, model.pixels)
  pairs = np.concatenate([raw, found], axis=2)
  with outputs.writing(out):
    if out.kind == outputs.NPZ:
      w_plus = np.asarray(objective.w_plus(players))
      arrays = dict(w_plus=w_plus, images=found, targets=raw)
      outputs.write_npz(out.path, arrays)
    elif out.kind == outputs.FOLDER:
      for index, pair in enumerate(pairs):
        save_image(out.path / f'{index:06d}.png', pair)
    else:
      save_image(out.path, grid(pairs, 4))
  shown = '  '.join(f'{k} {float(v):.5f}' for k, v in metrics.items())
  print(f'{out}: after {args.steps} steps  {shown}')


def descend(objective, trained, batch, key, steps, rate):
  """Returns the players with the w found, and the metrics of the last step."""
  num = len(batch['image'])
  # The learning rate warms up over a twentieth of the steps and decays to 0.
  adam = dict(
    name='adam', learning_rate=rate, schedule='cosine', warmup=steps // 20
  )
  by_player = {'projected': optimizers.make(adam, steps)}
  state = step.init_state(objective.start(trained, num), by_player, {})
  train_step = step.make_train_step(objective, by_player, key=key)
  chunk = jax.jit(step.make_train_chunk(train_step, steps))
  rows = {'image': np.tile(np.arange(num), (steps, 1))}
  state, metrics = chunk(state, batch, rows, np.int32(steps))
  return state.players, {k: v[-1] for k, v in metrics.items()}


def noise_key(key):
  """Returns the key of the noise of the written images."""
  return jax.random.fold_in(key, 1)


def _shapes(model, players, key):
  """Returns the number of layers that take a w, and the shape of an image."""
  fns = model.predict_fns()
  if not {'sample_latents', 'map_latents', 'w_avg', 'synthesize'} <= set(fns):
    raise InputError(
      f'{type(model).__name__} has no W space: give the --workdir of a '
      'StyleGAN.'
    )

  def shapes(players):
    latents = fns['sample_latents'](players, key=key, num=1)
    w_plus = fns['map_latents'](players, latents)
    return w_plus, fns['synthesize'](players, w_plus, key=key)

  w_plus, image = jax.eval_shape(shapes, players)
  return w_plus.shape[1], image.shape[1:]


def _read(path, shape, described):
  """Decodes an image like those of the training data."""
  ranges = {}
  with inputs.reading(path, '--image'):
    with images.open_image(pathlib.Path(path).expanduser()) as image:
      if images.extent(image):
        ranges = described.ranges.get('image', {})
      return images.fit(image, shape, ranges=ranges)
