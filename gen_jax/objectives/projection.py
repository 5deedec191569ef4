"""Projects images into the W space of a trained generator.

The trained generator is a player that no update names; only w changes (Abdal et
al. 2019; Karras et al. 2020, appendix D).
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Objective, Players, Update
from gen_jax.models.layers.resampling import downsample
from gen_jax.registry.fields import Count, Shape, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection:
  """Minimizes |x - G(w)|^2 / N + |f(x) - f(G(w))|^2 / |f(x)|^2 over w.

  Player `projected` has the w of each image, initially `w_avg`; the other
  players are those of `model`.

  Attributes:
    model: the trained objective, with the capabilities `synthesize` and
      `w_avg`.
    features: f, differentiable: images [B, H, W, C] in [0, 1] -> [B, F].
    shape: of the generator's images, (H, W, C).
    layers: number of layers that take a w.
    every_layer: whether each layer has a w of its own.
    pixel_weight: factor of the mean square error over N pixels in [-1, 1].
    feature_weight: factor of the relative square error of the features.
  """

  model: Objective
  features: Callable[[jax.Array], jax.Array]
  shape: Shape
  layers: Count
  every_layer: bool = False
  pixel_weight: Weight = 1.0
  feature_weight: Weight = 1.0

  classes: ClassVar[int] = 0

  @property
  def pixels(self) -> str:
    """Returns the range of the model's images."""
    return self.model.pixels

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the players of the model, without training."""
    return self.start(self.model.init(key, batch), len(batch['image']))

  def start(self, trained: Players, num: int) -> Players:
    """Returns the trained players, and `projected` for `num` images."""
    w = self.model.predict_fns()['w_avg'](trained)
    w = jnp.broadcast_to(
      w, (num, self.layers if self.every_layer else 1, len(w))
    )
    return {**trained, 'projected': {'params': {'w': w}}}

  def updates(self) -> tuple[Update, ...]:
    """Returns the one update, of w."""
    return (Update(wrt=('projected',), loss=self.loss),)

  def loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the sum over the images, so that each moves as if alone."""
    del step
    images = batch['image']
    target = downsample(images, images.shape[1] // self.shape[0])
    found = self.reconstruct(players, batch, key=key)
    pixel = jnp.mean(jnp.square(found - target), axis=(1, 2, 3))
    f, g = (self.features((x + 1) / 2) for x in (target, found))
    scale = jnp.maximum(jnp.sum(jnp.square(f), axis=-1), 1e-12)
    feature = jnp.sum(jnp.square(f - g), axis=-1) / scale
    total = self.pixel_weight * pixel + self.feature_weight * feature
    metrics = {'pixel': jnp.mean(pixel), 'feature': jnp.mean(feature)}
    return jnp.sum(total), Aux(metrics)

  def predict_fns(self) -> Capabilities:
    """Returns what the projected images can be used for."""
    return {'reconstruct': self.reconstruct}

  def w_plus(self, players: Players) -> jax.Array:
    """Returns the w of every layer for each image, [N, layers, W]."""
    w = players['projected']['params']['w']
    return jnp.broadcast_to(w, (len(w), self.layers, w.shape[-1]))

  def reconstruct(
    self, players: Players, batch: Batch, *, key: jax.Array
  ) -> jax.Array:
    """Returns the images of w, [N, H, W, C]."""
    del batch
    synthesize = self.model.predict_fns()['synthesize']
    return synthesize(players, self.w_plus(players), key=key)
