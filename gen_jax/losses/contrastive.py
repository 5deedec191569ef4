"""Losses that distinguish matching pairs from mismatched ones."""

import jax
import jax.numpy as jnp


def symmetric(logits: jax.Array, same: jax.Array | None = None) -> jax.Array:
  """Returns the cross-entropy of each pair in both directions, [B], in nats.

  It is -(log softmax_j(l_ij) + log softmax_i(l_ij)) / 2 at i = j, and equals
  log B when all logits are equal.

  Args:
    logits: l, [B, B]; l_ij compares the i-th image with the j-th caption.
    same: booleans [B, B], true for pairs that match. Such pairs off the
      diagonal are not used as negatives.

  References:
    Zhang et al. 2020, eq. 4, with equal weights for both directions as in
    Radford et al. 2021, figure 3.
  """
  count = len(logits)
  right = jnp.diagonal(logits)
  if same is not None:
    other = same & ~jnp.eye(count, dtype=bool)
    logits = jnp.where(other, -jnp.inf, logits)
  sums = [jax.nn.logsumexp(logits, axis=axis) for axis in (0, 1)]
  return (sums[0] + sums[1]) / 2 - right
