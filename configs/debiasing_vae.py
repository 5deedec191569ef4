"""Debiasing VAE on an unbalanced MNIST: 60 images of each digit from 5 on.

  python -m gen_jax.main --config=configs/debiasing_vae.py

The digits from 5 on are 1.0% of the images and 5.2% of those it trains on. It
takes 10 minutes on two busy CPU cores.

Variants:
  histogram: the density estimate of Amini et al. 2019.
  plain: the same VAE on the same data without debiasing, for comparison.
  folder: your own images, 64x64; set config.data.path.
  test: a tiny version for the tests.
"""

from ml_collections import ConfigDict

from gen_jax.config import default, presets


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the debiasing VAE, or the variant that `arg` names."""
  config = default()
  config.steps = 10_000
  config.batch_size = 1024  # candidates; an eighth is trained on
  config.data.binarize = 'static'
  config.data.labels_per_class = (6000,) * 5 + (60,) * 5
  config.objective = dict(
    name='debiasing_vae.DebiasingVAE',
    beta=0.1,  # with a full weight the prior hides which latents are rare
    candidates=8,
    density='neighbors',
    strength=0.3,
  )
  presets.dense_networks(config, 2 * 20, 400)
  presets.cosine(config, {'model': 1e-3})
  config.evals = dict(
    elbo=dict(name='likelihood.ELBO', every=2000, by_class=True),
    shift=dict(name='debiasing.Shift', every=2000),
    samples=dict(name='figures.Samples', every=2000, at_start=True),
  )
  return presets.choose(config, arg, histogram, plain, folder, test)


def histogram(config: ConfigDict) -> None:
  """Estimates the density as Amini et al. 2019 do."""
  config.objective.density = 'histogram'


def plain(config: ConfigDict) -> None:
  """Trains the same VAE without debiasing."""
  config.batch_size = 128
  config.objective.name = 'vae.VAE'
  for field in ('candidates', 'density', 'strength'):
    del config.objective[field]
  del config.evals.shift


def folder(config: ConfigDict) -> None:
  """Trains on your own images, --config.data.path=DIR."""
  presets.folder(config)
  config.objective.update(likelihood='gaussian', learn_variance=True)
  config.evals.elbo.by_class = False


def test(config: ConfigDict) -> None:
  """Makes it a tiny version for the tests."""
  presets.test(config)
  config.batch_size = 16
  config.data.train = 'train[:640]'
  config.data.labels_per_class = (20,) * 5 + (5,) * 5
  presets.dense_networks(config, 2 * 3, 16)
