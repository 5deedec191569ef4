"""Losses of classifiers, unreduced over the batch."""

import jax
import jax.numpy as jnp


def sigmoid_cross_entropy(
  logits: jax.Array, targets: jax.Array | float
) -> jax.Array:
  """Returns -x log s(l) - (1 - x) log(1 - s(l)) elementwise, in nats.

  Here s is the sigmoid, so this is x softplus(-l) + (1 - x) softplus(l). Value
  and gradient keep their digits at any logit and for any target in [0, 1].

  Args:
    logits: l.
    targets: x, probabilities; they broadcast to the logits.
  """
  # Usually written as softplus(l) - x l, which cancels to 0 for x = 1 and a
  # large l. The loss of (l, x) is that of (-l, 1 - x), and nothing cancels in
  # the one of the two that has l <= 0. Two softplus would take twice as long.
  positive = logits > 0
  logits = jnp.where(positive, -logits, logits)
  targets = jnp.where(positive, 1 - targets, targets)
  return jax.nn.softplus(logits) - targets * logits


def softmax_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns -log softmax(logits)[label] of each example, [B], in nats.

  It is computed as logsumexp(l) - l_label, which is exact at any logit.

  Args:
    logits: l, [B, K].
    labels: integers [B] in [0, K). JAX does not detect an index out of range.
  """
  of_label = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
  return jax.nn.logsumexp(logits, axis=-1) - of_label
