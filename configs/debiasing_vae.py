"""Debiasing VAE on an unbalanced MNIST: 60 images of each digit from 5 on.

  python -m gen_jax.main --config=configs/debiasing_vae.py

Variants: `histogram` (the density as Amini et al. 2019 estimate it), `plain`
(the same VAE on the same data without debiasing, to compare with), `folder`
(your own images), `test`.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the debiasing VAE, or the variant that `arg` names."""
  config = default()
  config.steps = 10_000
  config.batch_size = 1024  # looked at; an eighth is trained on
  config.data.binarize = 'static'
  config.data.labels_per_class = (6000,) * 5 + (60,) * 5
  config.objective = dict(
    name='debiasing_vae.DebiasingVAE',
    encoder=dict(
      name='autoencoder.DenseEncoder', features=2 * 20, hidden=(400,)
    ),
    decoder=dict(name='autoencoder.DenseDecoder', shape=None, hidden=(400,)),
    beta=0.1,  # the standard normal prior of a full weight hides what is rare
    candidates=8,
    density='neighbors',
    strength=0.3,
  )
  config.optim.model = dict(
    name='adam', learning_rate=1e-3, schedule='cosine', warmup=0, clip_norm=0.0
  )
  config.evals = dict(
    elbo=dict(name='likelihood.ELBO', every=2000, by_class=True),
    shift=dict(name='debiasing.Shift', every=2000),
    samples=dict(name='figures.Samples', every=2000, at_start=True),
  )

  def histogram():
    config.objective.density = 'histogram'

  def plain():
    config.batch_size = 128
    config.objective.name = 'vae.VAE'
    for field in ('candidates', 'density', 'strength'):
      del config.objective[field]
    del config.evals.shift

  def folder():  # your own images: --config.data.path=DIR
    own_images(config)
    config.objective.update(likelihood='gaussian', learn_variance=True)
    config.evals.elbo.by_class = False

  def test():
    tiny(config)
    config.batch_size = 16
    config.data.train = 'train[:640]'
    config.data.labels_per_class = (20,) * 5 + (5,) * 5
    config.objective.encoder.update(features=2 * 3, hidden=(16,))
    config.objective.decoder.hidden = (16,)

  choose(arg, dict(histogram=histogram, plain=plain, folder=folder, test=test))
  return config
