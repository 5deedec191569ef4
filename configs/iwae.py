"""Importance weighted autoencoder on MNIST, binarized anew at each step.

  python -m gen_jax.main --config=configs/iwae.py

One stochastic layer of 50, two hidden layers of 200 and k = 50 latents per
image, as in Burda et al. 2015. The `dreg` variant takes 100 minutes on two busy
CPU cores and reaches an NLL of 91.9 nats with 5,000 importance samples.

Variants:
  dreg: the doubly reparameterized gradient of Tucker et al. 2018.
  vae: k = 1, for comparison.
  folder: your own images, 64x64; set config.data.path.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the IWAE with 50 latents, or the variant that `arg` names."""
  config = default()
  config.steps = 10_000
  config.data.binarize = 'dynamic'
  config.objective = dict(
    name='iwae.IWAE',
    samples=50,
    estimator='iwae',
  )
  presets.dense_networks(config, 2 * 50, 200, 200)
  presets.cosine(config, {'model': 1e-3})
  config.evals = dict(
    **presets.likelihood(every=2000, samples=5000),
    active_units=dict(name='active_units.ActiveUnits', every=0),
    samples=dict(name='figures.Samples', every=2000, at_start=True),
  )
  return presets.choose(config, arg, dreg, vae, folder, test)


def dreg(config: ConfigDict) -> None:
  """Uses the doubly reparameterized gradient."""
  config.objective.estimator = 'dreg'


def vae(config: ConfigDict) -> None:
  """Trains with one sample per image, for as many samples in all."""
  config.steps = 50_000
  config.objective.update(name='vae.VAE', samples=1)
  del config.objective.estimator


def folder(config: ConfigDict) -> None:
  """Trains on your own images, --config.data.path=DIR."""
  presets.folder(config)
  config.objective.update(likelihood='gaussian', learn_variance=True)


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  presets.dense_networks(config, 2 * 3, 16)
  config.objective.samples = 5
  config.evals.nll.update(samples=20, chunk=10)
