"""Adversarial losses of a discriminator and a generator.

Each term is an elementwise function, `[B] -> [B]`, and is minimized. The
discriminator's loss is `mean(real(r)) + mean(fake(f))`, where r and f are its
logits for the data and for generated images. The two terms are separate
functions because the two batches may differ in size. The generator's loss is
`mean(gen(f))`.

Notation: p is the density of the data, q is the density of generated images,
and s is the sigmoid.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.losses.classification import sigmoid_cross_entropy


class AdversarialLoss(NamedTuple):
  """The losses of both players.

  Attributes:
    real: the discriminator's loss on the data, `(logits [B], label=1) -> [B]`.
      A label below 1 is one-sided label smoothing (Salimans et al. 2016,
      section 3.4).
    fake: the discriminator's loss on generated images, `logits [B] -> [B]`.
    gen: the generator's loss, `logits [B] -> [B]`.
    threshold: the logit above which the discriminator classifies an image as
      real. None if only differences of logits matter. The threshold is then the
      midpoint between the mean logits of real and of generated images.
    has_label: whether `real` takes a label.
    paired: whether `real` and `gen` take the difference between the logits of a
      real and a generated image, as relativistic losses do.
  """

  real: Callable[..., jax.Array]
  fake: Callable[[jax.Array], jax.Array]
  gen: Callable[[jax.Array], jax.Array]
  threshold: float | None = 0.0
  has_label: bool = False
  paired: bool = False

  def disc_loss(
    self, real: jax.Array, fake: jax.Array, label: float = 1.0
  ) -> jax.Array:
    """Returns the discriminator's mean loss, a scalar.

    Args:
      real: logits of the data, [B].
      fake: logits of generated images, [B].
      label: target of the data; below 1 for one-sided label smoothing.
    """
    labels = (label,) if self.has_label else ()
    if self.paired:
      return jnp.mean(self.real(real - fake))
    return jnp.mean(self.real(real, *labels)) + jnp.mean(self.fake(fake))

  def gen_loss(self, fake: jax.Array, real: jax.Array) -> jax.Array:
    """Returns the generator's mean loss, a scalar.

    Args:
      fake: logits of generated images, [B].
      real: logits of the data, [B]. Only a paired loss uses them.
    """
    return jnp.mean(self.gen(fake - real if self.paired else fake))


def _cross_entropy(logits: jax.Array, label: float = 1.0) -> jax.Array:
  return sigmoid_cross_entropy(logits, label)


minimax = AdversarialLoss(
  real=_cross_entropy,
  fake=jax.nn.softplus,
  gen=lambda logits: -jax.nn.softplus(logits),
  has_label=True,
)
"""Goodfellow et al. 2014, eq. 1: min_G max_D E_p[log D] + E_q[log(1 - D)] with
D = s(l). The optimal discriminator has the logits l = log(p / q) and the loss
2 log 2 - 2 JSD(p, q), which is 2 log 2 = 1.386 at the equilibrium p = q. The
generator's term saturates: its gradient -s(l) vanishes where the discriminator
is confident that an image is fake.
"""

non_saturating = AdversarialLoss(
  real=_cross_entropy,
  fake=jax.nn.softplus,
  gen=lambda logits: jax.nn.softplus(-logits),
  has_label=True,
)
"""The non-saturating loss of Goodfellow et al. 2014, section 3. The
discriminator's loss is the one of `minimax`, and the generator maximizes
E_q[log D(x)]. The magnitude of its gradient s(l) - 1 is largest where the
discriminator is confident that an image is fake. The generator's loss is log 2
at p = q.
"""

least_squares = AdversarialLoss(
  real=lambda outputs, label=1.0: 0.5 * jnp.square(outputs - label),
  fake=lambda outputs: 0.5 * jnp.square(outputs),
  gen=lambda outputs: 0.5 * jnp.square(outputs - 1),
  threshold=0.5,
  has_label=True,
)
"""Mao et al. 2017, eq. 2 with the coding of eq. 9. The discriminator's loss is
1/2 E_p[(D - 1)^2] + 1/2 E_q[D^2], and the generator's loss is
1/2 E_q[(D - 1)^2]. The optimal discriminator is p / (p + q). At p = q all its
outputs are 1/2, its loss is 1/4, and the generator's loss is 1/8.
"""

wasserstein = AdversarialLoss(
  real=lambda scores: -scores,
  fake=lambda scores: scores,
  gen=lambda scores: -scores,
  threshold=None,
)
"""Arjovsky et al. 2017, eq. 2. The maximum of E_p[f] - E_q[f] over 1-Lipschitz
functions f is the earth mover's distance. The critic's loss is its negative,
and is 0 at p = q. The Lipschitz constraint is not part of this loss: see
`penalties.py`, and `clip_weights` in `objectives/gan.py`.
"""

hinge = AdversarialLoss(
  real=lambda logits: jax.nn.relu(1 - logits),
  fake=lambda logits: jax.nn.relu(1 + logits),
  gen=lambda logits: -logits,
)
"""Lim and Ye 2017. The discriminator's loss is
E_p[max(0, 1 - D)] + E_q[max(0, 1 + D)], and the generator's loss is -E_q[D].
The optimal discriminator is the sign of p - q. Its loss is 2 - 2 TV(p, q),
which is 2 at p = q.
"""

relativistic = AdversarialLoss(
  real=lambda differences: jax.nn.softplus(-differences),
  fake=jnp.zeros_like,
  gen=lambda differences: jax.nn.softplus(-differences),
  threshold=None,
  paired=True,
)
"""Jolicoeur-Martineau 2018, eq. 12 and 13. The discriminator's loss is
E[log(1 + exp(D(x~) - D(x)))], and the generator's loss is
E[log(1 + exp(D(x) - D(x~)))], where the expectation is over pairs of a real
image x and a generated image x~. Both are log 2 at p = q.
"""

ADVERSARIAL_LOSSES = {
  'minimax': minimax,
  'non_saturating': non_saturating,
  'least_squares': least_squares,
  'wasserstein': wasserstein,
  'hinge': hinge,
  'relativistic': relativistic,
}
