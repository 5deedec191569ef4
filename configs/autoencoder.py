"""Autoencoder on MNIST: 32 numbers an image, beside PCA of the same size.

  python -m gen_jax.main --config=configs/autoencoder.py

Variants: `deep`, `conv`, `l1`, `cross_entropy`, `one_class`; `folder`, your own
images; `test`.

`one_class` sees one digit alone (--config.data.classes=3), and tells the others
from it by their error; gen_jax.sweep trains it for each:

  python -m gen_jax sweep --config=configs/autoencoder.py:one_class
    --over=data.classes=0,1,2,3,4,5,6,7,8,9 --workdir=runs/one_class

On the test set the mean area under the ROC curve over the ten digits is .9846
for the scaled error, and .9730 for the squared error as it is.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the dense autoencoder, or the variant that `arg` names."""
  config = default()
  config.steps = 10_000
  config.objective = dict(
    name='autoencoder.Autoencoder',
    encoder=dict(name='autoencoder.DenseEncoder', features=32, hidden=(512,)),
    decoder=dict(name='autoencoder.DenseDecoder', shape=None, hidden=(512,)),
    reconstruction='l2',
    code='linear',
  )
  config.optim.model = dict(
    name='adam', learning_rate=1e-3, schedule='cosine', warmup=0, clip_norm=0.0
  )
  config.evals = dict(
    error=dict(name='reconstruction.Error', every=2000, num=0),
    probe=dict(name='probe.Probe', every=0, num=10_000),
    reconstructions=dict(
      name='figures.Reconstructions', every=2000, at_start=True
    ),
    interpolation=dict(name='latent_figures.Interpolation', every=0),
    scatter=dict(name='latent_figures.Scatter', every=0),
    arithmetic=dict(name='directions.Arithmetic', every=0),
    traversal=dict(name='directions.Traversal', every=0),
    compression=dict(name='compression.Compression', every=0),
    mixture=dict(name='mixture.Samples', every=0, components=50),
  )

  def deep():  # the layers of Hinton and Salakhutdinov 2006
    hidden = (1000, 500, 250)
    config.objective.encoder.hidden = hidden
    config.objective.decoder.hidden = hidden[::-1]

  def conv():
    config.steps = 7000
    config.objective.encoder = dict(
      name='autoencoder.ConvEncoder', features=32, channels=(32, 64)
    )
    config.objective.decoder = dict(
      name='autoencoder.ConvDecoder', shape=None, channels=(64, 32), base=32
    )

  def l1():
    config.objective.reconstruction = 'l1'

  def cross_entropy():
    config.objective.reconstruction = 'cross_entropy'

  def one_class():  # tells the others from it: --config.data.classes=3
    config.data.classes = (0,)
    config.steps = 3000
    config.objective.encoder.features = 16
    config.evals = dict(
      anomaly=dict(name='anomaly.Anomaly', every=0),
      reconstructions=dict(name='figures.Reconstructions', every=0),
    )

  def folder():  # your own images: --config.data.path=DIR
    own_images(config)
    conv()
    config.objective.encoder.features = 128

  def test():
    tiny(config)
    config.objective.encoder.update(features=4, hidden=(16,))
    config.objective.decoder.hidden = (16,)
    config.evals.mixture.components = 2

  variants = (deep, conv, l1, cross_entropy, one_class, folder, test)
  choose(arg, {f.__name__: f for f in variants})
  return config
