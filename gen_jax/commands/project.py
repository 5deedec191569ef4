"""Projects images into the W space of a trained StyleGAN.

python -m gen_jax project --workdir=runs/stylegan --image=me.png --out=near.png

The picture shows each image and, to its right, the nearest image of the model.
With --out=NAME/ each pair is a picture in that folder. With --out in .npz:
`w_plus` [N, layers, W], `images` and `targets`, uint8 [N, H, W, C].
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import annotated_types
import jax.numpy as jnp
import numpy as np

from gen_jax.commands import cli
from gen_jax.core import averaged, root_key
from gen_jax.data.pipeline import Preprocess
from gen_jax.evaluation.features import extractors
from gen_jax.objectives.projection import Projection
from gen_jax.registry.fields import Seed, Size, Weight
from gen_jax.runtime import settings
from gen_jax.storage import image_stream, outputs
from gen_jax.storage.images import grid, save_image, to_uint8
from gen_jax.training import projection, trained


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(cli.TrainedRun):
  """The arguments."""

  image: Annotated[tuple[str, ...], 'image file; may be given again']
  out: Annotated[
    str,
    'what to write: a picture of all images (.png, .jpg, ...), a folder of '
    'pictures (NAME/), or arrays (.npz)',
  ] = 'projection.png'
  steps: Annotated[
    Size, annotated_types.Le(10**6), 'steps of the optimizer, 1 to 1,000,000'
  ] = 500
  rate: Annotated[Weight, 'learning rate, 0 or more'] = 0.05
  seed: Annotated[Seed, 'seed of the noise, 0 or more'] = 0
  pixel: Annotated[Weight, 'weight of the pixel loss, 0 or more'] = 1.0
  feature: Annotated[Weight, 'weight of the feature loss, 0 or more'] = 1.0
  every_layer: Annotated[
    bool,
    'find a w for each layer: closer, but less typical of the model',
  ] = False


def main(argv: Sequence[str] | None = None) -> int:
  """Projects images with the newest or a chosen checkpoint."""
  return cli.main(project, Arguments, __doc__, argv)


def project(args: Arguments) -> None:
  """Optimizes w, writes the images, and prints the losses of the last step.

  Raises:
    InputError: when an argument cannot be used.
  """
  out = outputs.parse(args.out, image_stream.KINDS)
  settings.configure()
  state, experiment = trained.open_trained(args.workdir, args.step)
  model, players = experiment.objective, averaged(state)
  key = root_key(args.seed)
  layers, shape = projection.shapes(model, players, key)
  described = experiment.described
  raw = np.stack(
    [projection.read(path, shape, described) for path in args.image]
  )
  batch = Preprocess(model.pixels)({'image': jnp.asarray(raw)}, key)
  objective = Projection(
    model=model,
    features=extractors.RandomFeatures(shape).apply,
    shape=shape,
    layers=layers,
    every_layer=args.every_layer,
    pixel_weight=args.pixel,
    feature_weight=args.feature,
  )
  players, metrics = projection.descend(
    objective, players, batch, key, args.steps, args.rate
  )
  found = objective.reconstruct(players, batch, key=projection.noise_key(key))
  found = to_uint8(np.asarray(found), model.pixels)
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
