"""Variational autoencoder (VAE) on MNIST, binarized at one half.

  python -m gen_jax.main --config=configs/vae.py

Takes 6 minutes on two CPU cores and reaches an ELBO of -81.2 nats (NLL 74.9
with 100 importance samples).

Variants:
  dense: fully connected networks, 784-400-20-400-784.
  deep: fully connected networks with two hidden layers of 500.
  residual: residual blocks at each resolution.
  capacity: a KL that grows to 25 nats during training (Burgess et al. 2018).
  latent2: two latents, so that the whole latent space can be drawn.
  gaussian: gray values, with one learned variance.
  continuous_bernoulli: gray values (Loaiza-Ganem and Cunningham 2019).
  fashion_mnist: Fashion-MNIST, gray values.
  folder: your own images, 64x64; set config.data.path.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the convolutional VAE, or the variant that `arg` names."""
  config = default()
  config.steps = 6000
  config.data.binarize = 'static'
  config.objective = dict(
    name='vae.VAE',
    likelihood='bernoulli',
    learn_variance=False,
    beta=1.0,
    kl_warmup=0,
    free_bits=0.0,
    capacity=0.0,
    capacity_steps=0,
    samples=1,
  )
  presets.conv_networks(config, 2 * 20, 32, 64)
  presets.cosine(config, {'model': 2e-3})
  config.evals = dict(
    **presets.likelihood(every=1000),
    **presets.latent_evals(),
    active_units=dict(name='active_units.ActiveUnits', every=0),
    samples=dict(name='figures.Samples', every=1000, at_start=True),
    reconstructions=dict(
      name='figures.Reconstructions', every=1000, at_start=True
    ),
  )
  variants = (dense, deep, residual, capacity, latent2, gaussian)
  variants += (continuous_bernoulli, fashion_mnist, folder, test)
  return presets.choose(config, arg, *variants)


def dense(config: ConfigDict) -> None:
  """Uses fully connected networks, 784-400-20-400-784."""
  config.steps = 30_000
  presets.dense_networks(config, 2 * 20, 400)
  config.optim.model.learning_rate = 1e-3


def deep(config: ConfigDict) -> None:
  """Uses fully connected networks with two hidden layers of 500."""
  dense(config)
  presets.dense_networks(config, 2 * 20, 500, 500)


def residual(config: ConfigDict) -> None:
  """Uses residual blocks at each resolution."""
  config.steps = 2500
  shared = dict(blocks=1, hidden=256)
  config.objective.encoder = dict(
    name='residual.ResidualEncoder',
    features=2 * 32,
    channels=(32, 64),
    **shared,
  )
  config.objective.decoder = dict(
    name='residual.ResidualDecoder', shape=None, channels=(64, 32), **shared
  )
  config.optim.model.update(learning_rate=1e-3, clip_norm=100.0)


def capacity(config: ConfigDict) -> None:
  """Lets the KL grow to 25 nats during training (Burgess et al. 2018)."""
  dense(config)
  config.objective.update(beta=100.0, capacity=25.0, capacity_steps=20_000)


def latent2(config: ConfigDict) -> None:
  """Uses two latents and draws the whole latent space."""
  deep(config)
  config.objective.encoder.features = 2 * 2
  config.evals.manifold = dict(
    name='latent_figures.Manifold', every=1000, at_start=True
  )


def gaussian(config: ConfigDict) -> None:
  """Models gray values, with one learned variance."""
  config.data.binarize = ''
  config.objective.update(likelihood='gaussian', learn_variance=True)


def continuous_bernoulli(config: ConfigDict) -> None:
  """Models gray values by the continuous Bernoulli distribution."""
  config.data.binarize = ''
  config.objective.likelihood = 'continuous_bernoulli'


def fashion_mnist(config: ConfigDict) -> None:
  """Trains on the gray values of Fashion-MNIST."""
  continuous_bernoulli(config)
  presets.fashion_mnist(config)


def folder(config: ConfigDict) -> None:
  """Trains on your own images, --config.data.path=DIR."""
  presets.folder(config)
  gaussian(config)
  presets.conv_networks(config, 2 * 64, 32, 64, 128, 256, base=64)


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  presets.conv_networks(config, 2 * 2, 4, 8)
  config.evals.nll.update(samples=20, chunk=10)
  config.evals.manifold = dict(name='latent_figures.Manifold', size=3)
