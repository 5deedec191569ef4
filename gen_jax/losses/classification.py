"""Losses of classifiers, not reduced over the batch."""

import jax
import jax.numpy as jnp


def sigmoid_cross_entropy(
  logits: jax.Array, targets: jax.Array | float
) -> jax.Array:
  """Returns -x log s(l) - (1 - x) log(1 - s(l)) elementwise, in nats.

  Here s is the sigmoid, so this is x softplus(-l) + (1 - x) softplus(l). The
  value and the gradient are accurate at any logit and for any target in [0, 1].

  Args:
    logits: l, of any shape.
    targets: x, probabilities that broadcast to the logits.
  """
  # The usual form softplus(l) - x l cancels to 0 for x = 1 and a large l. The
  # loss is the same for (l, x) and for (-l, 1 - x), and there is no
  # cancellation for the one with l <= 0. Two softplus would take twice as long.
  positive = logits > 0
  logits = jnp.where(positive, -logits, logits)
  targets = jnp.where(positive, 1 - targets, targets)
  return jax.nn.softplus(logits) - targets * logits


def softmax_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns -log softmax(logits)[label] of each example, [B], in nats.

  It is computed as logsumexp(l) - l_label, which is accurate at any logit.

  Args:
    logits: l, [B, K].
    labels: integers [B] in [0, K). JAX does not detect an index out of range.
  """
  of_label = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
  return jax.nn.logsumexp(logits, axis=-1) - of_label
