"""Functions shared by objectives that translate images between two domains.

A batch has images 'a' [B, H, W, C] and 'b' [B, H, W, K] in [-1, 1].
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Batch
from gen_jax.errors import InputError
from gen_jax.objectives.parts.shapes import check_images


def init_both(
  gen_ab: nn.Module, gen_ba: nn.Module | None, key: jax.Array, batch: Batch
) -> dict[str, Any]:
  """Returns the players `gen_ab` and, if there is one, `gen_ba`.

  Raises:
    InputError: as `init_generator`.
  """
  key_ab, key_ba = jax.random.split(key)
  players = {'gen_ab': init_generator(gen_ab, 'gen_ab', key_ab, batch, 'ab')}
  if gen_ba is not None:
    players['gen_ba'] = init_generator(gen_ba, 'gen_ba', key_ba, batch, 'ba')
  return players


def init_generator(
  network: nn.Module, name: str, key: jax.Array, batch: Batch, direction: str
) -> Any:
  """Returns the variables of a generator.

  Args:
    network: images of one domain, train -> images of the other.
    name: of the field that has the network.
    key: of the initial values.
    batch: with images of both domains.
    direction: 'ab' or 'ba'.

  Raises:
    InputError: the batch has no two domains, the network has statistics, or its
      images are not of the shape of the other domain.
  """
  if not {'a', 'b'} <= set(batch):
    raise InputError(
      "data.name: a translation needs images of two domains: take 'domains'."
    )
  source, target = (batch[k] for k in direction)
  variables = init_network(network, name, key, source)
  made = jax.eval_shape(network.apply, variables, source)
  check_images(made, target, f'objective.{name}.out')
  return variables


def init_network(
  network: nn.Module, name: str, key: jax.Array, images: jax.Array
) -> Any:
  """Returns the variables of a network for images.

  Raises:
    InputError: the network has statistics beside its parameters.
  """
  variables = network.init(key, images)
  others = sorted(set(variables) - {'params'})
  if others:
    raise InputError(
      f'objective.{name}.normalize: translations have no place for '
      f"{', '.join(others)}: take 'instance' or ''."
    )
  return variables


def train_apply(
  network: nn.Module, variables: Any, images: jax.Array, key: jax.Array
) -> jax.Array:
  """Returns what a network makes of images in training; `key` of dropout."""
  return network.apply(variables, images, train=True, rngs={'dropout': key})


def translate(
  network: nn.Module,
  variables: Any,
  images: jax.Array,
  dropout_key: jax.Array | None = None,
) -> jax.Array:
  """Returns the translations of images of any size.

  The pixels at the far edges are mirrored up to a multiple of the network's
  stride, and cut again.

  Args:
    network: with a `stride`.
    variables: of the network.
    images: [B, H, W, C].
    dropout_key: of the network's dropout; None for none.
  """
  height, width = images.shape[1:3]
  pads = [(0, 0), (0, -height % network.stride), (0, -width % network.stride)]
  images = jnp.pad(images, (*pads, (0, 0)), mode='symmetric')
  if dropout_key is None:
    made = network.apply(variables, images)
  else:
    made = train_apply(network, variables, images, dropout_key)
  return made[:, :height, :width]


def mean_logit(logits: jax.Array) -> jax.Array:
  """Returns the mean over the patches of each image, [B, h, w] -> [B]."""
  return jnp.mean(logits.reshape(len(logits), -1), axis=-1)
