"""Importance weighted autoencoder on MNIST, binarized anew at each look.

  python -m gen_jax.main --config=configs/iwae.py

One stochastic layer of 50, 200 units a layer, and k = 50 codes, as in Burda et
al. 2015. Variants: `dreg` (the doubly reparameterized gradient), `vae` (k = 1,
to compare with), `folder` (your own images), `test`.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the IWAE with 50 codes, or the variant that `arg` names."""
  config = default()
  config.steps = 10_000
  config.data.binarize = 'dynamic'
  config.objective = dict(
    name='iwae.IWAE',
    encoder=dict(
      name='autoencoder.DenseEncoder', features=2 * 50, hidden=(200, 200)
    ),
    decoder=dict(
      name='autoencoder.DenseDecoder', shape=None, hidden=(200, 200)
    ),
    samples=50,
  )
  config.optim.model = dict(
    name='adam', learning_rate=1e-3, schedule='cosine', warmup=0, clip_norm=0.0
  )
  config.evals = dict(
    elbo=dict(name='likelihood.ELBO', every=2000),
    nll=dict(
      name='likelihood.NLL',
      every=0,
      samples=5000,
      chunk=50,
      batch_size=20,
      num=0,
    ),
    active_units=dict(name='active_units.ActiveUnits', every=0),
    samples=dict(name='figures.Samples', every=2000, at_start=True),
  )

  def dreg():
    config.objective.name = 'iwae.DReG'

  def vae():
    config.steps = 50_000
    config.objective.update(name='vae.VAE', samples=1)

  def folder():  # your own images: --config.data.path=DIR
    own_images(config)
    config.objective.update(likelihood='gaussian', learn_variance=True)

  def test():
    tiny(config)
    config.objective.encoder.update(features=2 * 3, hidden=(16,))
    config.objective.decoder.hidden = (16,)
    config.objective.samples = 5
    config.evals.nll.update(samples=20, chunk=10)

  choose(arg, dict(dreg=dreg, vae=vae, folder=folder, test=test))
  return config
