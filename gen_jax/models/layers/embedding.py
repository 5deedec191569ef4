"""A learned vector for each class, which a network gets as an input."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.registry.fields import Count, Size


class Embedded(nn.Module):
  """A network whose input ends with a one-hot class, of which it sees a row.

  The last `classes` channels of the input, of codes or of planes behind an
  image, are multiplied by a table [classes, features]. Alone that adds nothing:
  a first layer W on a one-hot class is itself a table of its width, and with
  one between them the same layer of a product, table W. It is a bound on the
  rank, of use where classes are many and have to share.

  Attributes:
    network: (x [..., C + features], train) -> what it returns.
    classes: K, of an input [..., C + K].
    features: numbers for each class.
  """

  network: nn.Module
  classes: Count = 10
  features: Size = 16

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> Any:
    """Returns the output of the network behind the table."""
    rest, label = jnp.split(x, [x.shape[-1] - self.classes], axis=-1)
    # A row has norm 1, as a one-hot class has.
    table = self.param(
      'table',
      nn.initializers.normal(self.features**-0.5),
      (self.classes, self.features),
    )
    return self.network(jnp.concatenate([rest, label @ table], -1), train)
