"""How the class enters the networks of a conditional model."""

import abc
import dataclasses
from typing import Any, ClassVar, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Batch
from gen_jax.models.layers.embedding import Embedded
from gen_jax.objectives.parts.labels import one_hot
from gen_jax.registry.fields import Count, Size
from gen_jax.registry.part import Part


class Conditioning(Part, Protocol):
  """How the class enters the generator and the discriminator.

  A batch has 'label', integers [B] in [0, K) or class weights [B, K].

  Attributes:
    packs: whether the discriminator may get several images at a time.
    has_head: whether the discriminator has an output [B, K] beside its logits.
  """

  packs: ClassVar[bool] = True
  has_head: ClassVar[bool] = False

  @property
  def classes(self) -> int:
    """Returns K; 0 for a model without classes."""
    ...

  @abc.abstractmethod
  def network(self, network: nn.Module) -> nn.Module:
    """Returns the network of a player for that of the config."""

  @abc.abstractmethod
  def generator_inputs(self, latents: jax.Array, batch: Batch) -> jax.Array:
    """Joins latents [B, Z] and classes."""

  @abc.abstractmethod
  def discriminator_inputs(self, images: jax.Array, batch: Batch) -> jax.Array:
    """Joins images [B, H, W, C] and classes."""

  @abc.abstractmethod
  def logits(self, outputs: Any, batch: Batch) -> jax.Array:
    """Returns logits [B] for the outputs of the discriminator."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unconditional(Conditioning):
  """The networks do not know the class."""

  @property
  def classes(self) -> int:
    """Returns 0."""
    return 0

  def network(self, network: nn.Module) -> nn.Module:
    """Returns the network."""
    return network

  def generator_inputs(self, latents: jax.Array, batch: Batch) -> jax.Array:
    """Returns the latents, [B, Z]."""
    del batch
    return latents

  def discriminator_inputs(self, images: jax.Array, batch: Batch) -> jax.Array:
    """Returns the images, [B, H, W, C]."""
    del batch
    return images

  def logits(self, outputs: Any, batch: Batch) -> jax.Array:
    """Returns the outputs, [B]."""
    del batch
    return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneHot(Conditioning):
  """The class is appended to the latents and, as planes, to the channels.

  The first layer of each network then holds an embedding, because its product
  with a one-hot vector is a row of a table.

  References:
    Mirza and Osindero 2014.
  """

  classes: Count = 10

  def network(self, network: nn.Module) -> nn.Module:
    """Returns the network."""
    return network

  def generator_inputs(self, latents: jax.Array, batch: Batch) -> jax.Array:
    """Returns latents with one-hot classes, [B, Z + K]."""
    return _appended(latents, batch, self.classes)

  def discriminator_inputs(self, images: jax.Array, batch: Batch) -> jax.Array:
    """Returns images with a plane for each class, [B, H, W, C + K]."""
    return _with_planes(images, batch, self.classes)

  def logits(self, outputs: Any, batch: Batch) -> jax.Array:
    """Returns the outputs, [B]."""
    del batch
    return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Embedding(Conditioning):
  """As `OneHot`, with a learned vector in place of the one-hot class.

  Each player learns its own table [K, features]; see `embedding.Embedded`.

  Attributes:
    classes: K.
    features: the size of the vectors.
  """

  classes: Count = 10
  features: Size = 16

  packs: ClassVar[bool] = False  # a pack has a class between two images

  def network(self, network: nn.Module) -> nn.Module:
    """Returns the network behind a table."""
    return Embedded(
      network=network, classes=self.classes, features=self.features
    )

  def generator_inputs(self, latents: jax.Array, batch: Batch) -> jax.Array:
    """Returns latents with one-hot classes, [B, Z + K]."""
    return _appended(latents, batch, self.classes)

  def discriminator_inputs(self, images: jax.Array, batch: Batch) -> jax.Array:
    """Returns images with a plane for each class, [B, H, W, C + K]."""
    return _with_planes(images, batch, self.classes)

  def logits(self, outputs: Any, batch: Batch) -> jax.Array:
    """Returns the outputs, [B]."""
    del batch
    return outputs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection(Conditioning):
  """The discriminator projects its features on a vector of the class.

  Its logit is psi(h) + v_y h + b_y, h its last features. It needs a second,
  linear head with K outputs, v_k h + b_k, such as `extra` of
  `dcgan.Discriminator`. The generator gets the one-hot class.

  References:
    Miyato and Koyama 2018, eq. 3, which has no b_y.
  """

  classes: Count = 10

  packs: ClassVar[bool] = False  # a pack has features of several classes
  has_head: ClassVar[bool] = True

  def network(self, network: nn.Module) -> nn.Module:
    """Returns the network."""
    return network

  def generator_inputs(self, latents: jax.Array, batch: Batch) -> jax.Array:
    """Returns latents with one-hot classes, [B, Z + K]."""
    return _appended(latents, batch, self.classes)

  def discriminator_inputs(self, images: jax.Array, batch: Batch) -> jax.Array:
    """Returns the images, [B, H, W, C]."""
    del batch
    return images

  def logits(self, outputs: Any, batch: Batch) -> jax.Array:
    """Returns logits [B] for outputs [B] and [B, K]."""
    logits, projections = outputs
    label = one_hot(batch['label'], self.classes)
    return logits + jnp.sum(label * projections, axis=-1)


def _appended(latents, batch, classes):
  label = one_hot(batch['label'], classes)
  return jnp.concatenate([latents, label], axis=-1)


def _with_planes(images, batch, classes):
  planes = one_hot(batch['label'], classes)[:, None, None]  # [B, 1, 1, K]
  planes = jnp.broadcast_to(planes, (*images.shape[:3], classes))
  return jnp.concatenate([images, planes], axis=-1)
