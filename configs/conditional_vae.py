"""Conditional VAE on MNIST: the class is given, the latents are the style.

  python -m gen_jax.main --config=configs/conditional_vae.py

Takes 7 minutes on two CPU cores and reaches an ELBO of -79.6 nats (NLL 74.4
with 100 importance samples).

Variants:
  conv: convolutional networks.
  folder: your own images, in a folder for each class; set config.data.path.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the dense conditional VAE, or the variant that `arg` names."""
  config = default()
  config.steps = 20_000
  config.data.binarize = 'static'
  config.objective = dict(name='vae.VAE', classes=None)
  presets.dense_networks(config, 2 * 20, 400)
  presets.cosine(config, {'model': 1e-3})
  config.evals = dict(
    **presets.likelihood(every=2000),
    samples=dict(name='figures.Samples', every=2000, at_start=True, num=100),
    relabeled=dict(name='conditional.Relabeled', every=2000),
    probe=dict(name='probe.Probe', every=0, num=10_000),
  )
  return presets.choose(config, arg, conv, folder, test)


def conv(config: ConfigDict) -> None:
  """Uses convolutional networks."""
  config.steps = 6000
  presets.conv_networks(config, 2 * 20, 32, 64)
  config.optim.model.learning_rate = 2e-3


def folder(config: ConfigDict) -> None:
  """Trains on your own labeled images, --config.data.path=DIR."""
  presets.folder(config)
  conv(config)
  config.objective.encoder.features = 2 * 64
  config.objective.update(likelihood='gaussian', learn_variance=True)


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  presets.dense_networks(config, 2 * 3, 16)
