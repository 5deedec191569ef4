"""Losses that tell pairs from what is no pair."""

import jax
import jax.numpy as jnp


def symmetric(logits: jax.Array, same: jax.Array | None = None) -> jax.Array:
  """Cross-entropy of each pair among all, both ways, [B, B] -> [B], in nats.

  -(log softmax_j(l_ij) + log softmax_i(l_ij)) / 2 at i = j (Zhang et al. 2020,
  eq. 4, with both directions alike, as in Radford et al. 2021, figure 3). log B
  where all logits are equal.

  Args:
    logits: of the i-th of the one kind with the j-th of the other.
    same: [B, B], pairs that are right as well, and so no negatives.
  """
  count = len(logits)
  right = jnp.diagonal(logits)
  if same is not None:
    other = same & ~jnp.eye(count, dtype=bool)
    logits = jnp.where(other, -jnp.inf, logits)
  sums = [jax.nn.logsumexp(logits, axis=axis) for axis in (0, 1)]
  return (sums[0] + sums[1]) / 2 - right
