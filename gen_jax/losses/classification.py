"""Losses of classifiers, unreduced over the batch."""

import jax
import jax.numpy as jnp


def sigmoid_cross_entropy(
  logits: jax.Array, targets: jax.Array | float
) -> jax.Array:
  """-x log s(l) - (1 - x) log(1 - s(l)) elementwise, in nats.

  With s the sigmoid that is x softplus(-l) + (1 - x) softplus(l). Value and
  gradient keep their digits at any logit and for any target in [0, 1].

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
  """-log softmax(logits)[label], [B, K] and integers [B] -> [B], in nats.

  logsumexp(l) - l_label, which is exact at any logit. A label must lie in
  [0, K): as everywhere in JAX, an index beyond is not found out.
  """
  of_label = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
  return jax.nn.logsumexp(logits, axis=-1) - of_label
