"""The denoising autoencoder (Vincent et al. 2008)."""

import dataclasses

import jax

from gen_jax.losses.corruption import CORRUPTIONS
from gen_jax.objectives.autoencoder import Autoencoder
from gen_jax.registry.fields import Weight, one_of


@dataclasses.dataclass(frozen=True)
class DenoisingAutoencoder(Autoencoder):
  """Sees a corrupted image, and is to give back the clean one.

  Attributes:
    noise: 'gaussian', 'masking', 'salt_and_pepper' or 'deformation'.
    amount: standard deviation of the Gaussian, for pixels in [0, 1], the
      probability that a pixel is hit, or the reach of a deformation, in pixels.
  """

  noise: one_of(CORRUPTIONS) = 'gaussian'
  amount: Weight = 0.5

  def corrupt(self, images: jax.Array, key: jax.Array) -> jax.Array:
    return CORRUPTIONS[self.noise](images, self.amount, key)

  def predict_fns(self):
    return {**super().predict_fns(), 'corrupt': self._corrupt}

  def _corrupt(self, players, batch, *, key) -> jax.Array:
    """Noisy images, as in training."""
    del players
    return self.corrupt(batch['image'], key)
