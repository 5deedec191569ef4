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
  if made.shape[1:] != data.shape[1:]:
    raise InputError(
      f'config.{field}: the network makes images of {made.shape[1:]}, and the '
      f'images of the data are {data.shape[1:]}. Make {field} and data.shape '
      'agree.'
    )
