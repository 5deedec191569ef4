"""Sparse autoencoder on MNIST: 1,024 units, of which a tenth is active.

  python -m gen_jax.main --config=configs/sparse_autoencoder.py

The plain config draws the mean activation to a target by a KL penalty.
Variants: `l1` (the penalty on absolute activations), `dense` (no penalty, to
compare with), `folder` (your own images), `test`.
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the config with the KL penalty, or the variant `arg`."""
  config = default()
  config.steps = 8000
  config.objective = dict(
    name='sparse_autoencoder.SparseKL',
    encoder=dict(name='autoencoder.DenseEncoder', features=1024, hidden=()),
    decoder=dict(name='autoencoder.DenseDecoder', shape=None, hidden=()),
    reconstruction='l2',
    weight=0.5,
    target=0.1,
  )
  config.optim.model = dict(
    name='adamw',
    learning_rate=1e-3,
    schedule='cosine',
    warmup=0,
    clip_norm=0.0,
    weight_decay=0.3,
  )
  config.evals = dict(
    error=dict(name='reconstruction.Error', every=2000, num=0),
    probe=dict(name='probe.Probe', every=0, num=10_000),
    dictionary=dict(name='figures.Dictionary', every=2000, at_start=True),
    reconstructions=dict(
      name='figures.Reconstructions', every=2000, at_start=True
    ),
  )

  def l1():
    del config.objective.target
    config.objective.name = 'sparse_autoencoder.SparseL1'
    config.objective.weight = 0.3

  def dense():
    for field in ('weight', 'target'):
      del config.objective[field]
    config.objective.update(name='autoencoder.Autoencoder', code='sigmoid')

  def folder():  # your own images: --config.data.path=DIR
    own_images(config)

  def test():
    tiny(config)
    config.objective.encoder.features = 16

  choose(arg, dict(l1=l1, dense=dense, folder=folder, test=test))
  return config
