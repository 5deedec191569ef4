"""The style whose image is nearest to one that is given.

A generator that is trained already is a player whom no update names; the style
alone moves (Abdal et al. 2019; Karras et al. 2020, appendix D).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players, Update
from gen_jax.objectives.style import Style
from gen_jax.registry.fields import Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection:
  """Descends |x - G(w)|^2 / N and |f(x) - f(G(w))|^2 / |f(x)|^2 in w.

  Player `code` starts at the mean of w; the others are those of `model`.

  Attributes:
    model: what was trained.
    features: f, images [B, H, W, C] in [0, 1] -> [B, F], differentiable.
    every_layer: a style of its own for each layer, else one for all.
    pixel_weight: of the mean square over N pixels in [-1, 1].
    feature_weight: of the square in feature space, as a share.
  """

  model: Style
  features: Callable[[jax.Array], jax.Array]
  every_layer: bool = False
  pixel_weight: Weight = 1.0
  feature_weight: Weight = 1.0

  @property
  def pixels(self) -> str:
    return self.model.pixels

  def start(self, trained: Players, num: int) -> Players:
    """The players of `num` images, with the trained ones among them."""
    layers = self.model.gen.layers if self.every_layer else 1
    w = self.model.w_avg(trained)
    w = jnp.broadcast_to(w, (num, layers, len(w)))
    return {**trained, 'code': {'params': {'w': w}}}

  def updates(self) -> tuple[Update, ...]:
    return (Update(wrt=('code',), loss=self.loss),)

  def loss(self, players: Players, batch: Batch, *, key, step):
    """Summed over the images: each moves as if it were alone."""
    del step
    wanted = self.model.pooled(batch['image'])
    found = self.reconstruct(players, batch, key=key)
    pixel = jnp.mean(jnp.square(found - wanted), axis=(1, 2, 3))
    f, g = (self.features((x + 1) / 2) for x in (wanted, found))
    scale = jnp.maximum(jnp.sum(jnp.square(f), axis=-1), 1e-12)
    feature = jnp.sum(jnp.square(f - g), axis=-1) / scale
    total = self.pixel_weight * pixel + self.feature_weight * feature
    metrics = {'pixel': jnp.mean(pixel), 'feature': jnp.mean(feature)}
    return jnp.sum(total), Aux(metrics)

  def predict_fns(self):
    return {'reconstruct': self.reconstruct}

  def styles(self, players: Players) -> jax.Array:
    """Of the images, [N, layers, W]."""
    w = players['code']['params']['w']
    return jnp.broadcast_to(w, (len(w), self.model.gen.layers, w.shape[-1]))

  def reconstruct(self, players: Players, batch: Batch, *, key) -> jax.Array:
    """Images of the styles, [N, H, H, C]."""
    del batch
    return self.model.synthesize(players, self.styles(players), key=key)
