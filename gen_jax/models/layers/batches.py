"""Several batches as one, for a network that is applied to all of them at once.

The examples alternate: those of the first of N batches are the examples 0, N,
2 N, ... of the joined batch. The devices divide a batch into consecutive parts,
so each device joins its own examples. If one batch followed the other, devices
would have to exchange examples.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def join(batches: Sequence[jax.Array] | jax.Array) -> jax.Array:
  """Returns N batches, a list or [N, B, ...], as one batch, [B N, ...]."""
  if len(batches) == 1:
    return batches[0]
  shape = batches[0].shape[1:]
  return jnp.stack(batches, axis=1).reshape(-1, *shape)


def split(batch: jax.Array, count: int) -> list[jax.Array]:
  """Returns the `count` batches [B, ...] of a joined one, [B count, ...]."""
  if count == 1:
    return [batch]
  batch = batch.reshape(-1, count, *batch.shape[1:])
  return [batch[:, index] for index in range(count)]
