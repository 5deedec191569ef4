"""StyleGAN (Karras et al. 2018), with any adversarial loss."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from gen_jax.core import Aux, Batch, Capabilities, Players, Update
from gen_jax.distributed import collectives
from gen_jax.errors import InputError
from gen_jax.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from gen_jax.losses.augmentation import AUGMENTATIONS
from gen_jax.models import progressive
from gen_jax.models.layers.batches import join, split
from gen_jax.models.layers.resampling import downsample, upsample
from gen_jax.models.progressive import lerp
from gen_jax.objectives.parts import adversarial
from gen_jax.objectives.parts.labels import all_classes, check_labeled, one_hot
from gen_jax.objectives.parts.latents import Latents, Normal
from gen_jax.objectives.parts.regularizers import (
  Regularizer,
  Scorer,
  augmented,
)
from gen_jax.registry.fields import (
  Count,
  Fraction,
  Number,
  Size,
  one_of,
)

_PART = 32  # images that `sample` generates at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class StyleGAN:
  """Players `gen` and `disc`, which grow together, and `fade_in`.

  A stage of the config for each resolution takes over the parameters of the
  stage before. The generator keeps `w_avg`, the running mean of w, beside its
  parameters. The player `fade_in` has no parameters but holds alpha, the weight
  of the newest resolution: so a prediction is a function of the players alone,
  and alpha is never averaged with older values.

  The images of the data are averaged down to the generator's resolution; they
  may be larger by any power of two.

  In the paper the loss is 'non_saturating' with R1 of weight 10, or
  'wasserstein' with a gradient penalty and drift.

  Attributes:
    gen: `stylegan.Generator`.
    disc: `progressive.Discriminator`; None for a generator that was trained
      elsewhere, which samples and is not trained.
    latents: the prior of the generator's latents.
    loss: one of `ADVERSARIAL_LOSSES`, see gen_jax/losses/adversarial.py.
    real_label: of the data, less than 1 for one-sided label smoothing.
    disc_steps: updates of the discriminator for each of the generator.
    regularizers: penalties on the discriminator.
    augment: augmentations of all images that the discriminator gets in
      training, see gen_jax/losses/augmentation.py.
    fade_in_steps: steps in which the resolution fades in; 0 for none.
    style_mixing_prob: probability with which an image has the w of two latents,
      from a random layer on that of the second (section 3.1).
    w_avg_beta: decay of `w_avg`, per step.
    truncation_psi: of samples, w_avg + psi (w - w_avg) (appendix B); 1 for no
      truncation.
    truncation_cutoff: number of layers that are truncated, from the coarsest
      on; 0 for all.
  """

  gen: nn.Module
  disc: nn.Module | None = None
  latents: Latents = Normal(size=512)
  loss: Annotated[str, one_of(ADVERSARIAL_LOSSES)] = 'non_saturating'
  real_label: Fraction = 1.0
  disc_steps: Size = 1
  regularizers: tuple[Regularizer, ...] = ()
  augment: tuple[Annotated[str, one_of(AUGMENTATIONS)], ...] = ()
  fade_in_steps: Count = 0
  style_mixing_prob: Fraction = 0.9
  w_avg_beta: Fraction = 0.995
  truncation_psi: Number = 1.0
  truncation_cutoff: Count = 0

  pixels: ClassVar[str] = 'symmetric'

  def __post_init__(self) -> None:
    adversarial.check_real_label(self.loss, self.real_label)
    if self.disc is not None and self.disc.classes != self.classes:
      raise InputError(
        f'objective.disc.classes: expected {self.classes}, as '
        'objective.gen.classes.'
      )

  @property
  def classes(self) -> int:
    """Returns the number of classes that the networks know; 0 for none."""
    return self.gen.classes

  @property
  def losses(self) -> AdversarialLoss:
    """Returns the losses of both players."""
    return ADVERSARIAL_LOSSES[self.loss]

  def init(self, key: jax.Array, batch: Batch) -> Players:
    """Returns the variables of the players."""
    if self.classes:
      check_labeled(batch, self)
    self._check_shape(batch['image'].shape[1:])
    key_gen, key_noise, key_disc = jax.random.split(key, 3)
    batch = {k: jnp.resize(x, (2, *x.shape[1:])) for k, x in batch.items()}
    labels, latents = self._labels(batch), self.latents.sample(key_gen, 2)
    keys = {'params': key_gen, 'noise': key_noise}
    gen = self.gen.init(keys, latents, labels)
    players = {
      'gen': {**gen, 'average': {'w_avg': jnp.zeros(self.gen.width)}},
      'fade_in': self._fade_in(self.alpha_at(0)),
    }
    if self.disc is None:
      return players
    images = self.real_images(batch['image'], 1.0)
    players['disc'] = self.disc.init(key_disc, images, labels)
    adversarial.check_no_batch_norm(players, 'disc', self.regularizers)
    return players

  def _check_shape(self, shape):
    height, width, depth = shape
    resolution = self.gen.shape[0]
    times = height // resolution
    if (
      self.gen.shape != (resolution, resolution, depth)
      or height != width
      or times * resolution != height
      or times & (times - 1)
    ):
      raise InputError(
        f'objective.gen.shape={self.gen.shape}: images of {shape} cannot be '
        'averaged down to it: take their channels, and their side or a half, '
        'a quarter, ... of it.'
      )

  def updates(self) -> tuple[Update, ...]:
    """Returns the discriminator's updates, then the generator's."""
    if self.disc is None:
      return ()
    disc = adversarial.disc_updates(
      self.disc_loss,
      self.regularizers,
      self.scorer,
      check_batch=self._check_groups,
    )
    gen = Update(
      wrt=('gen',),
      loss=self.gen_loss,
      every=self.disc_steps,
      check_batch=self._check_groups,
      warnings=adversarial.warnings,
    )
    return tuple(
      dataclasses.replace(u, loss=functools.partial(self.faded_loss, u.loss))
      for u in (*disc, gen)
    )

  def _check_groups(self, size, local):
    del local  # groups are of the batch of all devices
    assert self.disc is not None
    group = self.disc.group
    progressive.check_group(size, group)
    if size < group:
      raise InputError(
        f'objective.disc.group={group}: a batch, or a part of it with '
        f'config.accumulate, has only {size} images: take group={size}.'
      )

  # Progressive growing.

  def faded_loss(
    self,
    loss: Callable[..., tuple[jax.Array, Aux]],
    players: Players,
    batch: Batch,
    *,
    key: jax.Array,
    step: jax.Array,
  ) -> tuple[jax.Array, Aux]:
    """Returns a loss for the alpha and the images of a step."""
    alpha = self.alpha_at(step)
    players = {**players, 'fade_in': self._fade_in(alpha)}
    batch = {**batch, 'image': self.real_images(batch['image'], alpha)}
    total, aux = loss(players, batch, key=key, step=step)
    # Stores the alpha of the next step, which is that of the state after this.
    after = self._fade_in(self.alpha_at(step + 1))
    state = {**aux.state, 'fade_in': {'fade_in': after['fade_in']}}
    metrics = {**aux.metrics, 'alpha': jnp.float32(alpha)}
    return total, aux._replace(metrics=metrics, state=state)

  def alpha_at(self, step: jax.Array | int) -> jax.Array | float:
    """Returns min(step / fade_in_steps, 1), for a step of the stage."""
    if not self.fade_in_steps:
      return 1.0
    fraction = jnp.asarray(step, jnp.float32) / self.fade_in_steps
    return jnp.minimum(fraction, 1.0)

  def alpha(self, players: Players) -> jax.Array | float:
    """Returns the weight of the newest resolution of the players."""
    if not self.fade_in_steps:
      return 1.0
    return players['fade_in']['fade_in'][f'alpha_{self.gen.shape[0]}']

  def _fade_in(self, alpha):
    # Named by resolution, so that a stage does not take over another's alpha.
    values = {f'alpha_{self.gen.shape[0]}': jnp.float32(alpha)}
    return {'params': {}, 'fade_in': values}

  def real_images(
    self, images: jax.Array, alpha: jax.Array | float
  ) -> jax.Array:
    """Downsamples images to the generator's resolution, and fades them in.

    Args:
      images: of the data, [B, H, H, C].
      alpha: weight of the newest resolution; the rest is that of images of half
        the resolution.
    """
    images = downsample(images, images.shape[1] // self.gen.shape[0])
    if not self.fade_in_steps:
      return images
    return lerp(upsample(downsample(images)), images, alpha)

  # Losses. Their real images have the generator's resolution.

  def disc_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the discriminator's loss, with the penalties of each step."""
    del step
    key, key_penalties = adversarial.split_key(key, self.regularizers)
    key_gen, key_real, key_fake = jax.random.split(key, 3)
    images, _ = self.generate(players, batch, key_gen)
    real = self.score(players, batch['image'], batch, key_real)
    fake = self.score(players, images, batch, key_fake)
    total = self.losses.disc_loss(real, fake, self.real_label)
    metrics = adversarial.logit_metrics(self.losses, real, fake)
    if self.loss == 'wasserstein':
      distance = metrics['real_logits'] - metrics['fake_logits']
      metrics['wasserstein_distance'] = distance
    penalty, more = adversarial.penalties(
      self.regularizers,
      self.scorer(players, batch).with_fake(images),
      key_penalties,
    )
    return total + penalty, Aux({**metrics, **more})

  def gen_loss(
    self, players: Players, batch: Batch, *, key: jax.Array, step: jax.Array
  ) -> tuple[jax.Array, Aux]:
    """Returns the generator's loss."""
    del step
    key_gen, key_fake = jax.random.split(key)
    images, state = self.generate(players, batch, key_gen)
    fake = self.score(players, images, batch, key_fake)
    real = fake
    if self.losses.paired:
      key_real = jax.random.fold_in(key_fake, 2)
      real = self.score(players, batch['image'], batch, key_real)
    total = self.losses.gen_loss(fake, real)
    return total, Aux({'logits': jnp.mean(fake)}, {'gen': state})

  # The players in training.

  def generate(
    self, players: Players, batch: Batch, key: jax.Array
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Generates as many images as the batch has, and the new `w_avg`."""
    key_latents, key_mix, key_noise = jax.random.split(key, 3)
    labels = self._labels(batch)
    latents = self.latents.sample(key_latents, 2 * len(batch['image']))
    latents = collectives.divide_batch(latents)
    twice = None if labels is None else join([labels, labels])
    w = self.gen.apply(players['gen'], latents, twice, method='map_latents')
    first, second = split(w, 2)
    w_plus = mix_styles(
      key_mix, first, second, self.gen.layers, self.style_mixing_prob
    )
    images = self._synthesize(players, w_plus, key_noise, shared_noise=False)
    w_avg = lerp(jnp.mean(first, axis=0), self.w_avg(players), self.w_avg_beta)
    return images, {'average': {'w_avg': w_avg}}

  def score(
    self, players: Players, images: jax.Array, batch: Batch, key: jax.Array
  ) -> jax.Array:
    """Returns the logits of augmented images, [B]."""
    images, _ = augmented(images, self.augment, key)
    return self.logits(players, images, batch)

  def logits(
    self, players: Players, images: jax.Array, batch: Batch
  ) -> jax.Array:
    """Returns the logits of images with the labels of a batch, [B]."""
    assert self.disc is not None
    labels, alpha = self._labels(batch), self.alpha(players)
    return self.disc.apply(players['disc'], images, labels, alpha)

  def scorer(self, players: Players, batch: Batch) -> Scorer:
    """Returns the discriminator as a function of images, for regularizers.

    Args:
      players: all of them.
      batch: real images and their labels.
    """

    def logits(images: jax.Array, key: jax.Array) -> jax.Array:
      del key
      return self.logits(players, images, batch)

    def fake(key: jax.Array) -> jax.Array:
      return self.generate(players, batch, key)[0]

    return Scorer(logits, batch['image'], fake, self.augment)

  def _labels(self, batch):
    return one_hot(batch['label'], self.classes) if self.classes else None

  def _synthesize(self, players, w_plus, key, shared_noise):
    return self.gen.apply(
      players['gen'],
      w_plus,
      self.alpha(players),
      shared_noise,
      method='synthesize',
      rngs={'noise': key},
    )

  # Capabilities of the trained model.

  def predict_fns(self) -> Capabilities:
    """Returns the capabilities of the trained model."""
    fns = Capabilities(
      sample=self.sample,
      sample_latents=self.sample_latents,
      map_latents=self.map_latents,
      w_avg=self.w_avg,
      synthesize=self.synthesize,
    )
    if self.disc is not None:
      fns['discriminate'] = self.discriminate
    if self.classes:
      fns['sample_classes'] = self.sample_classes
    return fns

  def sample(self, players: Players, *, key: jax.Array, num: int) -> jax.Array:
    """Generates truncated images, of all classes in turn, [num, H, H, C]."""
    labels = all_classes(num, max(self.classes, 1))
    return self.sample_classes(players, labels, key=key)

  def sample_classes(
    self, players: Players, labels: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Generates truncated images of labels [N] or class weights [N, K]."""
    key_latents, key_noise = jax.random.split(key)
    num = labels.shape[0]
    latents = self.latents.sample(key_latents, num)
    w_plus = self.map_latents(players, latents, labels)
    w_plus = self.truncated(players, w_plus)

    def synthesize(part):
      return self._synthesize(players, *part, shared_noise=False)

    if num <= _PART:
      return synthesize((w_plus, key_noise))
    # In parts, because the features of hundreds of large images do not fit into
    # memory.
    count = -(-num // _PART)
    w_plus = jnp.resize(w_plus, (count, _PART, *w_plus.shape[1:]))
    keys = jax.random.split(key_noise, count)
    images = jax.lax.map(synthesize, (w_plus, keys))
    return images.reshape(-1, *images.shape[2:])[:num]

  def truncated(self, players: Players, w_plus: jax.Array) -> jax.Array:
    """Returns w_plus [B, L, W] moved toward `w_avg` in the first layers."""
    layers = self.gen.layers
    here = jnp.arange(layers)[:, None] < (self.truncation_cutoff or layers)
    psi = jnp.where(here, self.truncation_psi, 1.0)
    return lerp(self.w_avg(players), w_plus, psi)

  def discriminate(self, players: Players, batch: Batch) -> jax.Array:
    """Returns the logits of the images, [B]."""
    images = self.real_images(batch['image'], self.alpha(players))
    return self.logits(players, images, batch)

  def sample_latents(
    self, players: Players, *, key: jax.Array, num: int
  ) -> jax.Array:
    """Draws latents from the prior, [num, Z]."""
    del players
    return self.latents.sample(key, num)

  def map_latents(
    self,
    players: Players,
    latents: jax.Array,
    labels: jax.Array | None = None,
  ) -> jax.Array:
    """Returns w for every layer, [N, layers, W].

    Args:
      players: all of them.
      latents: [N, Z].
      labels: classes [N] or class weights [N, K]; None for all in turn. Without
        classes they have no effect.
    """
    weights = None
    if self.classes:
      if labels is None:
        labels = all_classes(latents.shape[0], self.classes)
      weights = one_hot(labels, self.classes)
    w = self.gen.apply(players['gen'], latents, weights, method='map_latents')
    return self.gen.broadcast(w)

  def w_avg(self, players: Players) -> jax.Array:
    """Returns the running mean of w, [W]."""
    return players['gen']['average']['w_avg']

  def synthesize(
    self, players: Players, w_plus: jax.Array, *, key: jax.Array
  ) -> jax.Array:
    """Generates images for w_plus [N, layers, W], all with the same noise."""
    return self._synthesize(players, w_plus, key, shared_noise=True)


def mix_styles(
  key: jax.Array,
  first: jax.Array,
  second: jax.Array,
  layers: int,
  prob: float,
) -> jax.Array:
  """Returns w_plus with the w of two latents in some images, [B, layers, W].

  Args:
    key: of the random choices.
    first: w of the layers up to a random one, [B, W].
    second: w of the other layers, [B, W].
    layers: number of layers.
    prob: probability that an image has the w of both.

  References:
    Karras et al., 2018, A Style-Based Generator Architecture, section 3.1.
  """
  key_mix, key_layer = jax.random.split(key)
  count = len(first)
  until = jax.random.randint(key_layer, (count,), 1, layers)
  mixes = jax.random.bernoulli(key_mix, prob, (count,))
  until = jnp.where(mixes, until, layers)[:, None, None]
  before = jnp.arange(layers)[:, None] < until  # [B, layers, 1]
  return jnp.where(before, first[:, None], second[:, None])
