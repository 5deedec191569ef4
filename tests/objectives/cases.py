"""Every objective with networks of a few parameters, and one batch for all."""

import contextlib
import functools
import importlib
import inspect
import pkgutil
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import objectives
from gen_jax.models import dense, progressive
from gen_jax.models.autoencoder import DenseDecoder, DenseEncoder
from gen_jax.objectives.acgan import ACGAN
from gen_jax.objectives.autoencoder import Autoencoder
from gen_jax.objectives.classifier import Classifier
from gen_jax.objectives.contrastive import Contrastive
from gen_jax.objectives.cyclegan import CycleGAN
from gen_jax.objectives.debiasing_vae import DebiasingVAE
from gen_jax.objectives.gan import GAN
from gen_jax.objectives.infogan import InfoGAN
from gen_jax.objectives.iwae import IWAE
from gen_jax.objectives.parts.conditioning import (
  Embedding,
  OneHot,
)
from gen_jax.objectives.parts.conditioning import (
  Projection as ProjectionConditioning,
)
from gen_jax.objectives.parts.latents import GaussianMixture, Normal, Uniform
from gen_jax.objectives.parts.regularizers import (
  R1,
  R2,
  Dragan,
  Drift,
  GradientPenalty,
)
from gen_jax.objectives.parts.sparsity import L1, KLToTarget
from gen_jax.objectives.pix2pix import Pix2Pix
from gen_jax.objectives.projection import Projection
from gen_jax.objectives.regression import PairedRegression
from gen_jax.objectives.stacked_autoencoder import (
  StackedAutoencoder,
  StackedClassifier,
)
from gen_jax.objectives.stackgan import MatchingAware, StageI, StageII
from gen_jax.objectives.stylegan import StyleGAN
from gen_jax.objectives.vae import VAE

KEY = jax.random.key(3)
SHAPE = (4, 4, 1)
CLASSES = 3


def make_batch(name, count=8):
  """Examples with the fields that an objective uses."""
  rng, objective = np.random.default_rng(0), OBJECTIVES[name]
  translates = any('translate' in k for k in objective.predict_fns())
  images = 'ab' if translates else ['image']
  low = -1 if objective.pixels == 'symmetric' else 0
  batch = {k: rng.uniform(low, 1, (count, *SHAPE)) for k in images}
  batch['embedding'] = rng.normal(size=(count, 2, 5))
  batch = {k: x.astype(np.float32) for k, x in batch.items()}
  return {**batch, 'label': (np.arange(count) % CLASSES).astype(np.int32)}


class Heads(nn.Module):
  """Outputs of the widths given, 0 for a scalar: logits, features, ..."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x, train=False):
    x = nn.Dropout(0.5, deterministic=not train)(x.reshape(len(x), -1))
    x = jnp.tanh(nn.Dense(4)(x))
    outputs = [nn.Dense(max(width, 1))(x) for width in self.widths]
    pairs = zip(outputs, self.widths, strict=True)
    outputs = tuple(y if width else y[:, 0] for y, width in pairs)
    return outputs if len(outputs) > 1 else outputs[0]


class Reader(Heads):
  """A network of captions, of which the data has vectors."""

  field = 'embedding'


class Pixelwise(nn.Module):
  """Images to images, or to logits of patches."""

  patches: bool = False
  dropout: float = 0.0
  stride = 1

  @nn.compact
  def __call__(self, x, train=False):
    x = nn.Dropout(self.dropout, deterministic=not train)(nn.Dense(2)(x))
    x = nn.Dense(1)(jnp.tanh(x))
    return x[..., 0] if self.patches else jnp.tanh(x)


class Painter(nn.Module):
  """A StackGAN generator, of either stage, without batch normalization."""

  shape: tuple[int, int, int] = SHAPE
  condition: int = 2

  @nn.compact
  def __call__(self, *inputs, train=False):
    x = jnp.concatenate([x.reshape(len(x), -1) for x in inputs], axis=-1)
    mean, log_variance = jnp.split(nn.Dense(2 * self.condition)(x), 2, axis=-1)
    c = mean + jnp.exp(log_variance / 2) * inputs[-1][:, : self.condition]
    x = nn.Dense(np.prod(self.shape))(jnp.concatenate([x, c], axis=-1))
    return jnp.tanh(x).reshape(-1, *self.shape), mean, log_variance


class Critic(nn.Module):
  """A StackGAN discriminator, without batch normalization."""

  @nn.compact
  def __call__(self, images, texts, train=False):
    x = nn.Dense(4)(images.reshape(len(images), -1))
    return nn.Dense(1)(jnp.tanh(x + nn.Dense(4)(texts)))[..., 0]  # [T, B]


class StyleGenerator(nn.Module):
  """What a style-based generator is to an objective, in two dense layers."""

  shape: tuple[int, int, int] = SHAPE
  width: int = 3
  classes: int = 0
  layers = 2

  def setup(self):
    self.mapping = nn.Dense(self.width)
    self.synthesis = nn.Dense(np.prod(self.shape))

  def map_latents(self, latents, labels=None):
    return jnp.tanh(self.mapping(latents))

  def broadcast(self, w):
    return jnp.repeat(w[:, None], self.layers, axis=1)

  def synthesize(self, w_plus, alpha=1.0, shared_noise=False):
    noise = jax.random.normal(self.make_rng('noise'), (len(w_plus), 1))
    x = self.synthesis(w_plus.reshape(len(w_plus), -1)) + 0.1 * noise
    return x.reshape(-1, *self.shape)

  def __call__(self, latents, labels=None):
    return self.synthesize(self.broadcast(self.map_latents(latents, labels)))


class StyleDiscriminator(nn.Module):
  """Logits that depend on the minibatch standard deviation."""

  group: int = 4
  classes: int = 0

  @nn.compact
  def __call__(self, images, labels=None, alpha=1.0):
    x = progressive.minibatch_stddev(nn.Dense(3)(images), self.group)
    x = jnp.tanh(nn.Dense(4)(x.reshape(len(x), -1)))
    return nn.Dense(1)(x)[:, 0]


_GEN = dict(gen=dense.Generator(SHAPE, hidden=(3,)), latents=Normal(size=3))
_DISC = dense.Discriminator(hidden=(4,), dropout=0.5)
_AUTOENCODER = dict(
  encoder=DenseEncoder(features=3, hidden=()),
  decoder=DenseDecoder(shape=SHAPE, hidden=()),
)
_VAE = {**_AUTOENCODER, 'encoder': DenseEncoder(features=4, hidden=())}
_STACK = dict(shape=SHAPE, widths=(4, 3), classes=CLASSES, level=0.2)
_STYLE = dict(
  gen=StyleGenerator(),
  disc=StyleDiscriminator(),
  latents=Normal(size=3),
  style_mixing_prob=0.5,
)
_STAGE = dict(text=Reader((3,)), gen1=Painter(), latent_size=2)
_DOMAINS = dict(gen_ab=Pixelwise(), gen_ba=Pixelwise())

OBJECTIVES = {
  'acgan': ACGAN(
    gen=_GEN['gen'],
    disc=Heads((0, CLASSES)),
    classes=CLASSES,
    latents=Uniform(size=3),
  ),
  'autoencoder': Autoencoder(**_AUTOENCODER),
  'cgan': GAN(
    **_GEN,
    disc=_DISC,
    conditioning=OneHot(classes=CLASSES),
    matching_aware_weight=0.5,
    pack=2,
  ),
  'cgan/embedding': GAN(
    **_GEN,
    disc=_DISC,
    conditioning=Embedding(classes=CLASSES, features=2),
    loss='hinge',
  ),
  'cgan/projection': GAN(
    **_GEN,
    disc=Heads((0, CLASSES)),
    conditioning=ProjectionConditioning(classes=CLASSES),
    loss='relativistic',
  ),
  'classifier': Classifier(network=Heads((CLASSES, 2)), level=0.3),
  'conditional_vae': VAE(**_VAE, classes=CLASSES, samples=2),
  'contrastive': Contrastive(
    text=Reader((3,)), image=Heads((3, 2)), corruption='gaussian', level=0.1
  ),
  'cyclegan': CycleGAN(
    **_DOMAINS,
    disc_a=Pixelwise(patches=True),
    disc_b=Pixelwise(patches=True),
    pool_size=3,
  ),
  'debiasing_vae': DebiasingVAE(**_VAE, candidates=1),
  'denoising_autoencoder': Autoencoder(
    **_AUTOENCODER, corruption='salt_and_pepper'
  ),
  'gan': GAN(
    gen=_GEN['gen'],
    disc=_DISC,
    latents=GaussianMixture(size=3, components=2),
    pack=2,
    regularizers=(R1(),),
  ),
  'gan/dragan': GAN(**_GEN, disc=Heads((0,)), regularizers=(Dragan(),)),
  'gan/lazy': GAN(
    **_GEN, disc=_DISC, regularizers=(R1(every=1), R2(every=2)), disc_steps=1
  ),
  'infogan': InfoGAN(**_GEN, disc=Heads((0, CLASSES + 2)), categories=CLASSES),
  'iwae': IWAE(**_VAE, samples=3),
  'pix2pix': Pix2Pix(gen=Pixelwise(dropout=0.5), disc=Pixelwise(patches=True)),
  'regression': PairedRegression(**_DOMAINS),
  'iwae/dreg': IWAE(**_VAE, samples=3, estimator='dreg'),
  'sparse_l1': Autoencoder(**_AUTOENCODER, sparsity=L1()),
  'sparse_kl': Autoencoder(
    **_AUTOENCODER, latent_activation='sigmoid', sparsity=KLToTarget()
  ),
  'stack/greedy': StackedAutoencoder(**_STACK, first=1, depth=2),
  'stack/unrolled': StackedAutoencoder(**_STACK),
  'stack/classifier': StackedClassifier(**_STACK),
  'stackgan/1': StageI(**_STAGE, disc1=Critic()),
  'stackgan/2': StageII(**_STAGE, gen2=Painter(), disc2=Critic()),
  'stackgan/relativistic': StageI(
    **_STAGE,
    disc1=Critic(),
    loss='relativistic',
    regularizers=(R1(), R2(every=2)),
  ),
  'stylegan': StyleGAN(**_STYLE, fade_in_steps=4),
  'stylegan/relativistic': StyleGAN(**_STYLE, loss='relativistic'),
  'stylegan/wgan': StyleGAN(
    **_STYLE, loss='wasserstein', regularizers=(Drift(), GradientPenalty())
  ),
  # Bounds that the divergence of some devices' examples would pass alone.
  'vae/free_bits': VAE(**_VAE, free_bits=0.7, kl_warmup=2),
  'vae/capacity': VAE(
    **_VAE, capacity=1.4, likelihood='gaussian', learn_variance=True
  ),
  'wgan': GAN(**_GEN, disc=_DISC, loss='wasserstein'),
  'wgan_gp': GAN(
    **_GEN,
    disc=_DISC,
    loss='wasserstein',
    regularizers=(Drift(), GradientPenalty()),
    augment=('color',),
  ),
}
# A part of others, and one that descends in w of given images, in a loop of its
# own.
APART = {MatchingAware, Projection}


def implemented():
  """The classes of gen_jax.objectives that have updates."""
  for module in pkgutil.iter_modules(objectives.__path__):
    module = importlib.import_module(f'{objectives.__name__}.{module.name}')
    for name, cls in vars(module).items():
      complete = hasattr(cls, 'updates') and not inspect.isabstract(cls)
      if complete and cls.__module__ == module.__name__ and name[0] != '_':
        yield cls


@functools.cache
def players(name):
  """Players of an objective, whose parameters are drawn without compiling."""
  objective, rng = OBJECTIVES[name], np.random.default_rng(1)
  made = jax.eval_shape(objective.init, KEY, make_batch(name))

  def draw(x):
    if jnp.issubdtype(x.dtype, jnp.integer):
      return np.zeros(x.shape, x.dtype)
    return rng.normal(0, 0.4, x.shape).astype(x.dtype)

  return jax.tree.map(draw, made)


# Samplers that depend neither on the key nor on the size of the batch, which
# under pmap is that of a device.


def _wave(shape):
  """Values in [-1, 1] that vary along the last axis, the channels, alone."""
  return jnp.broadcast_to(jnp.cos(1 + jnp.arange((*shape, 1)[-1])), shape)


def _normal(key, shape=(), dtype=jnp.float32):
  return _wave(shape)


def _uniform(key, shape=(), dtype=jnp.float32, minval=0.0, maxval=1.0):
  return minval + (maxval - minval) * (0.5 + 0.4 * _wave(shape))


def _bernoulli(key, p=0.5, shape=None):
  return jnp.broadcast_to(jnp.asarray(p) >= 0.5, shape or np.shape(p))


def _randint(key, shape, minval, maxval):
  return jnp.broadcast_to((minval + maxval) // 2, shape)


def _categorical(key, logits, axis=-1, shape=None):
  return jnp.broadcast_to(jnp.argmax(logits, axis), shape)


SAMPLERS = dict(
  normal=_normal,
  uniform=_uniform,
  bernoulli=_bernoulli,
  randint=_randint,
  categorical=_categorical,
)


_CHILDREN = {}


@contextlib.contextmanager
def without_noise(record=lambda key: None):
  """Replaces the samplers; `record` gets the bytes of each key that is used.

  A key is used by a draw or a split. Networks give theirs to the one layer that
  draws. Keys are derived while a program is traced, and are no part of it.
  """
  split, fold_in = jax.random.split, jax.random.fold_in

  def name(key):
    with jax.ensure_compile_time_eval():
      return np.asarray(jax.random.key_data(key)).tobytes()

  def use(key):
    record(name(key))

  def child(make, key, *args):
    # Every objective derives much the same keys, each time by new programs.
    index = make.__name__, name(key), *args
    if index not in _CHILDREN:
      with jax.ensure_compile_time_eval():
        _CHILDREN[index] = make(key, *args)
    return _CHILDREN[index]

  def using(sampler):
    def draw(key, *args, **kwargs):
      use(key)
      return sampler(key, *args, **kwargs)

    return draw

  def split_in_list(key, num):
    return list(split(key, num))

  def derive_many(key, num=2):
    use(key)
    return list(child(split_in_list, key, num))

  def derive(key, data):
    if isinstance(data, jax.core.Tracer):
      return key  # of a network's layer, of the step, or of the device
    return child(fold_in, key, data)

  samplers = {name: using(fn) for name, fn in SAMPLERS.items()}
  with mock.patch.multiple(
    jax.random, split=derive_many, fold_in=derive, **samplers
  ):
    yield
