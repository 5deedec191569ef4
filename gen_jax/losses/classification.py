"""Losses of classifiers, unreduced over the batch."""

import jax
import jax.numpy as jnp


def softmax_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """-log softmax(logits)[label], [B, K] and integers [B] -> [B], in nats.

  logsumexp(l) - l_label, which is exact at any logit. A label must lie in
  [0, K): as everywhere in JAX, an index beyond is not found out.
  """
  of_label = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
  return jax.nn.logsumexp(logits, axis=-1) - of_label
