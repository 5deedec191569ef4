"""Losses of two players, from the logits of the one that judges.

Each term is elementwise, `[B] -> [B]`, and to be minimized. The judge's loss is
`mean(real(r)) + mean(fake(f))`, r and f its logits for the data and for the
generator's images: terms apart, since the two batches may differ in size. The
generator's is `mean(gen(f))`. In the optima below p is the data's density, q
the generator's; s is the sigmoid.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.losses.classification import sigmoid_cross_entropy


class Adversarial(NamedTuple):
  """The terms of one game.

  Attributes:
    real: `(logits [B], label=1) -> [B]`, the judge's on the data. A label below
      1 is one-sided smoothing (Salimans et al. 2016, section 3.4).
    fake: `logits [B] -> [B]`, the judge's on what the generator made.
    gen: `logits [B] -> [B]`, the generator's.
    boundary: the logit from which on the judge calls an image real.
    labels: whether `real` has labels; else it takes the logits alone.
  """

  real: Callable[..., jax.Array]
  fake: Callable[[jax.Array], jax.Array]
  gen: Callable[[jax.Array], jax.Array]
  boundary: float = 0.0
  labels: bool = False


def _cross_entropy(logits: jax.Array, label: float = 1.0) -> jax.Array:
  return sigmoid_cross_entropy(logits, label)


minimax = Adversarial(
  real=_cross_entropy,
  fake=jax.nn.softplus,
  gen=lambda logits: -jax.nn.softplus(logits),
  labels=True,
)
"""Goodfellow et al. 2014, eq. 1: min_G max_D E_p[log D] + E_q[log(1 - D)],
D = s(l). The optimal judge is l = log p / q, its loss 2 log 2 - 2 JSD(p, q):
2 log 2 = 1.386 at the equilibrium p = q. The generator's term saturates: its
gradient -s(l) vanishes where the judge is sure that an image is fake.
"""

non_saturating = Adversarial(
  real=_cross_entropy,
  fake=jax.nn.softplus,
  gen=lambda logits: jax.nn.softplus(-logits),
  labels=True,
)
"""The same judge; the generator maximizes E_q[log D(x)] (section 3 there). The
gradient, s(l) - 1, is largest where the judge is sure. log 2 at p = q.
"""

least_squares = Adversarial(
  real=lambda outputs, label=1.0: 0.5 * jnp.square(outputs - label),
  fake=lambda outputs: 0.5 * jnp.square(outputs),
  gen=lambda outputs: 0.5 * jnp.square(outputs - 1),
  boundary=0.5,
  labels=True,
)
"""Mao et al. 2017, eq. 2 with the coding of eq. 9: 1/2 E_p[(D - 1)^2] +
1/2 E_q[D^2] and 1/2 E_q[(D - 1)^2]. The optimal judge is p / (p + q); at
p = q all its outputs are 1/2, its loss 1/4, the generator's 1/8.
"""

wasserstein = Adversarial(
  real=lambda scores: -scores,
  fake=lambda scores: scores,
  gen=lambda scores: -scores,
)
"""Arjovsky et al. 2017, eq. 2: max_f E_p[f] - E_q[f] over 1-Lipschitz f is the
earth mover's distance; the critic's loss is minus that, and 0 at p = q. The
constraint is not part of it: see `penalties.py`, and clipping in
`objectives/wgan.py`.
"""

hinge = Adversarial(
  real=lambda logits: jax.nn.relu(1 - logits),
  fake=lambda logits: jax.nn.relu(1 + logits),
  gen=lambda logits: -logits,
)
"""Lim and Ye 2017: E_p[max(0, 1 - D)] + E_q[max(0, 1 + D)] and -E_q[D].
The optimal judge is the sign of p - q, its loss 2 - 2 TV(p, q): 2 at p = q.
"""

LOSSES = {
  'minimax': minimax,
  'non_saturating': non_saturating,
  'least_squares': least_squares,
  'wasserstein': wasserstein,
  'hinge': hinge,
}
