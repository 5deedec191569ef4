"""Conditional GAN on MNIST: the generator gets the digit's class.

  python -m gen_jax.main --config=configs/cgan.py

Takes 45 minutes on one shared CPU core and reaches a Frechet distance of 1.85;
the classifier recognizes 98.75% of the digits as the requested class.

Variants:
  mismatch: real digits with a wrong label as a further negative.
  dense: the fully connected networks of the paper.
  embedding: classes as a few learned numbers for each network.
  folder: your own images, in a folder for each class; set config.data.path.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the convolutional conditional GAN, or the variant `arg`."""
  config = default()
  config.batch_size = 64
  config.steps = 6000
  config.objective = dict(
    name='gan.GAN',
    gen=presets.dcgan_generator(256, 128, 64),
    disc=presets.dcgan_discriminator(64, 128, 256),
    latents=dict(name='latents.Normal', size=100),
    loss='non_saturating',
    conditioning=dict(name='conditioning.OneHot', classes=None),
    matching_aware_weight=0.0,
    augment=(),  # 'color', 'translation', 'cutout', 'deformation'
    regularizers=presets.r1(0.02, every=8),
  )
  presets.adam(
    config,
    dict(gen=2e-3, disc=2e-3),
    b1=0.0,
    b2=0.99,
    schedule='linear',
    lazy_rescale=False,
  )
  config.ema.gen = 0.999
  config.evals = presets.conditional_evals()
  variants = mismatch, dense, embedding, folder, test
  return presets.choose(config, arg, *variants)


def mismatch(config: ConfigDict) -> None:
  """Adds real images with wrong labels (Reed et al. 2016)."""
  config.objective.matching_aware_weight = 1.0


def dense(config: ConfigDict) -> None:
  """Uses fully connected networks, as the paper does."""
  config.objective.gen = dict(
    name='dense.Generator', shape=None, normalize='batch'
  )
  config.objective.disc = dict(name='dense.Discriminator', dropout=0.3)
  config.objective.regularizers = {}
  for player in ('gen', 'disc'):
    config.optim[player].update(
      learning_rate=2e-4, b1=0.5, b2=0.999, schedule='constant'
    )


def embedding(config: ConfigDict) -> None:
  """Gives each network its own embedding of the classes."""
  config.objective.conditioning = dict(
    name='conditioning.Embedding', classes=None, features=8
  )


def folder(config: ConfigDict) -> None:
  """Trains on your own images, --config.data.path=DIR."""
  presets.folder(config)
  config.objective.gen.channels = (512, 256, 128, 64)
  config.objective.disc.channels = (64, 128, 256, 512)
  config.objective.regularizers.r1.weight = 0.1


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  config.objective.gen.channels = (4,)
  config.objective.disc.channels = (4,)
  config.objective.matching_aware_weight = 1.0
  config.objective.regularizers.r1.every = 2
  for name in ('accuracy', 'fidelity'):
    del config.evals[name]
