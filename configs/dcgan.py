"""Deep convolutional GAN on MNIST.

  python -m gen_jax.main --config=configs/dcgan.py

Takes 49 minutes on one shared CPU core and reaches a Frechet distance of 1.9 to
2.4, depending on the samples, and a coverage of .91. The discriminator has an
R1 penalty instead of batch normalization. The latents are drawn from a mixture
of 32 Gaussians, because the ten digit classes form separate modes.

Variants:
  paper: the prior, the discriminator and the optimizer of the paper.
  small: the networks of TensorFlow's tutorial.
  spectral: a discriminator with spectral normalization.
  fashion_mnist: Fashion-MNIST instead of MNIST.
  stacked_mnist: three digits in three channels, 1,000 modes.
  packed: the same with a discriminator of two images at a time.
  emoji: few images, which the discriminator gets augmented.
  folder: your own images, 64x64; set config.data.path.
  tpu: in bfloat16.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the DCGAN, or the variant that `arg` names."""
  config = default()
  config.batch_size = 64
  config.steps = 11_000
  config.objective = dict(
    name='gan.GAN',
    gen=presets.dcgan_generator(256, 128, 64),
    disc=presets.dcgan_discriminator(64, 128, 256),
    latents=presets.mixture_of_gaussians(),
    loss='non_saturating',
    real_label=1.0,
    disc_steps=1,
    pack=1,
    augment=(),  # 'color', 'translation', 'cutout', 'deformation'
    regularizers=presets.r1(0.02, every=8),
  )
  # With equal learning rates the discriminator's gradient is dominated by
  # noise, so it gets a smaller one.
  presets.adam(
    config,
    dict(gen=5e-3, disc=1e-3),
    b1=0.0,
    b2=0.99,
    schedule='linear',
    lazy_rescale=False,
  )
  config.ema.gen = 0.999
  config.evals = dict(
    samples=dict(name='figures.Samples', every=1000, at_start=True),
    diversity=dict(name='diversity.Diversity', every=1000, num=500),
    fidelity=dict(name='fidelity.Fidelity', every=0, num=10_000),
  )
  variants = paper, small, spectral, fashion_mnist, stacked_mnist, packed
  return presets.choose(config, arg, *variants, emoji, folder, tpu, test)


def paper(config: ConfigDict) -> None:
  """Uses the prior, the discriminator and the optimizer of the paper."""
  config.batch_size = 128
  config.objective.disc.normalize = 'batch'
  config.objective.latents = dict(name='latents.Uniform', size=100)
  config.objective.regularizers = {}
  _constant_rates(config, 2e-4, b1=0.5)


def small(config: ConfigDict) -> None:
  """Uses the networks and the optimizer of TensorFlow's tutorial."""
  config.batch_size = 128
  config.objective.gen = dict(name='dcgan.SmallGenerator')
  config.objective.disc = dict(name='dcgan.SmallDiscriminator')
  config.objective.latents = dict(name='latents.Normal', size=100)
  config.objective.regularizers = {}
  _constant_rates(config, 1e-4, b1=0.9)


def _constant_rates(config: ConfigDict, rate: float, b1: float) -> None:
  for player in ('gen', 'disc'):
    config.optim[player].update(
      learning_rate=rate, b1=b1, b2=0.999, schedule='constant'
    )


def spectral(config: ConfigDict) -> None:
  """Uses spectral normalization (Miyato et al. 2018) and the hinge loss."""
  config.objective.disc.normalize = 'spectral'
  config.objective.loss = 'hinge'
  config.objective.regularizers = {}
  for player in ('gen', 'disc'):
    config.optim[player].learning_rate = 2e-3


def fashion_mnist(config: ConfigDict) -> None:
  """Trains on Fashion-MNIST."""
  presets.fashion_mnist(config)


def stacked_mnist(config: ConfigDict) -> None:
  """Trains on three digits in three channels and counts the modes."""
  config.steps = 5000
  config.data.name = 'stacked_mnist'
  config.data.resident = 'no'  # put together as they are read
  config.evals.modes = dict(name='mode_coverage.StackedModes', every=2500)
  del config.evals['fidelity']


def packed(config: ConfigDict) -> None:
  """Gives the discriminator two images at a time, PacDCGAN2."""
  stacked_mnist(config)
  config.objective.pack = 2


def emoji(config: ConfigDict) -> None:
  """Trains on the emoji, which are few, with augmentation."""
  config.data.name = 'emoji'
  config.data.shape = (32, 32, 3)
  config.evals.fidelity.num = 1690  # as many as there are training images
  config.objective.augment = ('translation', 'cutout')
  _color_images(config, 512, 256, 128)


def folder(config: ConfigDict) -> None:
  """Trains on your own images, --config.data.path=DIR."""
  presets.folder(config)
  _color_images(config, 1024, 512, 256, 128)


def tpu(config: ConfigDict) -> None:
  """Trains in bfloat16."""
  config.precision = 'bfloat16'


def _color_images(config: ConfigDict, *channels: int) -> None:
  config.objective.latents = dict(name='latents.Normal', size=100)
  config.objective.gen.channels = channels
  config.objective.disc.channels = tuple(c // 2 for c in channels[::-1])
  config.objective.regularizers.r1.weight = 0.1
  config.optim.gen.learning_rate = 2e-3  # for twice the channels


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  config.objective.gen.channels = (4,)
  config.objective.disc.channels = (4,)
  config.objective.regularizers.r1.every = 2
  del config.evals['fidelity']
