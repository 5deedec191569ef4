"""InfoGAN: codes that the image tells (Chen et al. 2016)."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Players
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.classification import softmax_cross_entropy
from gen_jax.losses.information import gaussian_log_likelihood
from gen_jax.objectives.gan import TwoHeads
from gen_jax.registry.fields import Count, Size, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class InfoGAN(TwoHeads):
  """Part of the code is to be read off the image, by a head of the judge.

  min_{G, Q} max_D V(D, G) - weight L_I(G, Q) (eq. 6), L_I = E[log Q(c|G(z, c))]
  + H(c). The code has `latent` numbers of noise, one category of `categories`
  and `continuous` numbers even in [-1, 1]. Q is a Gaussian of variance 1 for
  these, as is usual: its weight then says how precise they should be.

  As in the authors' program, both updates maximize L_I.

  Attributes:
    disc: images, train -> logits [B], and of Q [B, categories + continuous].
    categories: of the categorical code, c_1.
    continuous: numbers, c_2, c_3, ...
    weight: lambda for the category.
    continuous_weight: lambda for the numbers.
  """

  categories: Size = 10
  continuous: Count = 2
  weight: Weight = 1.0
  continuous_weight: Weight = 0.1

  @property
  def outputs(self) -> int:
    return self.categories + self.continuous

  def draw(self, key: jax.Array, num: int) -> jax.Array:
    """[num, Z + categories + continuous]: noise, one-hot category, numbers."""
    key_noise, key_category, key_numbers = jax.random.split(key, 3)
    noise = super().draw(key_noise, num)
    category = jax.random.randint(key_category, (num,), 0, self.categories)
    shape = (num, self.continuous)
    numbers = jax.random.uniform(key_numbers, shape, minval=-1)
    return self.join(noise, category, numbers)

  def join(self, noise, category, numbers) -> jax.Array:
    """One code of its parts: [B, Z], [B] and [B, continuous]."""
    one_hot = jax.nn.one_hot(category, self.categories)
    return jnp.concatenate([noise, one_hot, numbers], axis=-1)

  def disc_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    _, codes, real, fake, state = self.score_both(players, batch, key)
    (real, _), (fake, read) = real, fake
    total, accuracy = self.tell_apart(real, fake)
    cost, metrics = self._unread(codes, read)
    return total + cost, Aux({**metrics, **accuracy}, state)

  def gen_loss(self, players: Players, batch: Batch, *, key, step):
    del step
    key_gen, key_score = jax.random.split(key)
    images, codes, state = self.generate(players, batch, key_gen)
    (logits, read), _ = self.score(players, images, batch, key_score)
    total = jnp.mean(LOSSES[self.loss].gen(logits))
    cost, metrics = self._unread(codes, read)
    return total + cost, Aux(metrics, {'gen': state})

  def _unread(self, codes, read):
    """-weight L_I but for the constant H(c), and its metrics."""
    start = self.latent + self.categories
    category = jnp.argmax(codes[:, self.latent : start], axis=-1)
    logits, mean = read[:, : self.categories], read[:, self.categories :]
    surprise = jnp.mean(softmax_cross_entropy(logits, category))
    metrics = {
      # Of at most log(categories) nats.
      'category_information': jnp.log(self.categories) - surprise,
    }
    cost = self.weight * surprise
    if self.continuous:
      likelihood = gaussian_log_likelihood(codes[:, start:], mean)
      cost -= self.continuous_weight * jnp.mean(likelihood)
      errors = jnp.square(codes[:, start:] - mean)
      metrics['continuous_error'] = jnp.mean(errors)
    return cost, metrics

  # What the trained model can do.

  def predict_fns(self):
    return {**super().predict_fns(), 'sample_codes': self.vary}

  def classify(self, players: Players, batch: Batch) -> jax.Array:
    """Logits of the categories, [B, categories], in an order of their own."""
    return super().classify(players, batch)[:, : self.categories]

  def vary(self, players: Players, category, numbers, *, key) -> jax.Array:
    """Images of chosen codes [N] and [N, continuous], all with one noise."""
    noise = jnp.broadcast_to(super().draw(key, 1), (len(category), self.latent))
    codes = self.join(noise, category, numbers)
    return self.gen.apply(players['gen'], codes)
