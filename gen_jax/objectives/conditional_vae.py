"""The conditional variational autoencoder (Sohn et al. 2015)."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Batch, Players
from gen_jax.objectives.labels import check_labeled, one_hot
from gen_jax.objectives.vae import VAE
from gen_jax.registry.fields import Count


@dataclasses.dataclass(frozen=True)
class ConditionalVAE(VAE):
  """A VAE of p(x|y): encoder q(z|x, y) and decoder p(x|z, y) see the class.

  Maximizes E_q[log p(x|z, y)] - KL(q(z|x, y) || N(0, 1)), in nats. What the
  class says need not be in the code, which is then a style: a digit can be
  written again as another.

  Attributes:
    classes: K; a batch has 'label', int32 [B], in [0, K).
  """

  classes: Count = 10

  def init(self, key: jax.Array, batch: Batch) -> Players:
    check_labeled(batch, self)
    return super().init(key, batch)

  def condition(self, batch: Batch):
    return (one_hot(batch['label'], self.classes),)

  def predict_fns(self):
    fns = {
      **super().predict_fns(),
      'sample_classes': self.sample_classes,
      'relabel': self.relabel,
    }
    del fns['decode']  # a code alone is no image
    return fns

  def sample(self, players: Players, *, key, num: int, labels=None):
    """Mean images of codes from the prior, [num, H, W, C].

    The classes are `labels` [num], shares of them [num, K], or all in turn.
    """
    if labels is None:
      labels = jnp.arange(num) % self.classes
    codes = jax.random.normal(key, (num, self.code_size))
    return self.decode(players, codes, {'label': labels})

  def sample_classes(self, players: Players, labels, *, key) -> jax.Array:
    return self.sample(players, key=key, num=len(labels), labels=labels)

  def relabel(self, players: Players, batch: Batch, labels) -> jax.Array:
    """The images [B, H, W, C] with the same code and other classes [B]."""
    codes = self.encode(players, batch)
    return self.decode(players, codes, {'label': labels})
