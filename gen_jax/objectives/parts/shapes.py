"""A comparison of the shapes of generated images and of the data."""

import jax

from gen_jax.errors import InputError


def check_images(
  made: jax.Array | jax.ShapeDtypeStruct,
  data: jax.Array | jax.ShapeDtypeStruct,
  field: str,
) -> None:
  """Raises InputError unless a network's images have the data's shape.

  Args:
    made: output of the network, [B, H, W, C].
    data: images of the data, [N, H, W, C].
    field: of the config, which decides the shape of the output.
  """
  made, data = made.shape[1:], data.shape[1:]
  if made != data:
    raise InputError(
      f'config.{field}: the network makes images of {made}, and the images of '
      f'the data are {data}. Make {field} and data.shape agree.'
    )
