"""Denoising autoencoder on MNIST: Gaussian noise of deviation one half.

  python -m gen_jax.main --config=configs/denoising_autoencoder.py

Variants: `masking`, `salt_and_pepper`, `folder` (your own images, whole),
`test`, and `photos`, for patches of
your photographs in DIR/train and DIR/test, noise of 25 of 255 gray values:

  python -m gen_jax.main --config=configs/denoising_autoencoder.py:photos \\
    --config.data.path=DIR
"""

from gen_jax.config import choose, default, own_images, tiny


def get_config(arg=None):
  """Returns the dense denoiser, or the variant that `arg` names."""
  config = default()
  config.steps = 8000
  config.objective = dict(
    name='denoising_autoencoder.DenoisingAutoencoder',
    encoder=dict(
      name='autoencoder.DenseEncoder', features=1000, hidden=(1000,)
    ),
    decoder=dict(name='autoencoder.DenseDecoder', shape=None, hidden=(1000,)),
    reconstruction='cross_entropy',
    code='relu',
    noise='gaussian',
    amount=0.5,
  )
  config.optim.model = dict(
    name='adam', learning_rate=1e-3, schedule='cosine', warmup=0, clip_norm=0.0
  )
  config.evals = dict(
    denoising=dict(
      name='denoising.Denoising', every=2000, at_start=True, num=1000
    ),
    probe=dict(name='probe.Probe', every=0, num=10_000),
  )

  def masking():
    config.objective.update(noise='masking', amount=0.5)

  def salt_and_pepper():
    config.objective.update(noise='salt_and_pepper', amount=0.3)

  def photos():
    config.steps = 2000
    config.batch_size = 32
    config.data.name = 'patches'
    config.data.update(path='', shape=(32, 32, 1), num=20_000, range=('auto',))
    config.data.flip = True
    config.objective.update(reconstruction='l2', amount=25 / 255)
    config.objective.encoder = dict(
      name='autoencoder.MapEncoder', channels=(48, 48), kernel=3
    )
    config.objective.decoder = dict(
      name='autoencoder.MapDecoder', shape=None, channels=(48,), kernel=3
    )
    del config.evals.probe

  def folder():  # your own images, whole: --config.data.path=DIR
    own_images(config)

  def test():
    tiny(config)
    config.objective.encoder.update(features=16, hidden=(16,))
    config.objective.decoder.hidden = (16,)

  choose(
    arg,
    dict(
      masking=masking,
      salt_and_pepper=salt_and_pepper,
      photos=photos,
      folder=folder,
      test=test,
    ),
  )
  return config
