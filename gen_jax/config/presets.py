"""What several config files share.

A config file reads as: docstring, defaults, variants. A variant is a function
at the level of the module that takes the config and changes it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from gen_jax.errors import InputError, nearest


def choose(
  config: ConfigDict, arg: str | None, *variants: Callable[[ConfigDict], None]
) -> ConfigDict:
  """Returns the config after the variant of `--config=file.py:variant`.

  Args:
    config: the defaults of the file.
    arg: the name of a variant; None or '' for the defaults.
    *variants: functions that change the config, known by their names.
  """
  known = {variant.__name__: variant for variant in variants}
  if arg:
    if arg not in known:
      raise InputError(f'variant {arg!r} is unknown.{nearest(arg, known)}')
    known[arg](config)
  return config


def test(config: ConfigDict) -> None:
  """Makes it a run of seconds, with few steps of few images."""
  config.batch_size = 8
  config.steps = 6
  config.log_every = 3
  config.checkpoint.every = 4
  config.data.train, config.data.test = 'train[:64]', 'test[:40]'


def fashion_mnist(config: ConfigDict) -> None:
  """Trains on Fashion-MNIST, which TFDS prepares at its first use."""
  config.data.name = 'tfds'
  config.data.update(dataset='fashion_mnist', data_dir=None, manual_dir=None)


def folder(
  config: ConfigDict, shape: tuple[int, int, int] = (64, 64, 3)
) -> None:
  """Trains on the images of a folder, --config.data.path=DIR.

  Networks take their shapes and the number of classes from the data. Evaluators
  that need labels, or a classifier of the data, are left out.

  Args:
    config: of a data set with one field of images.
    shape: (H, W, C) that the images are cropped and resized to.
  """
  config.data.name = 'folder'
  config.data.update(
    path='',
    shape=shape,
    range=('auto',),  # or (low, high) of images of more than 8 bits
    skip_unreadable=False,
    binarize='',
    flip=True,
    labels_per_class=(),
  )
  for name in ('probe', 'accuracy', 'shift'):
    if name in config.evals:
      del config.evals[name]


def domain_folders(config: ConfigDict) -> None:
  """Trains on the images of two domains, --config.data.common.path=DIR.

  DIR holds the folders trainA, trainB, testA and testB.

  Args:
    config: of a data set of two domains, `a` and `b`.
  """
  config.data.common = dict(
    name='folder',
    path='',
    shape=(64, 64, 3),
    skip_unreadable=False,
    range=('auto',),  # or (low, high) of images of more than 8 bits
  )
  config.data.a = dict(suffix='A')
  config.data.b = dict(suffix='B')


def adam(config: ConfigDict, rates: Mapping[str, float], **fields: Any) -> None:
  """Gives each player Adam with a learning rate of its own.

  Args:
    config: whose `optim` is set.
    rates: learning rate by player.
    **fields: further fields of the optimizers of all of these players.
  """
  for player, rate in rates.items():
    config.optim[player] = dict(name='adam', learning_rate=rate, **fields)


def dcgan_generator(*channels: int) -> dict[str, Any]:
  """Returns the generator of DCGAN; channels from 7x7 or 4x4 pixels on."""
  return dict(
    name='dcgan.Generator',
    shape=None,
    channels=channels,
    kernel=4,
    normalize='batch',
  )


def dcgan_discriminator(*channels: int, normalize: str = '') -> dict[str, Any]:
  """Returns the discriminator of DCGAN, by default without normalization."""
  return dict(
    name='dcgan.Discriminator',
    channels=channels,
    kernel=4,
    normalize=normalize,
  )


def mixture_of_gaussians() -> dict[str, Any]:
  """Returns a prior of 32 Gaussians, for data of separate modes like digits."""
  return dict(
    name='latents.GaussianMixture', size=100, components=32, radius=8.0
  )


def r1(weight: float, every: int) -> dict[str, Any]:
  """Returns regularizers with R1, for `objective.regularizers`."""
  return dict(r1=dict(name='regularizers.R1', weight=weight, every=every))


def plane(config: ConfigDict, mixture: str) -> None:
  """Trains on a mixture of Gaussians in the plane, 'ring' or 'grid'."""
  config.batch_size = 256
  config.log_every = 1000
  config.checkpoint.every = 5000
  config.data.name = 'toy'
  config.data.mixture = mixture


def plane_networks(config: ConfigDict) -> None:
  """Uses dense networks for points, and counts the modes."""
  hidden = (128, 128, 128)
  config.objective.gen = dict(
    name='dense.Generator', shape=None, hidden=hidden, output='linear'
  )
  config.objective.disc = dict(name='dense.Discriminator', hidden=hidden)
  config.objective.latents = dict(name='latents.Normal', size=2)
  del config.evals['fidelity']
  config.evals.modes = dict(name='mode_coverage.Modes', every=10_000, num=2500)


def conditional_evals() -> dict[str, Any]:
  """Returns the evaluators of class-conditional models."""
  return dict(
    samples=dict(name='figures.Samples', every=1000, at_start=True, num=100),
    diversity=dict(name='diversity.Diversity', every=1000, num=500),
    classes=dict(name='conditional.BetweenClasses', every=0),
    accuracy=dict(
      name='conditional_accuracy.LabelAccuracy', every=0, num=10_000
    ),
    fidelity=dict(name='fidelity.Fidelity', every=0, num=10_000),
  )


def half_life(images: float, batch_size: int) -> float:
  """Returns the decay per step by which an average halves in so many images."""
  return 0.5 ** (batch_size / images)


def cosine(config: ConfigDict, rates: dict[str, float], **fields: Any) -> None:
  """Gives each player Adam with a learning rate that falls along a cosine.

  Args:
    config: whose `optim` is set.
    rates: first learning rate by player.
    **fields: further fields of the optimizers, which may change these.
  """
  fields = dict(schedule='cosine', warmup=0, clip_norm=0.0) | fields
  adam(config, rates, **fields)


def dense_networks(config: ConfigDict, features: int, *hidden: int) -> None:
  """Gives it a fully connected encoder, and a decoder of the reverse widths.

  Args:
    config: of an autoencoder.
    features: outputs of the encoder; for a VAE twice the number of latents.
    *hidden: widths of the encoder's hidden layers.
  """
  config.objective.encoder = dict(
    name='autoencoder.DenseEncoder',
    features=features,
    hidden=hidden,
  )
  config.objective.decoder = dict(
    name='autoencoder.DenseDecoder',
    shape=None,
    hidden=hidden[::-1],
  )


def conv_networks(
  config: ConfigDict, features: int, *channels: int, base: int = 32
) -> None:
  """Gives it a convolutional encoder and a decoder of the reverse channels.

  Args:
    config: of an autoencoder.
    features: outputs of the encoder; for a VAE twice the number of latents.
    *channels: of the encoder, each at half the resolution of the one before.
    base: channels of the decoder's smallest map.
  """
  config.objective.encoder = dict(
    name='autoencoder.ConvEncoder',
    features=features,
    channels=channels,
  )
  config.objective.decoder = dict(
    name='autoencoder.ConvDecoder',
    shape=None,
    channels=channels[::-1],
    base=base,
  )


def likelihood(every: int, samples: int = 100) -> dict:
  """Returns evaluators of the ELBO and, at the end, of the log-likelihood.

  Args:
    every: steps between two evaluations of the ELBO.
    samples: importance samples per image.
  """
  return dict(
    elbo=dict(name='likelihood.ELBO', every=every),
    nll=dict(
      name='likelihood.NLL',
      every=0,
      samples=samples,
      chunk=50,
      batch_size=20,
      num=0,
    ),
  )


def latent_evals() -> dict:
  """Returns evaluators, for the end, of the latents of an autoencoder."""
  return dict(
    interpolation=dict(name='latent_figures.Interpolation', every=0),
    scatter=dict(name='latent_figures.Scatter', every=0),
    arithmetic=dict(name='directions.Arithmetic', every=0),
    traversal=dict(name='directions.Traversal', every=0),
    compression=dict(name='compression.Compression', every=0),
  )
