"""A VAE, a GAN and a conditional GAN of the same size, side by side on MNIST.

  python -m bench.comparison --minutes=5

trains all three for the same time and compares them. To train one of them:

  python -m gen_jax.main --config=configs/comparison.py:gan

The networks are convolutional, and each model has about 0.27 million
parameters. The GANs have one loss, one prior and one optimizer, so that they
differ in the class alone. docs/comparison.md has the results.

Variants:
  gan: the GAN instead of the VAE.
  cgan: the conditional GAN.
  test: a tiny VAE for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the VAE, or the variant that `arg` names."""
  config = default()
  config.steps = 6000
  config.objective = dict(
    name='vae.VAE', likelihood='bernoulli', beta=1.0
  )
  presets.conv_networks(config, 2 * 15, 32, 64, base=64)
  for network in ('encoder', 'decoder'):
    config.objective[network].kernel = 4
  presets.cosine(config, {'model': 1e-3})
  config.evals = _evals()
  return presets.choose(config, arg, gan, cgan, test)


def gan(config: ConfigDict) -> None:
  """Makes it a GAN."""
  config.objective = dict(
    name='gan.GAN',
    gen=presets.dcgan_generator(64, 32),
    disc=presets.dcgan_discriminator(32, 64),
    latents=dict(name='latents.Normal', size=64),
    loss='non_saturating',
    regularizers=presets.r1(0.02, every=8),
  )
  config.optim = {}
  presets.adam(
    config, dict(gen=2e-3, disc=1e-3), b1=0.0, b2=0.99, schedule='linear'
  )
  config.ema.gen = 0.999


def cgan(config: ConfigDict) -> None:
  """Makes it a conditional GAN."""
  gan(config)
  config.objective.conditioning = dict(name='conditioning.OneHot', classes=None)
  config.objective.latents.size = 64 - 10  # with the ten classes as many inputs
  config.evals.accuracy = dict(
    name='conditional_accuracy.LabelAccuracy', every=0, num=10_000
  )


def _evals() -> dict:
  return dict(
    samples=dict(name='figures.Samples', every=500, at_start=True, num=100),
    fidelity=dict(name='fidelity.Fidelity', every=0, num=10_000),
  )


def test(config: ConfigDict) -> None:
  """Makes it a run of seconds."""
  presets.test(config)
  config.objective.encoder.channels = (4,)
  config.objective.decoder.channels = (4,)
  config.objective.decoder.base = 4
  config.evals.samples.num = 16
  del config.evals['fidelity']
