"""Finds the w of images in the W space of a trained StyleGAN."""

import pathlib

import jax
import numpy as np

from gen_jax.core import Batch, Objective, Players
from gen_jax.data import inputs
from gen_jax.data.formats import images
from gen_jax.data.sources import Described
from gen_jax.errors import InputError
from gen_jax.objectives.projection import Projection
from gen_jax.training import optimizers, step


def descend(
  objective: Projection,
  trained: Players,
  batch: Batch,
  key: jax.Array,
  steps: int,
  rate: float,
) -> tuple[Players, dict[str, jax.Array]]:
  """Returns the players with the w found, and the metrics of the last step.

  Args:
    objective: with the weights of the losses.
    trained: players of the model.
    batch: the images to be found.
    key: of the noise.
    steps: of Adam.
    rate: the learning rate.
  """
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


def noise_key(key: jax.Array) -> jax.Array:
  """Returns the key of the noise of the written images."""
  return jax.random.fold_in(key, 1)


def shapes(
  model: Objective, players: Players, key: jax.Array
) -> tuple[int, images.Shape]:
  """Returns the number of layers that take a w, and the shape of an image.

  Raises:
    InputError: when the model has no W space.
  """
  fns = model.predict_fns()
  if not {'sample_latents', 'map_latents', 'w_avg', 'synthesize'} <= set(fns):
    raise InputError(
      f'{type(model).__name__} has no W space: give the --workdir of a '
      'StyleGAN.'
    )

  def synthesize(players):
    latents = fns['sample_latents'](players, key=key, num=1)
    w_plus = fns['map_latents'](players, latents)
    return w_plus, fns['synthesize'](players, w_plus, key=key)

  w_plus, image = jax.eval_shape(synthesize, players)
  return w_plus.shape[1], image.shape[1:]


def read(path: str, shape: images.Shape, described: Described) -> np.ndarray:
  """Decodes an image like those of the training data.

  Args:
    path: of the image.
    shape: [H, W, C] of the result.
    described: the training data.

  Raises:
    InputError: when it cannot be decoded.
  """
  ranges = {}
  with inputs.reading(path, '--image'):
    with images.open_image(pathlib.Path(path).expanduser()) as image:
      if images.extent(image):
        ranges = described.ranges.get('image', {})
      return images.fit(image, shape, ranges=ranges)
