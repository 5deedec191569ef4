"""The style-based generator in a game of two (Karras et al. 2018).

It grows: a stage of the config for each resolution takes over what the one
before has learned. Players are `gen`, with the running mean of w beside its
parameters, the judge, and `growth`, which has no parameters, but holds the
share with which the newest resolution is seen: so a prediction is a function of
the players alone, and the share is never averaged with older ones.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from gen_jax.core import Batch, Players, Update
from gen_jax.errors import InputError
from gen_jax.models import progressive
from gen_jax.models.layers.resampling import downsample, upsample
from gen_jax.models.progressive import lerp
from gen_jax.objectives.game import Game
from gen_jax.objectives.labels import check_labeled, one_hot
from gen_jax.registry.fields import Count, Fraction, Number, Size

_PART = 32  # samples at a time


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style(Game):
  """What a style-based generator brings to a game.

  Images of the data are averaged down to the generator's resolution; any power
  of two times as large will do.

  Attributes:
    gen: `stylegan.Generator`; the discriminator is `progressive.Discriminator`.
    fade_in_steps: steps in which the resolution fades in; 0 for none.
    style_mixing_prob: probability with which an image has the w of two latents,
      from a random layer on that of the second (section 3.1).
    w_avg_beta: decay of the running mean of w, per step.
    truncation_psi: of samples, w_avg + psi (w - w_avg) (appendix B); 1 for no
      truncation.
    truncation_cutoff: number of layers that are truncated, from the coarsest
      on; 0 for all.
  """

  latent: Size = 512
  fade_in_steps: Count = 0
  style_mixing_prob: Fraction = 0.9
  w_avg_beta: Fraction = 0.995
  truncation_psi: Number = 1.0
  truncation_cutoff: Count = 0

  def __post_init__(self):
    super().__post_init__()
    if self.pack != 1:
      raise InputError(
        f'objective.pack={self.pack}: this judge sees the deviation over '
        'groups of images already: take 1.'
      )
    if getattr(self, self.judge).classes != self.classes:
      raise InputError(
        f'objective.{self.judge}.classes: expected {self.classes}, as '
        'objective.gen.classes.'
      )

  @property
  def classes(self) -> int:
    """Of the data that the networks know; 0 for none."""
    return self.gen.classes

  @property
  def resolution(self) -> int:
    return self.gen.shape[0]

  def check_batch(self, size: int, local: int) -> None:
    del local  # groups are of the batch of all devices
    group = getattr(self, self.judge).group
    progressive.check_group(size, group)
    if size < group:
      raise InputError(
        f'objective.{self.judge}.group={group}: a batch, or a part of it with '
        f'config.accumulate, has only {size} images: take group={size}.'
      )

  def init(self, key: jax.Array, batch: Batch) -> Players:
    if self.classes:
      check_labeled(batch, self)
    self._check_shape(batch['image'].shape[1:])
    key_gen, key_noise, key_judge = jax.random.split(key, 3)
    batch = {k: jnp.resize(x, (2, *x.shape[1:])) for k, x in batch.items()}
    labels, codes = self._labels(batch), self.draw(key_gen, 2)
    gen = self.gen.init({'params': key_gen, 'noise': key_noise}, codes, labels)
    judge = getattr(self, self.judge).init(
      key_judge, self.pooled(batch['image']), labels
    )
    return {
      'gen': {**gen, 'average': {'w': jnp.zeros(self.gen.width)}},
      self.judge: judge,
      'growth': self._growth(self.alpha_at(0)),
    }

  def _check_shape(self, shape):
    height, width, depth = shape
    times = height // self.resolution
    if (
      self.gen.shape != (self.resolution, self.resolution, depth)
      or height != width
      or times * self.resolution != height
      or times & (times - 1)
    ):
      raise InputError(
        f'objective.gen.shape={self.gen.shape}: images of {shape} cannot be '
        'averaged down to it: take their channels, and their side or a half, '
        'a quarter, ... of it.'
      )

  # How it grows.

  def updates(self) -> tuple[Update, ...]:
    return tuple(
      dataclasses.replace(u, loss=functools.partial(self._grown, u.loss))
      for u in super().updates()
    )

  def _grown(self, loss, players: Players, batch: Batch, *, key, step):
    """The loss at the share that the resolution has at this step."""
    alpha = self.alpha_at(step)
    players = {**players, 'growth': self._growth(alpha)}
    batch = {**batch, 'image': self.seen(batch['image'], alpha)}
    total, aux = loss(players, batch, key=key, step=step)
    # What is kept is the share of the state after this step.
    after = self._growth(self.alpha_at(step + 1))
    state = {**aux.state, 'growth': {'fade': after['fade']}}
    metrics = {**aux.metrics, 'alpha': jnp.float32(alpha)}
    return total, aux._replace(metrics=metrics, state=state)

  def alpha_at(self, step: jax.Array | int) -> jax.Array | float:
    """min(step / fade, 1), `step` counted from the start of the stage.

    As each step shows one batch, it is the share of the fade's images that were
    shown.
    """
    if not self.fade_in_steps:
      return 1.0
    return jnp.minimum(jnp.asarray(step, jnp.float32) / self.fade_in_steps, 1.0)

  def _growth(self, alpha):
    # By resolution, so that a stage does not begin with the share of another.
    fade = {f'alpha_{self.resolution}': jnp.float32(alpha)}
    return {'params': {}, 'fade': fade}

  def alpha(self, players: Players) -> jax.Array | float:
    """The share of the players' newest resolution."""
    if not self.fade_in_steps:
      return 1.0
    return players['growth']['fade'][f'alpha_{self.resolution}']

  def pooled(self, images: jax.Array) -> jax.Array:
    """Averages down to the generator's resolution, [B, R, R, C]."""
    return downsample(images, images.shape[1] // self.resolution)

  def seen(self, images: jax.Array, alpha: jax.Array | float) -> jax.Array:
    """Images as the generator's are: of half the resolution with 1 - alpha."""
    images = self.pooled(images)
    if not self.fade_in_steps:
      return images
    return lerp(upsample(downsample(images)), images, alpha)

  # What losses are made of.

  def generate(self, players: Players, batch: Batch, key: jax.Array):
    key_code, key_mix, key_noise = jax.random.split(key, 3)
    count, labels = len(batch['image']), self._labels(batch)
    codes = self.draw(key_code, 2 * count)
    twice = None if labels is None else jnp.tile(labels, (2, 1))
    w = self.gen.apply(players['gen'], codes, twice, method='map_latents')
    first, second = jnp.split(w, 2)
    styles = self.mixed(key_mix, first, second)
    images = self._synthesize(players, styles, key_noise, shared=False)
    mean = lerp(jnp.mean(first, axis=0), self.w_avg(players), self.w_avg_beta)
    return images, codes[:count], {'average': {'w': mean}}

  def mixed(
    self, key: jax.Array, first: jax.Array, second: jax.Array
  ) -> jax.Array:
    """Styles of `first` up to a layer drawn, then of `second`, [B, L, W]."""
    key_share, key_layer = jax.random.split(key)
    count, layers = len(first), self.gen.layers
    until = jax.random.randint(key_layer, (count,), 1, layers)
    mixes = jax.random.bernoulli(key_share, self.style_mixing_prob, (count,))
    until = jnp.where(mixes, until, layers)[:, None, None]
    before = jnp.arange(layers)[:, None] < until  # [B, L, 1]
    return jnp.where(before, first[:, None], second[:, None])

  def rate(self, players: Players, seen: jax.Array, batch: Batch, key):
    del key
    judge = getattr(self, self.judge)
    labels, alpha = self._labels(batch), self.alpha(players)
    return judge.apply(players[self.judge], seen, labels, alpha), {}

  def _labels(self, batch):
    return one_hot(batch['label'], self.classes) if self.classes else None

  def _synthesize(self, players, styles, key, shared):
    return self.gen.apply(
      players['gen'],
      styles,
      self.alpha(players),
      shared,
      method='synthesize',
      rngs={'noise': key},
    )

  # What the trained model can do.

  def predict_fns(self):
    classes = {'sample_classes': self.sample_classes} if self.classes else {}
    return {
      **classes,
      'sample': self.sample,
      'discriminate': self.discriminate,
      'sample_latents': self.sample_latents,
      'map_latents': self.map_latents,
      'w_avg': self.w_avg,
      'synthesize': self.synthesize,
    }

  def sample(self, players: Players, *, key, num: int) -> jax.Array:
    """Truncated images of `num` codes from the prior, each of its own noise."""
    return self._sample(players, key, num, None)

  def sample_classes(self, players: Players, labels, *, key) -> jax.Array:
    """The same of classes [num] or shares of them [num, K]."""
    return self._sample(players, key, len(labels), labels)

  def _sample(self, players, key, num, labels):
    key_code, key_noise = jax.random.split(key)
    styles = self.map_latents(players, self.draw(key_code, num), labels)
    styles = self.truncated(
      players, styles, self.truncation_psi, self.truncation_cutoff
    )

    def draw(part):
      return self._synthesize(players, *part, shared=False)

    if num <= _PART:
      return draw((styles, key_noise))
    # In parts, for the maps of hundreds of large images fit no memory.
    count = -(-num // _PART)
    styles = jnp.resize(styles, (count, _PART, *styles.shape[1:]))
    images = jax.lax.map(draw, (styles, jax.random.split(key_noise, count)))
    return images.reshape(-1, *images.shape[2:])[:num]

  def truncated(
    self, players: Players, styles: jax.Array, psi: float, cutoff: int = 0
  ) -> jax.Array:
    """Styles [B, L, W] drawn toward the mean in the first `cutoff` layers."""
    here = jnp.arange(self.gen.layers)[:, None] < (cutoff or self.gen.layers)
    return lerp(self.w_avg(players), styles, jnp.where(here, psi, 1.0))

  def discriminate(self, players: Players, batch: Batch) -> jax.Array:
    images = self.seen(batch['image'], self.alpha(players))
    return self.rate(players, images, batch, None)[0]

  def sample_latents(self, players: Players, *, key, num: int) -> jax.Array:
    """Codes from the prior, [num, Z]."""
    del players
    return self.draw(key, num)

  def map_latents(
    self, players: Players, codes: jax.Array, labels=None
  ) -> jax.Array:
    """Styles of codes, one for all layers, [B, Z] -> [B, layers, W].

    `labels` are classes [B], shares [B, K], or all in turn.
    """
    shares = None
    if self.classes:
      if labels is None:
        labels = jnp.arange(len(codes)) % self.classes
      shares = one_hot(labels, self.classes)
    w = self.gen.apply(players['gen'], codes, shares, method='map_latents')
    return self.gen.broadcast(w)

  def w_avg(self, players: Players) -> jax.Array:
    """The running mean of w, [W]."""
    return players['gen']['average']['w']

  def synthesize(self, players: Players, styles: jax.Array, *, key):
    """Images of styles [B, layers, W], with one draw of noise for all."""
    return self._synthesize(players, styles, key, shared=True)
