"""Variational autoencoder on MNIST, statically binarized at one half.

  python -m gen_jax.main --config=configs/vae.py

Variants: `dense`, `deep`, `residual`, `latent2`, `capacity`, `gaussian`,
`continuous_bernoulli`, `fashion_mnist`, `folder`, `test`.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the convolutional VAE, or the variant that `arg` names."""
  config = default()
  config.steps = 6000
  config.data.binarize = 'static'
  config.objective = dict(
    name='vae.VAE',
    encoder=dict(
      name='autoencoder.ConvEncoder',
      features=2 * 20,
      channels=(32, 64),
      dtype='float32',
    ),
    decoder=dict(
      name='autoencoder.ConvDecoder',
      shape=None,
      channels=(64, 32),
      base=32,
      dtype='float32',
    ),
    likelihood='bernoulli',
    learn_variance=False,
    beta=1.0,
    kl_warmup=0,
    free_bits=0.0,
    capacity=0.0,
    capacity_steps=0,
    samples=1,
  )
  config.optim.model = dict(
    name='adam', learning_rate=2e-3, schedule='cosine', warmup=0, clip_norm=0.0
  )
  config.evals = dict(
    elbo=dict(name='likelihood.ELBO', every=1000),
    nll=dict(
      name='likelihood.NLL',
      every=0,
      samples=100,
      chunk=50,
      batch_size=20,
      num=0,
    ),
    active_units=dict(name='active_units.ActiveUnits', every=0),
    samples=dict(name='figures.Samples', every=1000, at_start=True),
    reconstructions=dict(
      name='figures.Reconstructions', every=1000, at_start=True
    ),
    interpolation=dict(name='latent_figures.Interpolation', every=0),
    scatter=dict(name='latent_figures.Scatter', every=0),
    arithmetic=dict(name='directions.Arithmetic', every=0),
    traversal=dict(name='directions.Traversal', every=0),
    compression=dict(name='compression.Compression', every=0),
  )

  def dense():
    config.steps = 30_000
    config.objective.encoder = dict(
      name='autoencoder.DenseEncoder',
      features=2 * 20,
      hidden=(400,),
      dtype='float32',
    )
    config.objective.decoder = dict(
      name='autoencoder.DenseDecoder',
      shape=None,
      hidden=(400,),
      dtype='float32',
    )
    config.optim.model.learning_rate = 1e-3

  def deep():  # a deeper dense form
    dense()
    config.objective.encoder.hidden = (500, 500)
    config.objective.decoder.hidden = (500, 500)

  def residual():  # deeper: residual blocks at each size
    config.steps = 2500
    config.objective.encoder = dict(
      name='residual.ResidualEncoder',
      features=2 * 32,
      channels=(32, 64),
      blocks=1,
      hidden=256,
      dtype='float32',
    )
    config.objective.decoder = dict(
      name='residual.ResidualDecoder',
      shape=None,
      channels=(64, 32),
      blocks=1,
      hidden=256,
      dtype='float32',
    )
    config.optim.model.update(learning_rate=1e-3, clip_norm=100.0)

  def capacity():  # Burgess et al. 2018: the code may hold more and more
    dense()
    config.objective.update(beta=100.0, capacity=25.0, capacity_steps=20_000)

  def latent2():  # two latent dimensions, so that the manifold can be drawn
    deep()
    config.objective.encoder.features = 2 * 2
    config.evals.manifold = dict(
      name='latent_figures.Manifold', every=1000, at_start=True
    )

  def gaussian():  # gray values, and a learned variance
    config.data.binarize = ''
    config.objective.likelihood = 'gaussian'
    config.objective.learn_variance = True

  def continuous_bernoulli():  # gray values in [0, 1]
    config.data.binarize = ''
    config.objective.likelihood = 'continuous_bernoulli'

  def fashion_mnist():  # prepared by TFDS at its first use
    continuous_bernoulli()
    config.data.name = 'tfds'
    config.data.update(dataset='fashion_mnist', data_dir=None, manual_dir=None)

  def folder():  # your own pictures: --config.data.path=DIR
    own_images(config)
    gaussian()
    channels = (32, 64, 128, 256)
    config.objective.encoder.update(features=2 * 64, channels=channels)
    config.objective.decoder.update(channels=channels[::-1], base=64)

  def test():
    tiny(config)
    config.objective.encoder.features = 2 * 2
    config.objective.encoder.channels = (4, 8)
    config.objective.decoder.channels = (8, 4)
    config.evals.nll.update(samples=20, chunk=10)
    config.evals.manifold = dict(name='latent_figures.Manifold', size=3)

  variants = (dense, deep, residual, capacity, latent2, gaussian)
  variants += (continuous_bernoulli, fashion_mnist, folder, test)
  choose(arg, {f.__name__: f for f in variants})
  return config
