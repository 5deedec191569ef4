"""Conditional VAE on MNIST: the class is given, the code is the style.

  python -m gen_jax.main --config=configs/conditional_vae.py

Variants: `conv`; `folder`, your own images, in a folder for each class; `test`.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the dense conditional VAE, or the variant that `arg` names."""
  config = default()
  config.steps = 20_000
  config.data.binarize = 'static'
  config.objective = dict(
    name='conditional_vae.ConditionalVAE',
    encoder=dict(
      name='autoencoder.DenseEncoder', features=2 * 20, hidden=(400,)
    ),
    decoder=dict(name='autoencoder.DenseDecoder', shape=None, hidden=(400,)),
    classes=None,
  )
  config.optim.model = dict(
    name='adam', learning_rate=1e-3, schedule='cosine', warmup=0, clip_norm=0.0
  )
  config.evals = dict(
    elbo=dict(name='likelihood.ELBO', every=2000),
    nll=dict(
      name='likelihood.NLL',
      every=0,
      samples=100,
      chunk=50,
      batch_size=20,
      num=0,
    ),
    samples=dict(name='figures.Samples', every=2000, at_start=True, num=100),
    relabeled=dict(name='conditional.Relabeled', every=2000),
    probe=dict(name='probe.Probe', every=0, num=10_000),
  )

  def conv():
    config.steps = 6000
    config.objective.encoder = dict(
      name='autoencoder.ConvEncoder', features=2 * 20, channels=(32, 64)
    )
    config.objective.decoder = dict(
      name='autoencoder.ConvDecoder', shape=None, channels=(64, 32), base=32
    )
    config.optim.model.learning_rate = 2e-3

  def folder():  # images in a folder for each class: --config.data.path=DIR
    own_images(config)
    conv()
    config.objective.encoder.features = 2 * 64
    config.objective.update(likelihood='gaussian', learn_variance=True)

  def test():
    tiny(config)
    config.objective.encoder.update(features=2 * 3, hidden=(16,))
    config.objective.decoder.hidden = (16,)

  choose(arg, dict(conv=conv, folder=folder, test=test))
  return config
